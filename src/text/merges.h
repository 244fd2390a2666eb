/* SPDX-License-Identifier: MIT
 *
 * Byte-pair encoding of one word: of all neighbours the pair of the lowest rank is merged, the
 * leftmost of several, until no pair is in the table (Sennrich, Haddow, Birch, "Neural machine
 * translation of rare words with subword units", ACL 2016).
 */
#ifndef RM_MERGES_H
#define RM_MERGES_H

#include "base/status.h"

typedef struct rm_merge {
    int32_t left, right; /* left -1: a free entry */
    int32_t rank, id;    /* id: of what they become */
} rm_merge;

/* Open addressing by the pair. A zeroed one is empty. */
typedef struct rm_merges {
    rm_merge *entries;
    uint32_t mask;
} rm_merges;

/* Room for so many pairs. MEMORY. */
ringmoe_status rm_merges_init(rm_merges *merges, int64_t most, rm_error *error);
void rm_merges_free(rm_merges *merges);
/* A pair that is there gets the new rank. */
void rm_merges_put(rm_merges *merges, rm_merge merge);
/* NULL: these two are not merged. */
const rm_merge *rm_merges_find(const rm_merges *merges, int32_t left, int32_t right);

/* Memory for long words, kept from one to the next; a zeroed one to begin with. */
typedef struct rm_merge_space {
    struct rm_symbol *symbols;
    uint64_t *heap;
    int64_t room;
} rm_merge_space;
void rm_merge_space_free(rm_merge_space *space);

/* Merges ids[0 .. n - 1] in place; n becomes what is left. Quadratic only in short words, else
 * n log n. MEMORY. */
ringmoe_status rm_merges_apply(const rm_merges *merges, rm_merge_space *space, int32_t *ids,
                               int64_t *n, rm_error *error);

#endif
