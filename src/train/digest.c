/* SPDX-License-Identifier: MIT */
#include "train/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/random.h"
#include "train/replicas.h"

/* The finish is that of splitmix64 (Steele, Lea, Flood, OOPSLA 2014). */
uint64_t rm_element_hash(uint64_t stream, int64_t index, rm_real value)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    uint64_t mixed = stream + ((uint64_t)index + 1) * 0x9E3779B97F4A7C15;
    mixed ^= bits * 0xD6E8FEB86659FD93;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    return mixed ^ (mixed >> 31);
}

double rm_element_sign(uint64_t stream, int64_t index)
{
    return rm_element_hash(stream, index, 0) & 1 ? -1 : 1;
}

static uint64_t hash_elements(const rm_parameter *parameter, const rm_parameter_part *part,
                              uint64_t stream, rm_share elements, const rm_real *values)
{
    uint64_t sum = 0;
    for (int64_t done = 0; done < elements.n;) {
        rm_part_run run =
            rm_part_run_at(parameter, part, elements.first + done, elements.n - done);
        for (int64_t i = 0; i < run.n; i++)
            sum += rm_element_hash(stream, run.global + i, values[done + i]);
        done += run.n;
    }
    return sum;
}

uint64_t rm_hash_share(const ringmoe_trainer *trainer, const rm_parameter *parameter,
                       rm_share share, uint64_t stream, rm_part_values values,
                       const void *source)
{
    rm_parameter_part part = rm_own_part(trainer, parameter);
    uint64_t sum = 0;
    int n_threads = trainer->mesh->context->compute.n_threads;
#pragma omp parallel for num_threads(n_threads)                                                \
    schedule(dynamic, 4) if (share.n > RM_DIGEST_ELEMENTS)
    for (int64_t done = 0; done < share.n; done += RM_DIGEST_ELEMENTS) {
        rm_real buffer[RM_DIGEST_ELEMENTS];
        rm_share elements = {share.first + done, share.n - done};
        if (elements.n > RM_DIGEST_ELEMENTS) elements.n = RM_DIGEST_ELEMENTS;
        uint64_t hash = hash_elements(parameter, &part, stream, elements,
                                      values(source, trainer, parameter, elements, buffer));
        __atomic_fetch_add(&sum, hash, __ATOMIC_RELAXED);
    }
    return sum;
}

/* Of the weights, and of the routers' selection biases, the same on every rank, last. */
static ringmoe_status digest_weights(const ringmoe_trainer *trainer, char hex[17])
{
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    const rm_axis *world = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    int n = table->n_parameters;
    const rm_real *biases = rm_model_router_bias(trainer->model);
    uint64_t *hashes = calloc((size_t)n + 1, sizeof *hashes);
    ringmoe_status status = RINGMOE_OK;
    if (!hashes) status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d hashes", n);
    status = rm_agree(world, status, error);
    for (int i = 0; i < n && status == RINGMOE_OK; i++)
        hashes[i] = rm_hash_share(
            trainer, &table->parameters[i], rm_share_of_shards(trainer, &table->parameters[i]),
            rm_random_stream(table->parameters[i].name), rm_values_of_weights, NULL);
    if (status == RINGMOE_OK)
        status = rm_allreduce(world, hashes, n, MPI_UINT64_T, MPI_SUM, error);
    if (status == RINGMOE_OK) {
        size_t n_biases = (size_t)rm_measures_counts(&trainer->measures);
        if (biases) hashes[n] = XXH64(biases, n_biases * sizeof *biases, 0);
        snprintf(hex, 17, "%016llx",
                 (unsigned long long)XXH64(hashes, ((size_t)n + 1) * sizeof *hashes, 0));
    }
    free(hashes);
    return status;
}

const rm_real *rm_values_of_weights(const void *source, const ringmoe_trainer *trainer,
                                    const rm_parameter *parameter, rm_share elements,
                                    rm_real *buffer)
{
    return rm_model_weights(trainer->model, parameter) + elements.first;
}

const rm_real *rm_values_of_shards(const void *source, const ringmoe_trainer *trainer,
                                   const rm_parameter *parameter, rm_share elements,
                                   rm_real *buffer)
{
    return rm_shards_at(trainer, source, parameter, elements.first);
}

ringmoe_status ringmoe_trainer_weights_hash(ringmoe_trainer *trainer, char hex[17])
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &trainer->mesh->context->error;
    ringmoe_status status = RINGMOE_OK;
    if (!hex) status = rm_fail(error, RINGMOE_ERROR_ARGUMENT, "the place for the hash is NULL");
    RM_TRY(rm_agree(&trainer->mesh->context->world, status, error));
    RM_TRY(rm_replicas_check(trainer));
    return digest_weights(trainer, hex);
}
