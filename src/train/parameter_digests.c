/* SPDX-License-Identifier: MIT
 *
 * ringmoe_trainer_digests: each parameter's hash, norm and projection, to the bit the same on
 * every layout. The sums are exact: every term is a share of the parameter's largest value, cut
 * to 60 bits behind the point, and integers add up in any order.
 *
 *   term in [-1, 1]  =  high * 2^-30  +  low * 2^-60
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/random.h"
#include "train/digest.h"
#include "train/replicas.h"

/* Over all elements; what ranks add up, so nothing but 64-bit integers. */
typedef struct element_sums {
    uint64_t hash;
    int64_t squares[2], projection[2]; /* high and low parts */
    int64_t n_not_finite;
} element_sums;

enum { WORDS_OF_SUMS = sizeof(element_sums) / sizeof(int64_t) };

/* One call of ringmoe_trainer_digests. */
typedef struct digest_pass {
    const ringmoe_trainer *trainer;
    const rm_parameter_table *table;
    rm_part_values values;
    const void *source;
    double *largest; /* [parameters]: of absolute values that are finite */
    element_sums *sums;
} digest_pass;

static rm_share chunk_of(rm_share share, int64_t done)
{
    int64_t left = share.n - done;
    return (rm_share){share.first + done,
                      left < RM_DIGEST_ELEMENTS ? left : RM_DIGEST_ELEMENTS};
}

static void raise_atomically(double *largest, double value)
{
    double seen;
    __atomic_load(largest, &seen, __ATOMIC_RELAXED);
    while (value > seen && !__atomic_compare_exchange(largest, &seen, &value, false,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

static void find_largest(const digest_pass *pass, const rm_parameter *parameter,
                         double *largest)
{
    rm_share share = rm_share_of_shards(pass->trainer, parameter);
    int n_threads = pass->trainer->mesh->context->compute.n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 4)
    for (int64_t done = 0; done < share.n; done += RM_DIGEST_ELEMENTS) {
        rm_share chunk = chunk_of(share, done);
        const rm_real *x = pass->values(pass->source, pass->trainer, parameter, chunk, NULL);
        double most = 0;
        for (int64_t i = 0; i < chunk.n; i++)
            if (isfinite((double)x[i]) && fabs((double)x[i]) > most) most = fabs((double)x[i]);
        raise_atomically(largest, most);
    }
}

/* The power of two that brings values up to `largest` into [-1, 1]. */
static int exponent_of(double largest)
{
    int exponent = 0;
    if (largest > 0) frexp(largest, &exponent);
    return exponent > -1000 ? exponent : -1000;
}

static void add_term(int64_t sum[2], double term)
{
    double shifted = term * 0x1p30;
    int64_t high = (int64_t)shifted;
    sum[0] += high;
    sum[1] += (int64_t)((shifted - (double)high) * 0x1p30);
}

static double value_of(const int64_t sum[2])
{
    return (double)sum[0] * 0x1p-30 + (double)sum[1] * 0x1p-60;
}

static void add_element(element_sums *sums, uint64_t stream, int64_t index, rm_real value,
                        double scale)
{
    uint64_t hash = rm_element_hash(stream, index, value);
    sums->hash += hash;
    if (!isfinite((double)value)) {
        sums->n_not_finite++;
        return;
    }
    double share = (double)value * scale;
    add_term(sums->squares, share * share);
    add_term(sums->projection, share * rm_element_sign(stream, index));
}

static void add_atomically(element_sums *to, const element_sums *sums)
{
    __atomic_fetch_add(&to->hash, sums->hash, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++) {
        __atomic_fetch_add(&to->squares[i], sums->squares[i], __ATOMIC_RELAXED);
        __atomic_fetch_add(&to->projection[i], sums->projection[i], __ATOMIC_RELAXED);
    }
    __atomic_fetch_add(&to->n_not_finite, sums->n_not_finite, __ATOMIC_RELAXED);
}

static void sum_parameter(const digest_pass *pass, const rm_parameter *parameter,
                          double largest, element_sums *sums)
{
    rm_share share = rm_share_of_shards(pass->trainer, parameter);
    rm_parameter_part part = rm_own_part(pass->trainer, parameter);
    uint64_t stream = rm_random_stream(parameter->name);
    double scale = ldexp(1, -exponent_of(largest));
    int n_threads = pass->trainer->mesh->context->compute.n_threads;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 4)
    for (int64_t done = 0; done < share.n; done += RM_DIGEST_ELEMENTS) {
        rm_share chunk = chunk_of(share, done);
        const rm_real *x = pass->values(pass->source, pass->trainer, parameter, chunk, NULL);
        element_sums own = {0};
        for (int64_t at = 0; at < chunk.n;) {
            rm_part_run run = rm_part_run_at(parameter, &part, chunk.first + at, chunk.n - at);
            for (int64_t i = 0; i < run.n; i++)
                add_element(&own, stream, run.global + i, x[at + i], scale);
            at += run.n;
        }
        add_atomically(sums, &own);
    }
}

static ringmoe_status sum_all(const digest_pass *pass)
{
    const rm_axis *world = &pass->trainer->mesh->context->world;
    rm_error *error = &pass->trainer->mesh->context->error;
    int n = pass->table->n_parameters;
    for (int i = 0; i < n; i++)
        find_largest(pass, &pass->table->parameters[i], &pass->largest[i]);
    RM_TRY(rm_allreduce(world, pass->largest, n, MPI_DOUBLE, MPI_MAX, error));
    for (int i = 0; i < n; i++)
        sum_parameter(pass, &pass->table->parameters[i], pass->largest[i], &pass->sums[i]);
    return rm_allreduce(world, pass->sums, n * WORDS_OF_SUMS, MPI_UINT64_T, MPI_SUM, error);
}

static ringmoe_parameter_digest digest_of(const rm_parameter *parameter,
                                          const element_sums *sums, double largest)
{
    ringmoe_parameter_digest digest = {.n_elements = parameter->n_elements};
    bool finite = sums->n_not_finite == 0;
    int exponent = exponent_of(largest);
    snprintf(digest.name, sizeof digest.name, "%s", parameter->name);
    snprintf(digest.hash, sizeof digest.hash, "%016llx", (unsigned long long)sums->hash);
    digest.norm = finite ? ldexp(sqrt(value_of(sums->squares)), exponent) : NAN;
    digest.projection = finite ? ldexp(value_of(sums->projection), exponent) : NAN;
    return digest;
}

static ringmoe_status fill_digests(digest_pass *pass, ringmoe_parameter_digest *digests)
{
    const rm_axis *world = &pass->trainer->mesh->context->world;
    rm_error *error = &pass->trainer->mesh->context->error;
    int n = pass->table->n_parameters;
    pass->largest = calloc((size_t)n, sizeof *pass->largest);
    pass->sums = calloc((size_t)n, sizeof *pass->sums);
    ringmoe_status status = RINGMOE_OK;
    if (!pass->largest || !pass->sums)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d digests", n);
    status = rm_agree(world, status, error);
    if (status == RINGMOE_OK) status = sum_all(pass);
    for (int i = 0; i < n && status == RINGMOE_OK; i++)
        if (!pass->table->parameters[i].tied)
            *digests++ =
                digest_of(&pass->table->parameters[i], &pass->sums[i], pass->largest[i]);
    free(pass->largest);
    free(pass->sums);
    return status;
}

/* The totals are there from a step's reduction until the next step begins. */
static bool has_gradients(const ringmoe_trainer *trainer)
{
    for (int space = 0; space < rm_model_spaces(trainer->model); space++)
        if (trainer->shards[space].n_elements > 0 && !trainer->gradients.totals[space])
            return false;
    return true;
}

int ringmoe_trainer_parameter_count(const ringmoe_trainer *trainer)
{
    if (!trainer) return 0;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    return table->n_parameters - (rm_table_tied_head(table) != NULL);
}

ringmoe_status ringmoe_trainer_digests(ringmoe_trainer *trainer, ringmoe_digest_kind kind,
                                       ringmoe_parameter_digest *digests)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    rm_error *error = &trainer->mesh->context->error;
    bool gradients = kind == RINGMOE_DIGEST_GRADIENTS;
    digest_pass pass = {.trainer = trainer,
                        .table = rm_model_parameters(trainer->model),
                        .values = gradients ? rm_values_of_shards : rm_values_of_weights,
                        .source = gradients ? trainer->gradients.totals : NULL};
    ringmoe_status status = RINGMOE_OK;
    if (!digests)
        status = rm_fail(error, RINGMOE_ERROR_ARGUMENT, "the place for the digests is NULL");
    else if (gradients && !has_gradients(trainer))
        status = rm_fail(error, RINGMOE_ERROR_STATE,
                         "there are no gradients yet; ask for their digests after a step");
    RM_TRY(rm_agree(&trainer->mesh->context->world, status, error));
    const int64_t asked = kind;
    RM_TRY(rm_agree_equal(&trainer->mesh->context->world, &asked, 1, "the kind of digests",
                          error));
    if (!gradients) {
        RM_TRY(rm_replicas_check(trainer));
        RM_TRY(rm_packs_check(trainer));
    }
    return fill_digests(&pass, digests);
}
