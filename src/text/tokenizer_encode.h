/* SPDX-License-Identifier: MIT
 *
 * What the files of the encoder share: its memory and the way from one stage to the next.
 */
#ifndef RM_TOKENIZER_ENCODE_H
#define RM_TOKENIZER_ENCODE_H

#include "text/tokenizer.h"

/* A piece of text on its way. */
typedef struct stretch {
    const char *text;
    int64_t bytes;
    bool is_first; /* begins where the whole text begins */
    bool goes_on;  /* what is before it was encoded by another call: nothing is put in front */
} stretch;

/* Words seen lately and their ids, one cache line each; the place is the word's hash. */
enum { RM_CACHED_WORDS = 1 << 15, RM_CACHED_BYTES = 30, RM_CACHED_IDS = 8 };
typedef struct rm_cached_word {
    uint8_t n_bytes, n_ids; /* 0 bytes: free */
    char bytes[RM_CACHED_BYTES];
    int32_t ids[RM_CACHED_IDS];
} rm_cached_word;

struct rm_encoder {
    const ringmoe_tokenizer *tokenizer;
    rm_error *error; /* of the call */
    int flags;
    int32_t *ids;
    int64_t n_ids, room;
    rm_bytes repaired, changed[2], cut[RM_MOST_STEPS];
    rm_matcher *matcher;
    rm_merge_space space;
    rm_cached_word *cache;
    rm_word_counts *words; /* words are counted here and make no ids; NULL: they do */
};

ringmoe_status rm_encoder_fail_memory(rm_error *error);
/* Room for n more ids. */
ringmoe_status rm_encoder_reserve(rm_encoder *encoder, int64_t n);
/* Applies all changes; the text may lie in one of the buffers afterwards. */
ringmoe_status rm_tokenizer_change(const ringmoe_tokenizer *tokenizer, rm_bytes buffers[2],
                                   stretch *text, rm_error *error);
/* Cuts by the step and those after it, and puts out the ids of the words. */
ringmoe_status rm_encoder_cut(rm_encoder *encoder, int step, stretch text);
/* Puts out the ids of a word. */
ringmoe_status rm_encoder_word(rm_encoder *encoder, const char *text, int64_t bytes);

#endif
