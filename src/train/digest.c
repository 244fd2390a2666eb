/* SPDX-License-Identifier: MIT */
#include "train/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/* This rank's blocks of one space, each under its global number. */
static void hash_blocks(const ringmoe_model *model, const rm_shard *shard,
                        const rm_real *values, uint64_t *hashes)
{
    int n_threads = rm_model_mesh(model)->context->compute.n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 4)
    for (int64_t b = 0; b < shard->n_blocks; b++) {
        const rm_block *block = &shard->blocks[b];
        hashes[block->number] = XXH64(values + (block->first - shard->first),
                                      (size_t)block->n_elements * sizeof *values, 0);
    }
}

ringmoe_status rm_digest(const ringmoe_model *model, const rm_shard shards[RM_N_SPACES],
                         const rm_real *const values[RM_N_SPACES], char hex[17])
{
    ringmoe_mesh *mesh = rm_model_mesh(model);
    rm_error *error = &mesh->context->error;
    int64_t n_blocks = rm_model_blocks(rm_model_parameters(model));
    uint64_t *hashes = calloc((size_t)n_blocks + 1, sizeof *hashes);
    ringmoe_status status = RINGMOE_OK;
    if (!hashes) status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for hashes");
    status = rm_agree(&mesh->dense, status, error);
    if (status == RINGMOE_OK) {
        for (int s = 0; s < RM_N_SPACES; s++) hash_blocks(model, &shards[s], values[s], hashes);
        status =
            rm_allreduce(&mesh->dense, hashes, (int)n_blocks, MPI_UINT64_T, MPI_SUM, error);
    }
    if (status == RINGMOE_OK)
        snprintf(hex, 17, "%016llx",
                 (unsigned long long)XXH64(hashes, (size_t)n_blocks * sizeof *hashes, 0));
    free(hashes);
    return status;
}

ringmoe_status ringmoe_trainer_weights_hash(ringmoe_trainer *trainer, char hex[17])
{
    if (!trainer || !hex) return RINGMOE_ERROR_ARGUMENT;
    const rm_real *values[RM_N_SPACES];
    for (int s = 0; s < RM_N_SPACES; s++)
        values[s] = rm_model_space(trainer->model, s) + trainer->shards[s].first;
    return rm_digest(trainer->model, trainer->shards, values, hex);
}
