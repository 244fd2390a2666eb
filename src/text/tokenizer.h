/* SPDX-License-Identifier: MIT
 *
 * A tokenizer by its insides (public functions in ringmoe/tokenizer.h). What tokenizer.json
 * describes as five stages becomes, in the order a text passes them:
 *
 *   text -> repaired UTF-8 -> tokens found as they are spelled | stretches between them
 *        -> stretches normalized -> tokens found in what that made | stretches
 *        -> steps that cut stretches into words -> merges: ids of a word
 *
 * tokenizer_read.c makes one of these from a file, tokenizer_parts.c from lists; nothing in it
 * changes afterwards, so threads may share it, each with an encoder of its own.
 */
#ifndef RM_TOKENIZER_H
#define RM_TOKENIZER_H

#include <ringmoe/tokenizer.h>

#include "text/added_tokens.h"
#include "text/merges.h"
#include "text/pattern.h"
#include "text/text_map.h"
#include "text/unicode.h"
#include "text/word_counts.h"

enum { RM_MOST_STEPS = 16, RM_MOST_FRAME = 16, RM_MOST_TOKENS = 1 << 22 };

typedef struct rm_token {
    const char *spelling; /* NULL: no token has this id */
    const char *bytes;    /* of text, inside of one */
    int32_t n_spelling, n_bytes;
    ringmoe_token_type type;
} rm_token;

/* What is done to a stretch before tokens are looked for in it. */
typedef enum rm_change_kind {
    RM_CHANGE_FORM,
    RM_CHANGE_REPLACE,
    RM_CHANGE_PREPEND
} rm_change_kind;
typedef struct rm_change {
    rm_change_kind kind;
    rm_unicode_form form;  /* of FORM */
    const char *from, *to; /* of REPLACE; PREPEND has only `to` */
    int64_t n_from, n_to;
} rm_change;

/* How words are cut. */
typedef enum rm_cut_kind {
    RM_CUT_PATTERN, /* at the matches of a pattern */
    RM_CUT_BLANKS,  /* blanks become U+2581, which may be put in front and may begin words */
    RM_CUT_BYTES,   /* a blank may be put in front; what comes out is merged as bytes */
} rm_cut_kind;
/* What becomes of matches. */
typedef enum rm_cut_matches { RM_MATCHES_STAY, RM_MATCHES_GO, RM_MATCHES_END } rm_cut_matches;
/* Where something is put in front. */
typedef enum rm_cut_front { RM_FRONT_NEVER, RM_FRONT_ALWAYS, RM_FRONT_FIRST } rm_cut_front;
typedef struct rm_cut {
    rm_cut_kind kind;
    rm_pattern *pattern;
    const char *text; /* of the pattern */
    bool is_literal;
    rm_cut_matches matches; /* END: a match ends the word before it */
    bool inverted;          /* what lies between matches counts as one, and they do not */
    rm_cut_front front;
    bool splits; /* of BLANKS */
} rm_cut;

/* What becomes of the blank that a text begins with when ids become text. */
typedef enum rm_first_blank {
    RM_BLANK_STAYS,
    RM_BLANK_GOES,
    RM_BLANKS_GO, /* all those of the first token */
} rm_first_blank;

/* What lay beside the path, byte by byte. */
enum { RM_TOKENIZER_FILES = 5 };
typedef struct rm_tokenizer_file {
    char *content; /* NULL: was not there */
    int64_t bytes;
} rm_tokenizer_file;

struct ringmoe_tokenizer {
    ringmoe_context *context; /* for its line of text; may be NULL */
    ringmoe_tokenizer_kind kind;
    rm_text_pool texts;
    rm_token *tokens;
    int n_tokens;
    rm_text_map spelled; /* ids by spelling */

    rm_text_map words; /* ids by what the model sees: bytes, or characters */
    rm_merges merges;
    rm_merge *merge_list; /* in order */
    int64_t n_merges, merge_room;
    int32_t byte_ids[256];  /* of single bytes; CHARACTERS: of <0x00> to <0xFF>; -1: none */
    int32_t ascii_ids[128]; /* CHARACTERS: of single characters */
    int unknown, bos, eos, padding; /* -1: none */
    int unknown_name;               /* of a token that is called so, but not by the model */
    bool fuses_unknown, falls_back, takes_whole_words;
    bool cuts_at_blanks; /* CHARACTERS: no merge crosses from another character to U+2581 */

    rm_added_tokens raw, normalized; /* looked for before and after the changes */
    rm_change changes[RM_MOST_STEPS];
    rm_cut cuts[RM_MOST_STEPS];
    int n_changes, n_cuts;
    int32_t before[RM_MOST_FRAME], after[RM_MOST_FRAME]; /* around a text */
    int n_before, n_after;

    rm_first_blank first_blank;
    const char *pattern_name; /* llama.cpp's; NULL: none */
    const char *chat_template;
    rm_tokenizer_file files[RM_TOKENIZER_FILES];
    struct rm_encoder *encoder;       /* of the public calls */
    struct rm_tokenizer_lists *lists; /* what describe gave away; NULL before it */
};

/* The names of `files`. */
extern const char *const rm_tokenizer_file_names[RM_TOKENIZER_FILES];

/* The character U+2581 that stands for a blank. */
#define RM_BLANK_MARK "\xE2\x96\x81"
enum { RM_BLANK_MARK_BYTES = 3 };

/* --- making one: the steps that both of its sources take -------------------------------------
 * Each returns MEMORY, or FORMAT where a file can be at fault; messages do not name the file.
 */

/* NULL without memory. */
ringmoe_tokenizer *rm_tokenizer_new(ringmoe_context *context);
/* Memory for `ids` tokens. */
ringmoe_status rm_tokenizer_reserve(ringmoe_tokenizer *tokenizer, int64_t ids, rm_error *error);
/* Gives an id its spelling. FORMAT: it has one, or another id has this one. */
ringmoe_status rm_tokenizer_spell(ringmoe_tokenizer *tokenizer, int64_t id, const char *text,
                                  int64_t bytes, ringmoe_token_type type, rm_error *error);
/* What the model looks up, when `kind` is known and all its tokens, and no others, are spelled.
 */
ringmoe_status rm_tokenizer_index(ringmoe_tokenizer *tokenizer, rm_error *error);
/* Adds the pair of the next rank. FORMAT: one of the two is no token, or both together. */
ringmoe_status rm_tokenizer_merge(ringmoe_tokenizer *tokenizer, const char *left,
                                  int64_t n_left, const char *right, int64_t n_right,
                                  rm_error *error);
/* After the last of them. */
ringmoe_status rm_tokenizer_finish_merges(ringmoe_tokenizer *tokenizer, rm_error *error);
/* A token that is looked for in texts; after the changes are known. */
ringmoe_status rm_tokenizer_add(ringmoe_tokenizer *tokenizer, rm_added_token token,
                                bool is_normalized, rm_error *error);
/* How ids become text. */
typedef struct rm_decoding {
    bool byte_level;      /* spellings are of bytes */
    bool marks_to_blanks; /* U+2581 becomes a blank */
    bool byte_tokens;     /* <0x41> becomes a byte */
} rm_decoding;
/* When all tokens are spelled: their bytes. */
ringmoe_status rm_tokenizer_decode(ringmoe_tokenizer *tokenizer, rm_decoding decoding,
                                   rm_error *error);

/* A byte-level spelling as the bytes it stands for; -1: it is none. `bytes` has room for as
 * many as the spelling has. */
int64_t rm_byte_level_decode(const char *spelling, int64_t n, char *bytes);
/* The spelling of a byte: 1 or 2 bytes of UTF-8, whose number it returns. */
int rm_byte_level_encode(unsigned char byte, char spelling[2]);
/* The byte of "<0x00>" to "<0xFF>", -1 of others. */
int rm_byte_token(const char *spelling, int64_t n);

/* The patterns that have names in GGUF files. */
typedef struct rm_named_pattern {
    const char *name, *text; /* text: of a step before the bytes' */
    bool is_composed;        /* with NFC before */
    bool takes_whole_words;
} rm_named_pattern;
extern const rm_named_pattern rm_named_patterns[]; /* ended by a NULL name */
/* What GPT-2 cuts by. */
extern const char rm_pattern_gpt2[];

/* Whether llama.cpp puts the first token before texts unless a file says otherwise. */
bool rm_pattern_begins_with_bos(const char *name);
/* Adds a step to cuts; a pattern is compiled. */
ringmoe_status rm_tokenizer_add_pattern(ringmoe_tokenizer *tokenizer, const char *text,
                                        bool is_literal, rm_cut cut, rm_error *error);

/* ringmoe_tokenizer_create, with FORMAT where that has ARGUMENT. */
ringmoe_status rm_tokenizer_from_parts(ringmoe_context *context,
                                       const ringmoe_tokenizer_parts *parts,
                                       ringmoe_tokenizer **tokenizer, rm_error *error);

/* Makes the files of one that was made from lists, if it has none yet. MEMORY. */
ringmoe_status rm_tokenizer_fill_files(ringmoe_tokenizer *tokenizer, rm_error *error);
/* ringmoe_tokenizer_save. */
ringmoe_status rm_tokenizer_save(ringmoe_tokenizer *tokenizer, const char *folder,
                                 rm_error *error);

/* Reads the texts of tokenizer.json and its companions, which are in `files`. */
ringmoe_status rm_tokenizer_read(ringmoe_tokenizer *tokenizer, rm_error *error);

/* Of all that decides a text's ids. */
uint64_t rm_tokenizer_hash(const ringmoe_tokenizer *tokenizer);

/* An encoder: the memory that encoding takes, for one thread at a time. */
typedef struct rm_encoder rm_encoder;
ringmoe_status rm_encoder_create(const ringmoe_tokenizer *tokenizer, rm_encoder **encoder,
                                 rm_error *error);
void rm_encoder_destroy(rm_encoder **encoder);
/* Flags beside RINGMOE_ENCODE_*: the text is a piece of a longer one, cut where text_cuts.h
 * says that one may be. */
enum {
    RM_ENCODE_GOES_ON = 1 << 8,  /* it does not begin a text */
    RM_ENCODE_HAS_MORE = 1 << 9, /* it does not end one */
};
/* From now on the words of texts are counted, and make no ids. */
void rm_encoder_count_words(rm_encoder *encoder, rm_word_counts *words);
/* Ids of a text, which are the encoder's until its next call. */
ringmoe_status rm_encoder_run(rm_encoder *encoder, const char *text, int64_t bytes, int flags,
                              const int32_t **ids, int64_t *n_ids, rm_error *error);

#endif
