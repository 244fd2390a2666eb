/* SPDX-License-Identifier: MIT
 *
 * Words of any bytes and how often each was seen.
 */
#ifndef RM_WORD_COUNTS_H
#define RM_WORD_COUNTS_H

#include "text/text_map.h"

typedef struct rm_counted_word {
    const char *text; /* NULL: free */
    uint64_t hash;
    int64_t count;
    int64_t bytes;
} rm_counted_word;

/* Open addressing that grows. A zeroed one is empty. */
typedef struct rm_word_counts {
    rm_counted_word *entries;
    int64_t room, n_words; /* room: 0 or a power of two */
    rm_text_pool texts;
} rm_word_counts;

/* Counts a word `count` times more; the text is copied when it is new. False without memory. */
bool rm_word_counts_add(rm_word_counts *counts, const char *text, int64_t bytes, int64_t count);
/* Counts all words of `from` too. False without memory. */
bool rm_word_counts_join(rm_word_counts *counts, const rm_word_counts *from);
void rm_word_counts_free(rm_word_counts *counts);

#endif
