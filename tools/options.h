/* SPDX-License-Identifier: MIT
 *
 * Command line options as data: one row an option, which says its name, its kind, where its
 * value goes in the command's settings and what the help shows. Parsing, --help, run.json and
 * reading run.json back all walk the same rows.
 */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

typedef enum option_kind {
    OPTION_FLAG,    /* int, 1 when given */
    OPTION_INTEGER, /* int64_t */
    OPTION_NUMBER,  /* double */
    OPTION_TEXT,    /* const char *, NULL: none */
    OPTION_CHOICE,  /* int, the index of the word in `value`, words joined by | */
    OPTION_TEXTS,   /* option_texts, a text each time it is given */
} option_kind;

/* In the order in which they were given. */
enum { OPTION_MOST_TEXTS = 64 };
typedef struct option_texts {
    int n;
    const char *texts[OPTION_MOST_TEXTS];
} option_texts;

typedef struct option_row {
    const char *name; /* without the dashes */
    option_kind kind;
    size_t offset;     /* of the value in the command's settings */
    const char *value; /* what stands for the value in the help, e.g. "N" */
    const char *help;
    double low, high;      /* range of an integer or a number */
    const char *otherwise; /* shown as the default; NULL: the value itself */
    const char *bare; /* of a choice: what the option says alone, --name; another word takes
                         its place by --name=WORD */
    const char *elsewhere; /* what other programs call it: a hint for who types that; or NULL */
    bool forgotten;        /* belongs to this start, not to the run: not taken on --resume */
} option_row;

/* OPTION_ROW(settings type, member, kind without OPTION_, name, value, help, more...) */
#define OPTION_ROW(type, member, kind_word, name_text, value_text, help_text, ...)             \
    {                                                                                          \
        .name = name_text, .kind = OPTION_##kind_word, .offset = offsetof(type, member),       \
        .value = value_text, .help = help_text, ##__VA_ARGS__                                  \
    }

typedef struct option_set {
    const char *usage;   /* "ringmoe train --data PATH [options]" */
    const char *summary; /* one or two sentences below it */
    const option_row *rows;
    int count;         /* at most 64 */
    const char *word;  /* what a word without dashes is, e.g. "FOLDER"; NULL: none is taken */
    size_t word_place; /* offset of its const char * in the command's settings */
} option_set;

typedef struct option_result {
    uint64_t given; /* bit i: row i was on the command line */
    bool help;
    char error[512]; /* one line; "" when all is well */
} option_result;

/* Parses argv[1..]. `values` holds the defaults and receives what was given. */
bool options_parse(const option_set *set, int argc, char **argv, void *values,
                   option_result *result);
bool options_given(const option_set *set, const option_result *result, const char *name);
void options_help(const option_set *set, const void *values, FILE *out);

/* All values as a JSON object with the options' names as keys; the caller owns it. */
json_t *options_to_json(const option_set *set, const void *values);
/* Takes the values of rows that were not given and are not `forgotten` from such an object,
 * whose texts must outlive `values`. False with result->error for a value of the wrong kind. */
bool options_from_json(const option_set *set, const json_t *object, void *values,
                       option_result *result);

/* "lr 0.001 -> 0.0005, keep 2 -> 4": where values differ from such an object, of rows that are
 * not `forgotten`; "" where they do not, or there is no object. */
void options_describe_changes(const option_set *set, const json_t *before, const void *values,
                              char *text, size_t size);

/* The name in a NULL-terminated list that a mistyped word most likely meant, or NULL. */
const char *nearest_name(const char *word, const char *const *names);

#endif
