/* SPDX-License-Identifier: MIT
 *
 * Every rank hashes all it has of each parameter, and compares with the first rank that has the
 * same elements, the owner of that entry:
 *
 *   parameter i   | part of tensor rank 0 | .. | of T - 1 |    not cut: the first entry for all
 *   last of all   | the routers' selection biases |
 *
 * A tied head stands in the embedding's entries, as a copy that a rank may have beside it.
 */
#include "train/replicas.h"

#include <limits.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/random.h"
#include "train/digest.h"

/* What one rank knows; [n] each. */
typedef struct replica_set {
    const ringmoe_trainer *trainer;
    const rm_parameter_table *table;
    const rm_axis *world;
    int n, n_parts;
    bool *has;           /* whether this rank has a copy */
    uint64_t *own;       /* its hash */
    int *owners;         /* first ranks */
    uint64_t *reference; /* their hashes */
    int64_t first;       /* entry * ranks + rank of the first difference; INT64_MAX: none */
} replica_set;

static void note_difference(replica_set *set, int64_t entry)
{
    int64_t key = entry * set->world->size + set->world->rank;
    if (key < set->first) set->first = key;
}

/* A second copy on this rank, a head beside its embedding, is compared at once. */
static void add_hash(replica_set *set, int64_t entry, uint64_t hash)
{
    if (set->has[entry] && set->own[entry] != hash) note_difference(set, entry);
    set->has[entry] = true;
    set->own[entry] = hash;
}

static void hash_parameter(replica_set *set, int number)
{
    const ringmoe_trainer *trainer = set->trainer;
    const rm_parameter *parameter = &set->table->parameters[number];
    if (!rm_model_holds(trainer->model, parameter)) return;
    int named = parameter->tied ? 0 : number; /* the embedding is the first parameter */
    int part = parameter->slice == RM_SLICE_NONE ? 0 : trainer->mesh->tensor.rank;
    const rm_share all = {0, rm_own_part(trainer, parameter).n_elements};
    uint64_t stream = rm_random_stream(set->table->parameters[named].name);
    add_hash(set, (int64_t)named * set->n_parts + part,
             rm_hash_share(trainer, parameter, all, stream, rm_values_of_weights, NULL));
}

static void hash_own(replica_set *set)
{
    const ringmoe_trainer *trainer = set->trainer;
    const rm_real *biases = rm_model_router_bias(trainer->model);
    size_t n_biases = (size_t)rm_measures_counts(&trainer->measures);
    set->first = INT64_MAX;
    for (int i = 0; i < set->table->n_parameters; i++) hash_parameter(set, i);
    if (biases) add_hash(set, set->n - 1, XXH64(biases, n_biases * sizeof *biases, 0));
}

/* Finds the owners, and their hashes. */
static ringmoe_status gather_references(replica_set *set, rm_error *error)
{
    const rm_axis *world = set->world;
    int n = set->n;
    for (int i = 0; i < n; i++) set->owners[i] = set->has[i] ? world->rank : INT_MAX;
    RM_TRY(rm_allreduce(world, set->owners, n, MPI_INT, MPI_MIN, error));
    for (int i = 0; i < n; i++)
        set->reference[i] = set->owners[i] == world->rank ? set->own[i] : 0;
    return rm_allreduce(world, set->reference, n, MPI_UINT64_T, MPI_BOR, error);
}

/* All ranks know the same, so all say the same. */
static ringmoe_status tell(const replica_set *set, rm_error *error)
{
    int64_t entry = set->first / set->world->size;
    int rank = (int)(set->first % set->world->size), owner = set->owners[entry];
    const char *name = entry == set->n - 1 ? "the routers' selection biases"
                                           : set->table->parameters[entry / set->n_parts].name;
    if (rank == owner)
        return rm_fail(error, RINGMOE_ERROR_MISMATCH,
                       "rank %d: the tied head differs from %s: go back to the last checkpoint",
                       rank, name);
    return rm_fail(error, RINGMOE_ERROR_MISMATCH,
                   "%s: rank %d and rank %d should have the same and have not: go back to the "
                   "last checkpoint",
                   name, owner, rank);
}

static ringmoe_status compare(replica_set *set, rm_error *error)
{
    hash_own(set);
    RM_TRY(gather_references(set, error));
    for (int i = 0; i < set->n; i++)
        if (set->has[i] && set->own[i] != set->reference[i]) note_difference(set, i);
    RM_TRY(rm_allreduce(set->world, &set->first, 1, MPI_INT64_T, MPI_MIN, error));
    return set->first == INT64_MAX ? RINGMOE_OK : tell(set, error);
}

ringmoe_status rm_replicas_check(const ringmoe_trainer *trainer)
{
    const rm_axis *world = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    replica_set all = {.trainer = trainer,
                       .table = table,
                       .world = world,
                       .n_parts = trainer->mesh->tensor.size,
                       .n = table->n_parameters * trainer->mesh->tensor.size + 1};
    size_t n = (size_t)all.n;
    all.has = calloc(n, sizeof *all.has);
    all.own = calloc(n, sizeof *all.own);
    all.owners = calloc(n, sizeof *all.owners);
    all.reference = calloc(n, sizeof *all.reference);
    ringmoe_status status = RINGMOE_OK;
    if (!all.has || !all.own || !all.owners || !all.reference)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d hashes", all.n);
    status = rm_agree(world, status, error);
    if (status == RINGMOE_OK) status = compare(&all, error);
    free(all.has);
    free(all.own);
    free(all.owners);
    free(all.reference);
    return status;
}

ringmoe_status rm_packs_check(const ringmoe_trainer *trainer)
{
    rm_error *error = &trainer->mesh->context->error;
    ringmoe_status status = RINGMOE_OK;
    if (!rm_model_pack_again(trainer->model))
        status = rm_fail(error, RINGMOE_ERROR_MISMATCH,
                         "the packed matrices were not those of the weights: go back to the "
                         "last checkpoint");
    return rm_agree(&trainer->mesh->context->world, status, error);
}
