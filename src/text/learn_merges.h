/* SPDX-License-Identifier: MIT
 *
 * Learns byte-pair encoding from counted words (Sennrich, Haddow, Birch, "Neural machine
 * translation of rare words with subword units", ACL 2016): the most frequent pair of
 * neighbours becomes a token, again and again; of several as frequent the one of the lowest
 * ids, left before right. So the order of the words does not matter.
 */
#ifndef RM_LEARN_MERGES_H
#define RM_LEARN_MERGES_H

#include "text/merges.h"
#include "text/word_counts.h"

typedef struct rm_learned_token {
    const char *bytes;
    int64_t n;
} rm_learned_token;

/* A vocabulary on its way. */
typedef struct rm_vocabulary {
    rm_learned_token *tokens; /* [room] by id; a special one has no bytes here */
    int32_t n_tokens, room;   /* room: how many there shall be */
    int32_t n_special;        /* they have the first ids, single bytes the next 256 */
    int32_t byte_ids[256];
    rm_text_map ids; /* by bytes: of tokens, and of what special tokens spell */
    rm_text_pool texts;
    rm_merge *merges; /* in order */
    int64_t n_merges, merge_room;
} rm_vocabulary;

/* Called now and then with how many tokens there are; returns 0 to go on. */
typedef struct rm_learn_watch {
    int (*call)(struct rm_learn_watch *watch, int32_t n_tokens);
} rm_learn_watch;

/* Adds tokens and merges until there are `room` tokens, or no pair is left that occurs
 * least_count times. Time and memory grow with the words' bytes. ARGUMENT: more than 2 GiB of
 * them; INTERRUPTED: the watch said so; MEMORY. */
ringmoe_status rm_learn_merges(const rm_word_counts *words, int64_t least_count,
                               rm_vocabulary *vocabulary, rm_learn_watch *watch,
                               rm_error *error);

#endif
