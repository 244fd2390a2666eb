/* SPDX-License-Identifier: MIT
 *
 * Parsing by getopt_long over the rows of an option set, and the help made from the same rows.
 */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROWS 64

static bool refuse(option_result *result, const char *name, const char *given, const char *want)
{
    snprintf(result->error, sizeof result->error, "--%s %.80s: give %s", name, given, want);
    return false;
}

static bool refuse_range(option_result *result, const option_row *row, const char *given)
{
    char want[128];
    const char *whole = row->kind == OPTION_INTEGER ? " whole" : "";
    snprintf(want, sizeof want, "a%s number from %.15g to %.15g", whole, row->low, row->high);
    return refuse(result, row->name, given, want);
}

static bool store_integer(const option_row *row, const char *text, void *place,
                          option_result *result)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    bool whole = end != text && *end == '\0' && errno == 0;
    if (!whole || (double)number < row->low || (double)number > row->high)
        return refuse_range(result, row, text);
    *(int64_t *)place = number;
    return true;
}

static bool store_number(const option_row *row, const char *text, void *place,
                         option_result *result)
{
    char *end;
    double number = strtod(text, &end);
    bool valid = end != text && *end == '\0' && isfinite(number);
    if (!valid || number < row->low || number > row->high)
        return refuse_range(result, row, text);
    *(double *)place = number;
    return true;
}

/* The index of a word in "one|two|three", or -1. */
static int find_choice(const char *choices, const char *word)
{
    size_t length = strlen(word);
    int index = 0;
    for (const char *at = choices;; index++) {
        size_t here = strcspn(at, "|");
        if (here == length && memcmp(at, word, here) == 0) return index;
        if (at[here] == '\0') return -1;
        at += here + 1;
    }
}

static bool store_choice(const option_row *row, const char *text, void *place,
                         option_result *result)
{
    char want[128];
    int index = find_choice(row->value, text);
    snprintf(want, sizeof want, "one of %s", row->value);
    if (index < 0) return refuse(result, row->name, text, want);
    *(int *)place = index;
    return true;
}

static bool store_texts(const option_row *row, const char *text, void *place,
                        option_result *result)
{
    option_texts *texts = place;
    if (*text == '\0') return refuse(result, row->name, "''", "a value that is not empty");
    if (texts->n == OPTION_MOST_TEXTS)
        return refuse(result, row->name, text, "it at most 64 times");
    texts->texts[texts->n++] = text;
    return true;
}

static bool store(const option_row *row, const char *text, void *values, option_result *result)
{
    void *place = (char *)values + row->offset;
    switch (row->kind) {
    case OPTION_FLAG:
        *(int *)place = 1;
        return true;
    case OPTION_INTEGER:
        return store_integer(row, text, place, result);
    case OPTION_NUMBER:
        return store_number(row, text, place, result);
    case OPTION_TEXT:
        if (*text == '\0') return refuse(result, row->name, "''", "a value that is not empty");
        *(const char **)place = text;
        return true;
    case OPTION_CHOICE:
        return store_choice(row, text, place, result);
    case OPTION_TEXTS:
        return store_texts(row, text, place, result);
    }
    return false;
}

/* The option that was meant: one that other programs call so, else the nearest name. */
static const char *find_meant(const option_set *set, const char *bare)
{
    const char *names[MAX_ROWS + 2] = {"help"};
    for (int i = 0; i < set->count; i++) {
        const option_row *row = &set->rows[i];
        if (row->elsewhere && strcmp(bare, row->elsewhere) == 0) return row->name;
        names[i + 1] = row->name;
    }
    return nearest_name(bare, names);
}

static void say_unknown(const option_set *set, const char *word, option_result *result)
{
    char bare[64];
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(word + strspn(word, "-"), "="),
             word + strspn(word, "-"));
    const char *near = find_meant(set, bare);
    if (near)
        snprintf(result->error, sizeof result->error,
                 "unknown option %.80s: did you mean --%s?", word, near);
    else
        snprintf(result->error, sizeof result->error,
                 "unknown option %.80s: --help lists the options", word);
}

static void make_getopt_table(const option_set *set, struct option *table)
{
    for (int i = 0; i < set->count; i++) {
        const option_row *row = &set->rows[i];
        int argument = row->kind == OPTION_FLAG ? no_argument : required_argument;
        if (row->bare) argument = optional_argument;
        table[i] = (struct option){row->name, argument, NULL, 256 + i};
    }
    table[set->count] = (struct option){"help", no_argument, NULL, 'h'};
    table[set->count + 1] = (struct option){0};
}

/* One result of getopt_long; false ends the parse with result->error set. */
static bool take(const option_set *set, int found, char **argv, void *values,
                 option_result *result)
{
    if (found == 'h') {
        result->help = true;
        return true;
    }
    if (found == ':') {
        snprintf(result->error, sizeof result->error, "option %.80s: give it a value",
                 argv[optind - 1]);
        return false;
    }
    if (found < 256) {
        say_unknown(set, argv[optind - 1], result);
        return false;
    }
    const option_row *row = &set->rows[found - 256];
    const char *bare = row->bare ? row->bare : "";
    result->given |= UINT64_C(1) << (found - 256);
    return store(row, optarg ? optarg : bare, values, result);
}

bool options_given(const option_set *set, const option_result *result, const char *name)
{
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->rows[i].name, name) == 0) return (result->given >> i) & 1;
    return false;
}

/* A word without dashes. One that belongs to the option before it by = is told so. */
static bool take_word(const option_set *set, const char *word, void *values,
                      option_result *result)
{
    for (int i = 0; i < set->count; i++) {
        const option_row *row = &set->rows[i];
        if (row->bare && options_given(set, result, row->name) &&
            find_choice(row->value, word) >= 0) {
            snprintf(result->error, sizeof result->error,
                     "unexpected word %.80s: did you mean --%s=%.80s?", word, row->name, word);
            return false;
        }
    }
    const char **place = (const char **)((char *)values + set->word_place);
    if (set->word && !*place) {
        *place = word;
        return true;
    }
    snprintf(result->error, sizeof result->error, "unexpected word %.80s: %s", word,
             set->word ? "give only one" : "options begin with --");
    return false;
}

bool options_parse(const option_set *set, int argc, char **argv, void *values,
                   option_result *result)
{
    struct option table[MAX_ROWS + 2];
    make_getopt_table(set, table);
    *result = (option_result){0};
    opterr = 0;
    optind = 1;
    for (int found; (found = getopt_long(argc, argv, ":h", table, NULL)) != -1;)
        if (!take(set, found, argv, values, result)) return false;
    for (; optind < argc; optind++)
        if (!take_word(set, argv[optind], values, result)) return false;
    return true;
}

static void print_default(const option_row *row, const void *values, FILE *out)
{
    const void *place = (const char *)values + row->offset;
    if (row->otherwise)
        fprintf(out, " [%s]", row->otherwise);
    else if (row->kind == OPTION_INTEGER)
        fprintf(out, " [%lld]", (long long)*(const int64_t *)place);
    else if (row->kind == OPTION_NUMBER)
        fprintf(out, " [%g]", *(const double *)place);
    else if (row->kind == OPTION_TEXT && *(const char *const *)place)
        fprintf(out, " [%s]", *(const char *const *)place);
    else if (row->kind == OPTION_CHOICE) {
        const char *word = row->value;
        for (int i = *(const int *)place; i > 0; i--) word += strcspn(word, "|") + 1;
        fprintf(out, " [%.*s]", (int)strcspn(word, "|"), word);
    }
}

void options_help(const option_set *set, const void *values, FILE *out)
{
    fprintf(out, "usage: %s\n\n%s\n\n", set->usage, set->summary);
    for (int i = 0; i < set->count; i++) {
        const option_row *row = &set->rows[i];
        char head[64];
        const char *between = row->bare ? "[=" : row->value ? " " : "";
        snprintf(head, sizeof head, "--%s%s%s%s", row->name, between,
                 row->value ? row->value : "", row->bare ? "]" : "");
        fprintf(out, strlen(head) > 27 ? "  %s\n%29s %s" : "  %-27s%s %s", head, "", row->help);
        print_default(row, values, out);
        fputc('\n', out);
    }
    fprintf(out, "  %-27s this text\n", "--help");
}
