/* SPDX-License-Identifier: MIT
 *
 * All words lie one behind the other, a place for each byte and one with -1 between them. A
 * symbol has its id in its first and its last place, so both neighbours of a symbol are found
 * by their lengths:
 *
 *   words    a n d . t h e .        after  t h -> 256,  256 e -> 257:
 *   symbols  97 110 100 -1 116 104 101 -1        97 110 100 -1 257 (.) 257 -1
 *
 * The places where a pair begins are a list through `before` and `after`, as a place begins one
 * pair at a time. A merge visits the places of its pair and no others. The queue may hold a
 * count that has become smaller: such a pair is put back with the true one.
 */
#include "text/learn_merges.h"

#include <stdlib.h>
#include <string.h>

#include "text/pair_counts.h"

enum { MERGES_A_CALL = 64 };

typedef struct merge_learner {
    rm_vocabulary *vocabulary;
    int64_t least_count, n_places;
    int32_t *symbols, *words, *before, *after; /* [n_places] */
    int64_t *counts;                           /* of the words */
    rm_pair_counts pairs;
    rm_pair_queue queue;
    uint64_t *grown; /* pairs that became more in this step */
    int64_t n_grown, grown_room;
    int32_t step;
} merge_learner;

static ringmoe_status fail_memory(rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to learn a vocabulary");
}

/* --- pairs at places -----------------------------------------------------------------------
 */

static bool note_growth(merge_learner *learner, rm_pair *pair)
{
    if (pair->step == learner->step) return true;
    if (learner->n_grown == learner->grown_room) {
        int64_t room = 2 * learner->grown_room + 256;
        uint64_t *grown = realloc(learner->grown, (size_t)room * sizeof *grown);
        if (!grown) return false;
        learner->grown = grown;
        learner->grown_room = room;
    }
    pair->step = learner->step;
    learner->grown[learner->n_grown++] = pair->key;
    return true;
}

static bool link_place(merge_learner *learner, uint64_t key, int32_t place)
{
    rm_pair *pair = rm_pair_counts_put(&learner->pairs, key);
    if (!pair || !note_growth(learner, pair)) return false;
    learner->before[place] = pair->last;
    learner->after[place] = -1;
    if (pair->last >= 0)
        learner->after[pair->last] = place;
    else
        pair->first = place;
    pair->last = place;
    pair->count += learner->counts[learner->words[place]];
    return true;
}

static void unlink_place(merge_learner *learner, uint64_t key, int32_t place)
{
    rm_pair *pair = rm_pair_counts_find(&learner->pairs, key);
    int32_t before = learner->before[place], after = learner->after[place];
    if (before >= 0)
        learner->after[before] = after;
    else
        pair->first = after;
    if (after >= 0)
        learner->before[after] = before;
    else
        pair->last = before;
    pair->count -= learner->counts[learner->words[place]];
}

static int32_t length_of(const merge_learner *learner, int32_t id)
{
    return (int32_t)learner->vocabulary->tokens[id].n;
}

/* The pair that begins at a place becomes one symbol. */
static bool merge_at(merge_learner *learner, int32_t place, rm_merge merge)
{
    int32_t *symbols = learner->symbols;
    int32_t right_place = place + length_of(learner, merge.left);
    int32_t behind = right_place + length_of(learner, merge.right);
    int32_t last = symbols[place - 1], next = symbols[behind];
    int32_t last_place = last >= 0 ? place - length_of(learner, last) : -1;
    unlink_place(learner, rm_pair_key(merge.left, merge.right), place);
    if (last >= 0) unlink_place(learner, rm_pair_key(last, merge.left), last_place);
    if (next >= 0) unlink_place(learner, rm_pair_key(merge.right, next), right_place);
    symbols[place] = symbols[behind - 1] = merge.id;
    return (last < 0 || link_place(learner, rm_pair_key(last, merge.id), last_place)) &&
           (next < 0 || link_place(learner, rm_pair_key(merge.id, next), place));
}

static bool merge_everywhere(merge_learner *learner, rm_merge merge)
{
    uint64_t key = rm_pair_key(merge.left, merge.right);
    for (;;) {
        int32_t place = rm_pair_counts_find(&learner->pairs, key)->first;
        if (place < 0) return true;
        if (!merge_at(learner, place, merge)) return false;
    }
}

static int64_t count_of(const merge_learner *learner, uint64_t key)
{
    const rm_pair *pair = rm_pair_counts_find(&learner->pairs, key);
    return pair ? pair->count : 0;
}

/* What has become more in this step is queued. */
static bool end_step(merge_learner *learner)
{
    for (int64_t i = 0; i < learner->n_grown; i++) {
        uint64_t key = learner->grown[i];
        int64_t count = count_of(learner, key);
        if (count >= learner->least_count &&
            !rm_pair_queue_push(&learner->queue, (rm_queued_pair){count, key}))
            return false;
    }
    learner->n_grown = 0;
    learner->step++;
    return true;
}

/* --- the words laid out ---------------------------------------------------------------------
 */

static ringmoe_status measure(merge_learner *learner, const rm_word_counts *words,
                              rm_error *error)
{
    learner->n_places = 1;
    for (int64_t i = 0; i < words->room; i++)
        if (words->entries[i].bytes > 1) learner->n_places += words->entries[i].bytes + 1;
    if (learner->n_places <= INT32_MAX) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "the different words of the texts have %lld bytes; at most 2 GiB are "
                   "possible: give less text",
                   (long long)learner->n_places);
}

static ringmoe_status reserve(merge_learner *learner, const rm_word_counts *words,
                              rm_error *error)
{
    size_t n = (size_t)learner->n_places;
    learner->symbols = malloc(n * sizeof *learner->symbols);
    learner->words = malloc(n * sizeof *learner->words);
    learner->before = malloc(n * sizeof *learner->before);
    learner->after = malloc(n * sizeof *learner->after);
    learner->counts = malloc((size_t)(words->n_words + 1) * sizeof *learner->counts);
    bool done = learner->symbols && learner->words && learner->before && learner->after &&
                learner->counts;
    return done ? RINGMOE_OK : fail_memory(error);
}

/* A single byte has no pairs. */
static bool lay_out(merge_learner *learner, const rm_word_counts *words)
{
    const int32_t *byte_ids = learner->vocabulary->byte_ids;
    int32_t place = 0, n_words = 0;
    learner->symbols[place++] = -1;
    for (int64_t i = 0; i < words->room; i++) {
        const rm_counted_word *word = &words->entries[i];
        if (word->bytes < 2) continue;
        learner->counts[n_words] = word->count;
        for (int64_t at = 0; at < word->bytes; at++, place++) {
            learner->symbols[place] = byte_ids[(unsigned char)word->text[at]];
            learner->words[place] = n_words;
            if (at > 0 &&
                !link_place(learner,
                            rm_pair_key(learner->symbols[place - 1], learner->symbols[place]),
                            place - 1))
                return false;
        }
        learner->symbols[place++] = -1;
        n_words++;
    }
    return end_step(learner);
}

/* --- merges ---------------------------------------------------------------------------------
 */

/* The token of two together: a new one, or one that is there; -1 without memory. */
static int32_t token_of(rm_vocabulary *vocabulary, int32_t left, int32_t right)
{
    const rm_learned_token *a = &vocabulary->tokens[left], *b = &vocabulary->tokens[right];
    char *bytes = malloc((size_t)(a->n + b->n));
    if (!bytes) return -1;
    memcpy(bytes, a->bytes, (size_t)a->n);
    memcpy(bytes + a->n, b->bytes, (size_t)b->n);
    int32_t id = rm_text_map_find(&vocabulary->ids, bytes, a->n + b->n);
    if (id < 0) {
        rm_learned_token made = {rm_text_pool_add(&vocabulary->texts, bytes, a->n + b->n),
                                 a->n + b->n};
        if (made.bytes) {
            id = vocabulary->n_tokens++;
            vocabulary->tokens[id] = made;
            rm_text_map_put(&vocabulary->ids, made.bytes, made.n, id);
        }
    }
    free(bytes);
    return id;
}

static bool keep_merge(rm_vocabulary *vocabulary, rm_merge merge)
{
    if (vocabulary->n_merges == vocabulary->merge_room) {
        int64_t room = 2 * vocabulary->merge_room + 1024;
        rm_merge *merges = realloc(vocabulary->merges, (size_t)room * sizeof *merges);
        if (!merges) return false;
        vocabulary->merges = merges;
        vocabulary->merge_room = room;
    }
    merge.rank = (int32_t)vocabulary->n_merges;
    vocabulary->merges[vocabulary->n_merges++] = merge;
    return true;
}

/* What would spell a special token stays two. Two tokens may make one that other two have made
 * before; then a pair that was merged everywhere can come again. */
static bool merge_pair(merge_learner *learner, uint64_t key)
{
    rm_vocabulary *vocabulary = learner->vocabulary;
    rm_merge merge = {.left = (int32_t)(key >> 32), .right = (int32_t)(key & UINT32_MAX)};
    merge.id = token_of(vocabulary, merge.left, merge.right);
    if (merge.id < 0) return false;
    if (merge.id < vocabulary->n_special) return true;
    rm_pair *pair = rm_pair_counts_find(&learner->pairs, key);
    if (!pair->is_merge && !keep_merge(vocabulary, merge)) return false;
    pair->is_merge = true;
    return merge_everywhere(learner, merge) && end_step(learner);
}

static ringmoe_status learn(merge_learner *learner, rm_learn_watch *watch, rm_error *error)
{
    rm_vocabulary *vocabulary = learner->vocabulary;
    rm_queued_pair top;
    while (vocabulary->n_tokens < vocabulary->room &&
           rm_pair_queue_pop(&learner->queue, &top)) {
        int64_t count = count_of(learner, top.key);
        if (count < learner->least_count) continue;
        if (count != top.count) {
            top.count = count;
            if (!rm_pair_queue_push(&learner->queue, top)) return fail_memory(error);
            continue;
        }
        if (!merge_pair(learner, top.key)) return fail_memory(error);
        if (learner->step % MERGES_A_CALL == 0 && watch->call(watch, vocabulary->n_tokens))
            return rm_fail(error, RINGMOE_ERROR_INTERRUPTED,
                           "stopped with %d tokens learned: nothing is written",
                           (int)vocabulary->n_tokens);
    }
    return RINGMOE_OK;
}

ringmoe_status rm_learn_merges(const rm_word_counts *words, int64_t least_count,
                               rm_vocabulary *vocabulary, rm_learn_watch *watch,
                               rm_error *error)
{
    merge_learner learner = {.vocabulary = vocabulary, .least_count = least_count};
    ringmoe_status status = measure(&learner, words, error);
    if (status == RINGMOE_OK) status = reserve(&learner, words, error);
    if (status == RINGMOE_OK && !lay_out(&learner, words)) status = fail_memory(error);
    if (status == RINGMOE_OK) status = learn(&learner, watch, error);
    rm_pair_queue_free(&learner.queue);
    rm_pair_counts_free(&learner.pairs);
    free(learner.symbols);
    free(learner.words);
    free(learner.before);
    free(learner.after);
    free(learner.counts);
    free(learner.grown);
    return status;
}
