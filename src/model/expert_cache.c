/* SPDX-License-Identifier: MIT
 *
 *   slots   | gate | down | up | of expert 7 of layer 0 |  | .. of expert 2 of layer 5 |  ...
 *
 * An expert that has rows and no slot takes that of the one that was used longest ago, and is
 * packed from its file, in threads. Its packed form is the same as if it had been there all the
 * time, and so are all results.
 *
 * All experts that a layer is about to use are packed in one go, in the order of the files, so
 * that the disk has much to do at a time.
 */
#include "model/expert_cache.h"

#include <stdlib.h>

#include "model/pack_weights.h"

/* An expert of this rank. */
typedef struct cached_expert {
    rm_matrix_source sources[RM_EXPERT_MATRICES];
    rm_matrix *matrices[RM_EXPERT_MATRICES];
    int n;    /* matrices found so far */
    int slot; /* -1: none */
} cached_expert;

typedef struct cache_slot {
    cached_expert *expert; /* NULL: free */
    int64_t last_used;
} cache_slot;

struct rm_expert_cache {
    const ringmoe_model *model;
    rm_opened_weights opened;
    rm_arena arena; /* the slots' memory */
    int64_t slot_bytes;
    int n_slots, n_local;
    cached_expert *experts;   /* [n_layers][n_local] */
    cache_slot *slots;        /* [n_slots] */
    rm_matrix_source *wanted; /* [RM_EXPERT_MATRICES * n_slots]: what is packed next */
    int64_t now;              /* a number for each use */
    ringmoe_status status;    /* of what failed */
};

static cached_expert *expert_of(const rm_expert_cache *cache, int layer, int local)
{
    return &cache->experts[(int64_t)layer * cache->n_local + local];
}

/* Lists the matrices of each expert, of which this rank has n_experts; returns the bytes of the
 * largest. */
static int64_t list_experts(rm_expert_cache *cache, ringmoe_model *model, int64_t *n_experts)
{
    const rm_compute *compute = &model->mesh->context->compute;
    int64_t largest = 0, bytes = 0;
    *n_experts = 0;
    for (int i = 0; i < model->n_matrices; i++) {
        const rm_parameter *parameter = model->matrix_parameters[i];
        if (parameter->kind != RM_KIND_EXPERT) continue;
        cached_expert *expert =
            expert_of(cache, parameter->layer, parameter->expert % cache->n_local);
        if (expert->n == 0) {
            bytes = 0;
            ++*n_experts;
        }
        expert->slot = -1;
        expert->matrices[expert->n] = model->matrices[i];
        expert->sources[expert->n++] = rm_matrix_source_of(model, cache->opened.places, i);
        bytes += rm_matrix_packed_bytes(compute, model->matrices[i]);
        if (bytes > largest) largest = bytes;
    }
    return largest;
}

static ringmoe_status allocate_slots(rm_expert_cache *cache, int64_t bytes, int64_t n_experts,
                                     rm_error *error)
{
    int64_t n_slots = bytes / cache->slot_bytes;
    if (n_slots > n_experts) n_slots = n_experts;
    if (n_slots < 1)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "experts_in_memory is %lld bytes; one expert takes %lld",
                       (long long)bytes, (long long)cache->slot_bytes);
    cache->n_slots = (int)n_slots;
    cache->slots = calloc((size_t)n_slots, sizeof *cache->slots);
    cache->wanted = calloc((size_t)n_slots * RM_EXPERT_MATRICES, sizeof *cache->wanted);
    if (!cache->slots || !cache->wanted)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %lld experts",
                       (long long)n_slots);
    return rm_arena_reserve(&cache->arena, (size_t)(n_slots * cache->slot_bytes), error);
}

/* --- use --- */

/* The expert's packed forms are in the slot, or with slot -1 nowhere. */
static void place_expert(const rm_expert_cache *cache, cached_expert *expert, int slot)
{
    const rm_compute *compute = &cache->model->mesh->context->compute;
    char *at = slot < 0 ? NULL : cache->arena.base + slot * cache->slot_bytes;
    expert->slot = slot;
    for (int i = 0; i < RM_EXPERT_MATRICES; i++) {
        expert->matrices[i]->forward.data = at;
        if (at) at += rm_matrix_packed_bytes(compute, expert->matrices[i]);
    }
}

/* The slot that was used longest ago becomes the expert's. */
static void take_slot(rm_expert_cache *cache, cached_expert *expert)
{
    int oldest = 0;
    for (int i = 1; i < cache->n_slots; i++)
        if (cache->slots[i].last_used < cache->slots[oldest].last_used) oldest = i;
    cache_slot *slot = &cache->slots[oldest];
    if (slot->expert) place_expert(cache, slot->expert, -1);
    *slot = (cache_slot){expert, cache->now};
    place_expert(cache, expert, oldest);
}

/* Experts of [first, n) up to the result have rows for no more slots than there are; those that
 * have a slot keep it. */
static int find_end(rm_expert_cache *cache, int layer, const int64_t *offsets, int first, int n)
{
    int end = first;
    for (int used = 0; end < n; end++) {
        if (offsets[end + 1] == offsets[end]) continue;
        if (used++ == cache->n_slots) break;
        const cached_expert *expert = expert_of(cache, layer, end);
        if (expert->slot >= 0) cache->slots[expert->slot].last_used = cache->now;
    }
    return end;
}

/* An expert that cannot be read keeps its slot until the pass is over, with what is in it, and
 * is then read anew. */
static void forget(rm_expert_cache *cache)
{
    for (int i = 0; i < cache->n_slots; i++) {
        if (cache->slots[i].expert) place_expert(cache, cache->slots[i].expert, -1);
        cache->slots[i] = (cache_slot){0};
    }
}

static int bring(void *user, int layer, const int64_t *offsets, int first, int n)
{
    rm_expert_cache *cache = user;
    ringmoe_context *context = cache->model->mesh->context;
    int n_wanted = 0;
    cache->now++;
    int end = find_end(cache, layer, offsets, first, n);
    for (int e = first; e < end; e++) {
        cached_expert *expert = expert_of(cache, layer, e);
        if (offsets[e + 1] == offsets[e] || expert->slot >= 0) continue;
        take_slot(cache, expert);
        for (int i = 0; i < RM_EXPERT_MATRICES; i++) {
            cache->wanted[n_wanted] = expert->sources[i];
            cache->wanted[n_wanted++].matrix = expert->matrices[i];
        }
    }
    if (n_wanted == 0) return end;
    rm_progress_tick(&context->progress);
    ringmoe_status status =
        rm_pack_from_files(&context->compute, &cache->model->table.placement, cache->wanted,
                           n_wanted, &context->error);
    if (cache->status == RINGMOE_OK) cache->status = status;
    return end;
}

ringmoe_status rm_expert_cache_settle(const ringmoe_model *model)
{
    const ringmoe_mesh *mesh = model->mesh;
    rm_error *error = &mesh->context->error;
    rm_expert_cache *cache = model->expert_cache;
    if (!cache) return RINGMOE_OK;
    ringmoe_status status = cache->status;
    if (status != RINGMOE_OK) forget(cache);
    cache->status = RINGMOE_OK;
    status = rm_agree(&mesh->expert, status, error);
    return rm_agree(&mesh->tensor, status, error);
}

int64_t rm_expert_cache_bytes(const ringmoe_model *model)
{
    const rm_expert_cache *cache = model->expert_cache;
    return cache ? cache->n_slots * cache->slot_bytes : 0;
}

/* --- beginning and end --- */

static void supply_layers(ringmoe_model *model)
{
    for (int i = 0; i < model->config.num_hidden_layers; i++)
        model->layers[i].moe.supply = (rm_expert_supply){bring, model->expert_cache};
}

ringmoe_status rm_expert_cache_create(ringmoe_model *model, rm_opened_weights *opened,
                                      int64_t bytes, rm_error *error)
{
    const ringmoe_model_config *config = &model->config;
    rm_expert_cache *cache = calloc(1, sizeof *cache);
    int n_local = config->num_local_experts / model->table.placement.expert_ranks;
    int64_t n_experts, n_places = (int64_t)config->num_hidden_layers * n_local;
    cached_expert *experts = calloc((size_t)n_places + 1, sizeof *experts);
    if (!cache || !experts) {
        free(cache);
        free(experts);
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of experts");
    }
    *cache = (rm_expert_cache){
        .model = model, .opened = *opened, .n_local = n_local, .experts = experts};
    *opened = (rm_opened_weights){0};
    model->expert_cache = cache;
    cache->slot_bytes = list_experts(cache, model, &n_experts);
    if (cache->slot_bytes == 0) return RINGMOE_OK;
    RM_TRY(allocate_slots(cache, bytes, n_experts, error));
    supply_layers(model);
    return RINGMOE_OK;
}

void rm_expert_cache_free(ringmoe_model *model)
{
    rm_expert_cache *cache = model->expert_cache;
    if (!cache) return;
    rm_weights_close(&cache->opened);
    rm_arena_free(&cache->arena);
    free(cache->experts);
    free(cache->slots);
    free(cache->wanted);
    free(cache);
    model->expert_cache = NULL;
}
