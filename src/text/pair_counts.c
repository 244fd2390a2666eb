/* SPDX-License-Identifier: MIT */
#include "text/pair_counts.h"

#include <stdlib.h>

enum { LEAST_ROOM = 1 << 10 };
static const uint64_t no_key = UINT64_MAX;

/* The pair's entry, or the free one where it belongs. */
static rm_pair *look_up(const rm_pair_counts *counts, uint64_t key)
{
    uint64_t mask = (uint64_t)counts->room - 1;
    for (uint64_t at = (key * 0x9E3779B97F4A7C15u >> 32) & mask;; at = (at + 1) & mask)
        if (counts->pairs[at].key == key || counts->pairs[at].key == no_key)
            return &counts->pairs[at];
}

/* Whether a pair must be remembered. Those that do not occur any more go when the table grows:
 * what it takes follows from how many different pairs the words have now. */
static bool matters(const rm_pair *pair)
{
    return pair->key != no_key && (pair->count > 0 || pair->is_merge);
}

static bool grow(rm_pair_counts *counts)
{
    rm_pair_counts wider = {.room = LEAST_ROOM};
    for (int64_t i = 0; i < counts->room; i++) wider.n += matters(&counts->pairs[i]);
    while (wider.room < 3 * wider.n) wider.room *= 2;
    wider.pairs = malloc((size_t)wider.room * sizeof *wider.pairs);
    if (!wider.pairs) return false;
    for (int64_t i = 0; i < wider.room; i++) wider.pairs[i].key = no_key;
    for (int64_t i = 0; i < counts->room; i++)
        if (matters(&counts->pairs[i]))
            *look_up(&wider, counts->pairs[i].key) = counts->pairs[i];
    free(counts->pairs);
    *counts = wider;
    return true;
}

rm_pair *rm_pair_counts_find(const rm_pair_counts *counts, uint64_t key)
{
    rm_pair *pair = look_up(counts, key);
    return pair->key == key ? pair : NULL;
}

rm_pair *rm_pair_counts_put(rm_pair_counts *counts, uint64_t key)
{
    if (4 * (counts->n + 1) > 3 * counts->room && !grow(counts)) return NULL;
    rm_pair *pair = look_up(counts, key);
    if (pair->key == no_key) {
        *pair = (rm_pair){.key = key, .first = -1, .last = -1, .step = -1};
        counts->n++;
    }
    return pair;
}

void rm_pair_counts_free(rm_pair_counts *counts)
{
    free(counts->pairs);
    *counts = (rm_pair_counts){0};
}

static bool comes_before(rm_queued_pair a, rm_queued_pair b)
{
    return a.count != b.count ? a.count > b.count : a.key < b.key;
}

bool rm_pair_queue_push(rm_pair_queue *queue, rm_queued_pair item)
{
    if (queue->n == queue->room) {
        int64_t room = queue->room ? 2 * queue->room : LEAST_ROOM;
        rm_queued_pair *items = realloc(queue->items, (size_t)room * sizeof *items);
        if (!items) return false;
        queue->items = items;
        queue->room = room;
    }
    int64_t at = queue->n++;
    for (; at > 0 && comes_before(item, queue->items[(at - 1) / 2]); at = (at - 1) / 2)
        queue->items[at] = queue->items[(at - 1) / 2];
    queue->items[at] = item;
    return true;
}

bool rm_pair_queue_pop(rm_pair_queue *queue, rm_queued_pair *item)
{
    if (queue->n == 0) return false;
    *item = queue->items[0];
    rm_queued_pair last = queue->items[--queue->n];
    int64_t at = 0;
    for (int64_t child; (child = 2 * at + 1) < queue->n; at = child) {
        if (child + 1 < queue->n && comes_before(queue->items[child + 1], queue->items[child]))
            child++;
        if (!comes_before(queue->items[child], last)) break;
        queue->items[at] = queue->items[child];
    }
    queue->items[at] = last;
    return true;
}

void rm_pair_queue_free(rm_pair_queue *queue)
{
    free(queue->items);
    *queue = (rm_pair_queue){0};
}
