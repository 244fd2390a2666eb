/* SPDX-License-Identifier: MIT
 *
 * The texts that are being made, each in a place of the cache, and what the next pass of the
 * model does for them: either it reads on in prompts, as many of their tokens as a pass takes,
 * or every text gets its next token.
 *
 *   place 0   | prompt: read .......... | unread ... |
 *   place 1   | prompt: read | made: read ... | newest |       the newest is in no cache yet
 *   place 2   free
 */
#ifndef RM_TEXTS_H
#define RM_TEXTS_H

#include <ringmoe/generate.h>

#include "model/model.h"

typedef struct rm_text {
    int prompt;                   /* index; -1: the place is free */
    const ringmoe_prompt *source; /* the prompt itself */
    int64_t n_read;               /* tokens in the cache */
    int64_t n_new;                /* tokens made */
    int32_t newest;
    uint64_t *seen; /* a bit for each token of the vocabulary that the text has */
} rm_text;

typedef struct rm_texts {
    const ringmoe_prompt *prompts;
    int n_prompts, next; /* the first that has no place yet */
    int vocab_size;
    int64_t max_tokens; /* of a pass */
    rm_kv_cache cache;
    rm_text *texts; /* [n_places] */

    /* The pass at hand: run i is of texts[runs[i].place]. */
    rm_decode_run *runs; /* [n_places] */
    int n_runs;
    bool reads_prompts;
    int64_t n_rows;
    int32_t *tokens; /* [max_tokens] */
} rm_texts;

/* Takes everything from an arena (which may be measuring); places are free. */
void rm_texts_layout(rm_texts *texts, const ringmoe_model *model, const ringmoe_prompt *prompts,
                     int n_prompts, int64_t max_new_tokens, rm_arena *arena);
/* Gives free places to prompts and makes the next pass; false if there is nothing to do. */
bool rm_texts_next_pass(rm_texts *texts);
/* The pass was done. */
void rm_texts_read(rm_texts *texts);
/* A new token of a text. */
void rm_text_append(rm_text *text, int32_t token);

#endif
