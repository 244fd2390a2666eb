/* SPDX-License-Identifier: MIT
 *
 * The positions of a sequence are cut into spans that begin at multiples of a fixed length. Of
 * each span and query head there is a part of the result, relative to the span's own maximum:
 *
 *   positions      | span 0        | span 1        | span 2  |
 *   a head's part    max, total,     max, total,     ..         total = sum of exp(score - max)
 *                    sums[dim]       sums[dim]                  sums  = the same times values
 *
 * A task is a span and some heads. Then the parts of each head are added in the order of their
 * spans, scaled to the greatest maximum.
 */
#include "nn/attention_decode.h"

#include <math.h>
#include <string.h>

#include "tensor/tiles.h"

enum { SPAN = 256, KEYS_AT_ONCE = 32, TASKS_A_THREAD = 3 };
/* What a part has beside its sums. */
enum { PART_MAX, PART_TOTAL, PART_SUMS };

typedef struct decode_pass {
    const rm_compute *compute;
    rm_decode_shape shape;
    const rm_decode_cache *caches;
    const rm_real *q;
    rm_real *out, *parts;
    int64_t group;     /* query heads of a key-value head */
    int64_t kv_stride; /* of a cache's rows */
    int64_t n_spans;   /* of all sequences */
    int64_t n_cuts;    /* the heads of a span are cut into so many tasks */
} decode_pass;

/* Some positions of a sequence. */
typedef struct decode_span {
    int64_t sequence, first, n_keys;
} decode_span;

static int64_t count_spans(const rm_decode_cache *cache)
{
    return rm_ceil_divide(cache->n_keys, SPAN);
}

int64_t rm_attention_decode_workspace(int64_t n_sequences, int64_t n_keys, int64_t n_heads,
                                      int64_t head_dim)
{
    return (n_keys / SPAN + n_sequences) * n_heads * (PART_SUMS + head_dim);
}

static rm_real *part_of(const decode_pass *pass, int64_t span, int64_t head)
{
    return pass->parts +
           (span * pass->shape.n_heads + head) * (PART_SUMS + pass->shape.head_dim);
}

/* Span number `span` of all sequences'. */
static decode_span find_span(const decode_pass *pass, int64_t span)
{
    decode_span found = {0};
    for (; span >= count_spans(&pass->caches[found.sequence]); found.sequence++)
        span -= count_spans(&pass->caches[found.sequence]);
    found.first = span * SPAN;
    found.n_keys = rm_least(pass->caches[found.sequence].n_keys - found.first, SPAN);
    return found;
}

/* Some keys at a time, which stay in the first-level cache for all heads that read them. */
static void make_scores(const decode_pass *pass, const decode_span *span, int64_t kv_head,
                        rm_real *scores)
{
    int64_t dim = pass->shape.head_dim;
    const rm_real *k = pass->caches[span->sequence].k + span->first * pass->kv_stride;
    const rm_real *q =
        pass->q + (span->sequence * pass->shape.n_heads + kv_head * pass->group) * dim;
    for (int64_t j = 0; j < span->n_keys; j += KEYS_AT_ONCE)
        for (int64_t i = 0; i < pass->group; i++)
            pass->compute->kernels->dot_rows(dim, rm_least(span->n_keys - j, KEYS_AT_ONCE),
                                             q + i * dim,
                                             k + j * pass->kv_stride + kv_head * dim,
                                             pass->kv_stride, scores + i * SPAN + j);
}

/* Scores to weights, relative to their maximum. */
static void soften(const decode_pass *pass, int64_t n_keys, rm_real *scores, rm_real *part)
{
    const rm_kernels *kernels = pass->compute->kernels;
    kernels->scale(n_keys, (rm_real)(1 / sqrt((double)pass->shape.head_dim)), scores);
    part[PART_MAX] = kernels->max(n_keys, scores);
    part[PART_TOTAL] = kernels->exp_shift(n_keys, part[PART_MAX], scores, scores);
    memset(part + PART_SUMS, 0, (size_t)pass->shape.head_dim * sizeof *part);
}

static void make_parts(const decode_pass *pass, int64_t index, const decode_span *span,
                       int64_t kv_head, rm_real *scores)
{
    int64_t dim = pass->shape.head_dim, first_head = kv_head * pass->group;
    const rm_real *v =
        pass->caches[span->sequence].v + span->first * pass->kv_stride + kv_head * dim;
    make_scores(pass, span, kv_head, scores);
    for (int64_t i = 0; i < pass->group; i++)
        soften(pass, span->n_keys, scores + i * SPAN, part_of(pass, index, first_head + i));
    for (int64_t j = 0; j < span->n_keys; j += KEYS_AT_ONCE)
        for (int64_t i = 0; i < pass->group; i++)
            pass->compute->kernels->axpy_rows(dim, rm_least(span->n_keys - j, KEYS_AT_ONCE),
                                              scores + i * SPAN + j, v + j * pass->kv_stride,
                                              pass->kv_stride,
                                              part_of(pass, index, first_head + i) + PART_SUMS);
}

static void run_task(const decode_pass *pass, int64_t task)
{
    int64_t index = task / pass->n_cuts, cut = task % pass->n_cuts;
    int64_t n_kv = pass->shape.n_kv_heads;
    decode_span span = find_span(pass, index);
    rm_real *scores = rm_compute_scratch(pass->compute);
    for (int64_t head = n_kv * cut / pass->n_cuts; head < n_kv * (cut + 1) / pass->n_cuts;
         head++)
        make_parts(pass, index, &span, head, scores);
}

/* The result of one head of one sequence, whose parts begin at this span. */
static void join_parts(const decode_pass *pass, int64_t sequence, int64_t head)
{
    const rm_kernels *kernels = pass->compute->kernels;
    int64_t dim = pass->shape.head_dim, first = 0;
    rm_real *out = pass->out + (sequence * pass->shape.n_heads + head) * dim;
    for (int64_t s = 0; s < sequence; s++) first += count_spans(&pass->caches[s]);
    int64_t end = first + count_spans(&pass->caches[sequence]);
    rm_real max = part_of(pass, first, head)[PART_MAX];
    double total = 0;
    for (int64_t i = first + 1; i < end; i++)
        if (!(part_of(pass, i, head)[PART_MAX] <= max)) max = part_of(pass, i, head)[PART_MAX];
    memset(out, 0, (size_t)dim * sizeof *out);
    for (int64_t i = first; i < end; i++) {
        const rm_real *part = part_of(pass, i, head);
        double factor = exp((double)part[PART_MAX] - (double)max);
        total += factor * (double)part[PART_TOTAL];
        kernels->axpy(dim, (rm_real)factor, part + PART_SUMS, out);
    }
    kernels->scale(dim, (rm_real)(1 / total), out);
}

void rm_attention_decode(const rm_compute *compute, rm_decode_shape shape,
                         const rm_decode_cache *caches, const rm_real *q, rm_real *out,
                         rm_real *workspace)
{
    decode_pass pass = {.compute = compute,
                        .shape = shape,
                        .caches = caches,
                        .q = q,
                        .out = out,
                        .parts = workspace,
                        .group = shape.n_heads / shape.n_kv_heads,
                        .kv_stride = shape.n_kv_heads * shape.head_dim};
    for (int64_t s = 0; s < shape.n_sequences; s++) pass.n_spans += count_spans(&caches[s]);
    int64_t wanted = TASKS_A_THREAD * (int64_t)compute->n_threads;
    pass.n_cuts =
        pass.n_spans ? rm_least(rm_ceil_divide(wanted, pass.n_spans), shape.n_kv_heads) : 1;
    int64_t n_tasks = pass.n_spans * pass.n_cuts, n_joins = shape.n_sequences * shape.n_heads;
#pragma omp parallel num_threads(compute->n_threads)
    {
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < n_tasks; task++) run_task(&pass, task);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < n_joins; i++)
            join_parts(&pass, i / shape.n_heads, i % shape.n_heads);
    }
}
