/* SPDX-License-Identifier: MIT
 *
 * A row goes through the first-level cache twice, part by part. First each part becomes
 * exp(logit - the part's own maximum); when the greatest maximum and the sum are known, each
 * part is scaled to them:
 *
 *   logits   |  part 0  |  part 1  | ..
 *              max, sum   max, sum            p = exp(x - max_part) * (exp(max_part - max) /
 * sum)
 *
 * Parts do not cross the bounds of blocks, one a rank or, reproducibly, RM_INNER_BLOCKS of the
 * whole vocabulary. Where ranks share it, each tells the others its blocks' maxima and sums and
 * the targets' logits that it has, between the two ways through its rows. Sums of parts make
 * blocks, sums of blocks, in order, the row, on all ranks alike.
 */
#include "nn/loss.h"

#include <math.h>

#include "base/clock.h"
#include "comm/mesh.h"
#include "tensor/products.h"

enum { PART = 4096 };

/* The sum of exponentials is sum * exp(max). */
typedef struct scaled_sum {
    double max, sum;
} scaled_sum;

enum { DOUBLES_OF_SUM = sizeof(scaled_sum) / sizeof(double) };

/* This rank's columns of the logits. */
typedef struct slice {
    int64_t first, n;
    int n_blocks;
    int64_t bounds[RM_INNER_BLOCKS + 1]; /* of the blocks, from `first` */
    int64_t n_parts;
    int64_t record; /* doubles that a rank tells of a token: its blocks' sums, then the target's
                       logit, 0 if another rank has it */
} slice;

static int64_t part_length(int64_t end, int64_t at)
{
    return end - at < PART ? end - at : PART;
}

static slice slice_of(int64_t vocab, int n_ranks, int rank, bool reproducible)
{
    slice own = {.n_blocks = 1};
    if (reproducible && n_ranks < RM_INNER_BLOCKS) own.n_blocks = RM_INNER_BLOCKS / n_ranks;
    own.n = rm_split(vocab, n_ranks, rank, &own.first);
    for (int b = 0; b < own.n_blocks; b++) {
        int64_t first;
        int64_t n = rm_split(vocab, n_ranks * own.n_blocks, rank * own.n_blocks + b, &first);
        own.bounds[b] = first - own.first;
        own.bounds[b + 1] = own.bounds[b] + n;
        own.n_parts += (n + PART - 1) / PART;
    }
    own.record = DOUBLES_OF_SUM * own.n_blocks + 1;
    return own;
}

/* One call of rm_cross_entropy. */
typedef struct loss_pass {
    const rm_kernels *kernels;
    slice own;
    int n_ranks;
    int64_t n_tokens;
    const int32_t *targets;
    rm_real scale;
    rm_real *logits;
    double *losses;
} loss_pass;

/* Adds up n sums in each of n_groups groups, which lie `stride` doubles apart. */
static scaled_sum add_sums(int n_groups, int64_t stride, int64_t n, const double *sums)
{
    scaled_sum total = {-INFINITY, 0};
    for (int group = 0; group < n_groups; group++) {
        const scaled_sum *terms = (const scaled_sum *)(sums + group * stride);
        for (int64_t i = 0; i < n; i++)
            if (terms[i].max > total.max) total.max = terms[i].max;
    }
    double shift = total.max > -INFINITY ? total.max : 0; /* or inf - inf */
    for (int group = 0; group < n_groups; group++) {
        const scaled_sum *terms = (const scaled_sum *)(sums + group * stride);
        for (int64_t i = 0; i < n; i++) total.sum += terms[i].sum * exp(terms[i].max - shift);
    }
    return total;
}

static scaled_sum exponentiate(const rm_kernels *kernels, int64_t n, rm_real *x)
{
    rm_real max = kernels->max(n, x);
    rm_real shift = max > -(rm_real)INFINITY ? max : 0;
    return (scaled_sum){max, kernels->exp_shift(n, shift, x, x)};
}

static bool has_target(const loss_pass *pass, int64_t t)
{
    int64_t column = pass->targets[t] - pass->own.first;
    return column >= 0 && column < pass->own.n;
}

/* Turns the parts of token t's row into exponentials, and fills this rank's record of it. */
static void sum_row(const loss_pass *pass, int64_t t, scaled_sum *parts, double *record)
{
    const slice *own = &pass->own;
    rm_real *row = pass->logits + t * own->n;
    scaled_sum *blocks = (scaled_sum *)record;
    record[own->record - 1] = has_target(pass, t) ? row[pass->targets[t] - own->first] : 0;
    for (int b = 0; b < own->n_blocks; b++) {
        int64_t end = own->bounds[b + 1], n = 0;
        for (int64_t at = own->bounds[b]; at < end; at += PART)
            parts[n++] = exponentiate(pass->kernels, part_length(end, at), row + at);
        blocks[b] = add_sums(1, 0, n, (const double *)parts);
        parts += n;
    }
}

/* Token t's loss, and its row's gradient, from all ranks' records of it. */
static void finish_row(const loss_pass *pass, int64_t t, const scaled_sum *parts,
                       const double *records, int64_t stride)
{
    const slice *own = &pass->own;
    rm_real *row = pass->logits + t * own->n;
    scaled_sum all = add_sums(pass->n_ranks, stride, own->n_blocks, records);
    double logsumexp = log(all.sum) + all.max, target = 0;
    for (int r = 0; r < pass->n_ranks; r++) target += records[r * stride + own->record - 1];
    pass->losses[t] = logsumexp - target;
    for (int b = 0; b < own->n_blocks; b++) {
        int64_t end = own->bounds[b + 1];
        for (int64_t at = own->bounds[b]; at < end; at += PART, parts++)
            pass->kernels->scale(part_length(end, at),
                                 (rm_real)(pass->scale * exp(parts->max - logsumexp)),
                                 row + at);
    }
    if (has_target(pass, t)) row[pass->targets[t] - own->first] -= pass->scale;
}

static void one_rank(const loss_pass *pass, const rm_compute *compute)
{
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 4)
    for (int64_t t = 0; t < pass->n_tokens; t++) {
        double *record = rm_compute_scratch(compute);
        scaled_sum *parts = (scaled_sum *)(record + pass->own.record + 1);
        sum_row(pass, t, parts, record);
        finish_row(pass, t, parts, record, 0);
    }
}

/* Every rank's records to every rank. */
static ringmoe_status gather_records(const rm_axis *axis, int64_t n, double *records,
                                     rm_comm_times *times, rm_error *error)
{
    static const char what[] = "sharing the sums of the loss over the tensor axis";
    double start = rm_clock_seconds();
    MPI_Request request = MPI_REQUEST_NULL;
    if (n > INT32_MAX)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s: %lld numbers a rank; use smaller microbatches", what, (long long)n);
    int code = MPI_Iallgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, records, (int)n, MPI_DOUBLE,
                              axis->comm, &request);
    RM_TRY(rm_mpi_check(code, what, error));
    ringmoe_status status = rm_wait(axis, RM_EVERYONE, &request, what, error);
    times->exchange += rm_clock_seconds() - start;
    return status;
}

static ringmoe_status many_ranks(const loss_pass *pass, const rm_compute *compute,
                                 const rm_axis *axis, double *workspace, rm_comm_times *times,
                                 rm_error *error)
{
    const slice *own = &pass->own;
    int64_t n = pass->n_tokens * own->record; /* of a rank */
    scaled_sum *parts = (scaled_sum *)workspace;
    double *records = workspace + DOUBLES_OF_SUM * own->n_parts * pass->n_tokens;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 4)
    for (int64_t t = 0; t < pass->n_tokens; t++)
        sum_row(pass, t, parts + t * own->n_parts, records + axis->rank * n + t * own->record);
    RM_TRY(gather_records(axis, n, records, times, error));
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 4)
    for (int64_t t = 0; t < pass->n_tokens; t++)
        finish_row(pass, t, parts + t * own->n_parts, records + t * own->record, n);
    return RINGMOE_OK;
}

ringmoe_status rm_cross_entropy(const rm_compute *compute, const rm_loss_shape *shape,
                                const int32_t *targets, rm_real scale, rm_real *logits,
                                double *losses, double *workspace, rm_comm_times *times,
                                rm_error *error)
{
    const rm_axis *axis = shape->tensor;
    loss_pass pass = {.kernels = compute->kernels,
                      .own =
                          slice_of(shape->vocab, axis->size, axis->rank, shape->reproducible),
                      .n_ranks = axis->size,
                      .n_tokens = shape->n_tokens,
                      .targets = targets,
                      .scale = scale,
                      .logits = logits,
                      .losses = losses};
    if (axis->size > 1) return many_ranks(&pass, compute, axis, workspace, times, error);
    one_rank(&pass, compute);
    return RINGMOE_OK;
}

int64_t rm_cross_entropy_workspace(int64_t n_tokens, int64_t vocab, int tensor_ranks,
                                   bool reproducible)
{
    int64_t most_parts = 0;
    slice own;
    if (tensor_ranks == 1) return 0;
    for (int rank = 0; rank < tensor_ranks; rank++) {
        own = slice_of(vocab, tensor_ranks, rank, reproducible);
        if (own.n_parts > most_parts) most_parts = own.n_parts;
    }
    return n_tokens * (DOUBLES_OF_SUM * most_parts + tensor_ranks * own.record);
}
