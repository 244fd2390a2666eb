/* SPDX-License-Identifier: MIT */
#include "train/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* This rank's blocks of one space, each under its global number. */
static void hash_blocks(const ringmoe_trainer *trainer, rm_space space, rm_block_values values,
                        const void *source, uint64_t *hashes)
{
    const rm_shard *shard = &trainer->shards[space];
    int n_threads = trainer->mesh->context->compute.n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 4)
    for (int64_t b = 0; b < shard->n_blocks; b++) {
        const rm_block *block = &shard->blocks[b];
        rm_real buffer[RM_BLOCK_ELEMENTS];
        const rm_real *data = values(source, trainer, space, block, buffer);
        hashes[block->number] = XXH64(data, (size_t)block->n_elements * sizeof *data, 0);
    }
}

/* Every rank has them; one hashes them. */
static uint64_t hash_biases(const ringmoe_trainer *trainer, const rm_real *biases)
{
    size_t bytes = (size_t)rm_measures_counts(&trainer->measures) * sizeof *biases;
    return trainer->mesh->dense.rank == 0 ? XXH64(biases, bytes, 0) : 0;
}

ringmoe_status rm_digest(const ringmoe_trainer *trainer, rm_block_values values,
                         const void *source, const rm_real *biases, char hex[17])
{
    const rm_axis *axis = &trainer->mesh->dense;
    rm_error *error = &trainer->mesh->context->error;
    int64_t n_blocks = rm_model_blocks(rm_model_parameters(trainer->model));
    int64_t n_hashes = n_blocks + (biases != NULL);
    uint64_t *hashes = calloc((size_t)n_hashes, sizeof *hashes);
    ringmoe_status status = RINGMOE_OK;
    if (!hashes)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld hashes",
                         (long long)n_hashes);
    status = rm_agree(axis, status, error);
    for (int s = 0; s < RM_N_SPACES && status == RINGMOE_OK; s++)
        hash_blocks(trainer, s, values, source, hashes);
    if (status == RINGMOE_OK && biases) hashes[n_blocks] = hash_biases(trainer, biases);
    if (status == RINGMOE_OK)
        status = rm_allreduce(axis, hashes, (int)n_hashes, MPI_UINT64_T, MPI_SUM, error);
    if (status == RINGMOE_OK)
        snprintf(hex, 17, "%016llx",
                 (unsigned long long)XXH64(hashes, (size_t)n_hashes * sizeof *hashes, 0));
    free(hashes);
    return status;
}

static const rm_real *block_of_weights(const void *source, const ringmoe_trainer *trainer,
                                       rm_space space, const rm_block *block, rm_real *buffer)
{
    return rm_model_space(trainer->model, space) + block->first;
}

static const rm_real *block_of_shards(const void *source, const ringmoe_trainer *trainer,
                                      rm_space space, const rm_block *block, rm_real *buffer)
{
    rm_real *const *values = source;
    return values[space] + (block->first - trainer->shards[space].first);
}

ringmoe_status rm_weights_digest(const ringmoe_trainer *trainer, char hex[17])
{
    return rm_digest(trainer, block_of_weights, NULL, rm_model_router_bias(trainer->model),
                     hex);
}

ringmoe_status rm_shards_digest(const ringmoe_trainer *trainer,
                                rm_real *const values[RM_N_SPACES], char hex[17])
{
    return rm_digest(trainer, block_of_shards, values, NULL, hex);
}

ringmoe_status ringmoe_trainer_weights_hash(ringmoe_trainer *trainer, char hex[17])
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &trainer->mesh->context->error;
    ringmoe_status status = RINGMOE_OK;
    if (!hex) status = rm_fail(error, RINGMOE_ERROR_ARGUMENT, "the place for the hash is NULL");
    RM_TRY(rm_agree(&trainer->mesh->dense, status, error));
    return rm_weights_digest(trainer, hex);
}
