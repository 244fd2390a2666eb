/* SPDX-License-Identifier: MIT
 *
 * Short words keep the rank of each pair of neighbours in a row and look for the smallest.
 * Longer ones are a linked list of symbols and a heap of pairs, (rank, place) in one number;
 * what the heap says of a pair that has changed since is known by its rank and passed over.
 */
#include "text/merges.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_WORD = 48 };
static const int32_t no_rank = INT32_MAX;

typedef struct rm_symbol {
    int32_t id;         /* -1: merged into the one before */
    int32_t rank;       /* of the pair with the next one */
    int32_t last, next; /* -1: none */
} rm_symbol;

ringmoe_status rm_merges_init(rm_merges *merges, int64_t most, rm_error *error)
{
    uint32_t room = 16;
    while (room < 2 * most) room *= 2;
    merges->mask = room - 1;
    merges->entries = malloc(room * sizeof *merges->entries);
    if (!merges->entries)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld merges",
                       (long long)most);
    for (uint32_t i = 0; i < room; i++) merges->entries[i].left = -1;
    return RINGMOE_OK;
}

void rm_merges_free(rm_merges *merges)
{
    free(merges->entries);
    *merges = (rm_merges){0};
}

/* The pair's entry, or the free one where it belongs. */
static rm_merge *look_up(const rm_merges *merges, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint32_t at = (uint32_t)(pair * 0x9E3779B97F4A7C15u >> 32) & merges->mask;
    for (;; at = (at + 1) & merges->mask) {
        rm_merge *entry = &merges->entries[at];
        if (entry->left < 0 || (entry->left == left && entry->right == right)) return entry;
    }
}

void rm_merges_put(rm_merges *merges, rm_merge merge)
{
    *look_up(merges, merge.left, merge.right) = merge;
}

const rm_merge *rm_merges_find(const rm_merges *merges, int32_t left, int32_t right)
{
    const rm_merge *entry = look_up(merges, left, right);
    return entry->left < 0 ? NULL : entry;
}

static int32_t rank_of(const rm_merges *merges, int32_t left, int32_t right)
{
    const rm_merge *merge = rm_merges_find(merges, left, right);
    return merge ? merge->rank : no_rank;
}

static void merge_short(const rm_merges *merges, int32_t *ids, int64_t *n)
{
    int32_t ranks[SHORT_WORD];
    int count = (int)*n;
    for (int i = 0; i + 1 < count; i++) ranks[i] = rank_of(merges, ids[i], ids[i + 1]);
    while (count > 1) {
        int best = 0;
        for (int i = 1; i + 1 < count; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == no_rank) break;
        ids[best] = rm_merges_find(merges, ids[best], ids[best + 1])->id;
        count--;
        size_t behind = (size_t)(count - best - 1);
        memmove(ids + best + 1, ids + best + 2, behind * sizeof *ids);
        if (behind) memmove(ranks + best + 1, ranks + best + 2, (behind - 1) * sizeof *ranks);
        if (behind) ranks[best] = rank_of(merges, ids[best], ids[best + 1]);
        if (best > 0) ranks[best - 1] = rank_of(merges, ids[best - 1], ids[best]);
    }
    *n = count;
}

/* --- long words -------------------------------------------------------------------------- */

typedef struct pair_heap {
    uint64_t *items;
    int64_t count;
} pair_heap;

static void push(pair_heap *heap, int32_t rank, int64_t place)
{
    if (rank == no_rank) return;
    uint64_t item = (uint64_t)(uint32_t)rank << 32 | (uint32_t)place;
    int64_t at = heap->count++;
    for (; at > 0 && heap->items[(at - 1) / 2] > item; at = (at - 1) / 2)
        heap->items[at] = heap->items[(at - 1) / 2];
    heap->items[at] = item;
}

static uint64_t pop(pair_heap *heap)
{
    uint64_t top = heap->items[0], item = heap->items[--heap->count];
    int64_t at = 0;
    for (int64_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && heap->items[child + 1] < heap->items[child]) child++;
        if (heap->items[child] >= item) break;
        heap->items[at] = heap->items[child];
    }
    heap->items[at] = item;
    return top;
}

/* The pair that begins at `place` has changed. */
static void renew(const rm_merges *merges, rm_symbol *symbols, pair_heap *heap, int64_t place)
{
    rm_symbol *symbol = &symbols[place];
    symbol->rank =
        symbol->next < 0 ? no_rank : rank_of(merges, symbol->id, symbols[symbol->next].id);
    push(heap, symbol->rank, place);
}

static void merge_at(const rm_merges *merges, rm_symbol *symbols, pair_heap *heap,
                     int64_t place)
{
    rm_symbol *symbol = &symbols[place], *gone = &symbols[symbol->next];
    symbol->id = rm_merges_find(merges, symbol->id, gone->id)->id;
    symbol->next = gone->next;
    *gone = (rm_symbol){.id = -1, .rank = no_rank, .last = -1, .next = -1};
    if (symbol->next >= 0) symbols[symbol->next].last = (int32_t)place;
    renew(merges, symbols, heap, place);
    if (symbol->last >= 0) renew(merges, symbols, heap, symbol->last);
}

/* A merge adds at most two pairs to the heap, so 3 n is room for all. */
static ringmoe_status reserve(rm_merge_space *space, int64_t n, rm_error *error)
{
    if (n <= space->room) return RINGMOE_OK;
    rm_merge_space_free(space);
    space->symbols = malloc((size_t)n * sizeof *space->symbols);
    space->heap = malloc(3 * (size_t)n * sizeof *space->heap);
    if (!space->symbols || !space->heap) {
        rm_merge_space_free(space);
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a word of %lld characters",
                       (long long)n);
    }
    space->room = n;
    return RINGMOE_OK;
}

void rm_merge_space_free(rm_merge_space *space)
{
    free(space->symbols);
    free(space->heap);
    *space = (rm_merge_space){0};
}

static void merge_long(const rm_merges *merges, rm_merge_space *space, int32_t *ids, int64_t *n)
{
    rm_symbol *symbols = space->symbols;
    pair_heap pairs = {space->heap, 0};
    for (int64_t i = 0; i < *n; i++)
        symbols[i] =
            (rm_symbol){ids[i], no_rank, (int32_t)i - 1, i + 1 < *n ? (int32_t)(i + 1) : -1};
    for (int64_t i = 0; i < *n; i++) renew(merges, symbols, &pairs, i);
    while (pairs.count > 0) {
        uint64_t top = pop(&pairs);
        int64_t place = (int64_t)(top & UINT32_MAX);
        if (symbols[place].rank == (int32_t)(top >> 32))
            merge_at(merges, symbols, &pairs, place);
    }
    int64_t kept = 0;
    for (int64_t i = 0; i >= 0; i = symbols[i].next) ids[kept++] = symbols[i].id;
    *n = kept;
}

ringmoe_status rm_merges_apply(const rm_merges *merges, rm_merge_space *space, int32_t *ids,
                               int64_t *n, rm_error *error)
{
    if (*n <= SHORT_WORD) {
        merge_short(merges, ids, n);
        return RINGMOE_OK;
    }
    RM_TRY(reserve(space, *n, error));
    merge_long(merges, space, ids, n);
    return RINGMOE_OK;
}
