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
#include <stdatomic.h>
#include <string.h>

#include "tensor/team.h"
#include "tensor/tiles.h"

enum { SPAN = 256, KEYS_AT_ONCE = 32, HEADS_AT_ONCE = 64, TASKS_A_THREAD = 3 };
enum { JOINS_AT_ONCE = 4, JOINS_ALONE = 32 };
/* What a part has beside its sums. */
enum { PART_MAX, PART_TOTAL, PART_SUMS };

typedef struct decode_pass {
    const rm_compute *compute;
    rm_decode_shape shape;
    const rm_decode_cache *caches;
    const rm_real *q;
    rm_real *out, *parts;
    int64_t group;       /* query heads of a key-value head */
    int64_t kv_stride;   /* of a cache's rows */
    int64_t *first_span; /* of each sequence, and behind the last one's */
    int64_t n_cuts;      /* the heads of a span are cut into so many tasks */
    atomic_llong next;   /* task or head that no thread has taken */
} decode_pass;

/* Some positions of a sequence. */
typedef struct decode_span {
    int64_t sequence, first, n_keys;
} decode_span;

/* Elements that the table of first spans takes. */
static int64_t table_elements(int64_t n_sequences)
{
    return rm_ceil_divide((n_sequences + 1) * (int64_t)sizeof(int64_t), sizeof(rm_real));
}

int64_t rm_attention_decode_workspace(int64_t n_sequences, int64_t n_keys, int64_t n_heads,
                                      int64_t head_dim)
{
    int64_t n_spans = n_keys / SPAN + n_sequences;
    return table_elements(n_sequences) + n_spans * n_heads * (PART_SUMS + head_dim);
}

static rm_real *part_of(const decode_pass *pass, int64_t span, int64_t head)
{
    return pass->parts +
           (span * pass->shape.n_heads + head) * (PART_SUMS + pass->shape.head_dim);
}

/* Span number `span` of all sequences'. */
static decode_span find_span(const decode_pass *pass, int64_t span)
{
    int64_t low = 0, high = pass->shape.n_sequences;
    while (high - low > 1) {
        int64_t middle = (low + high) / 2;
        if (pass->first_span[middle] <= span)
            low = middle;
        else
            high = middle;
    }
    int64_t first = (span - pass->first_span[low]) * SPAN;
    return (decode_span){low, first, rm_least(pass->caches[low].n_keys - first, SPAN)};
}

/* Query heads that read one key-value head: as many as the scratch has scores for. */
typedef struct decode_heads {
    int64_t first, n, kv_head;
} decode_heads;

/* Some keys at a time, which stay in the first-level cache for all heads that read them. */
static void make_scores(const decode_pass *pass, const decode_span *span,
                        const decode_heads *heads, rm_real *scores)
{
    int64_t dim = pass->shape.head_dim;
    const rm_real *k = pass->caches[span->sequence].k + span->first * pass->kv_stride;
    const rm_real *q = pass->q + (span->sequence * pass->shape.n_heads + heads->first) * dim;
    for (int64_t j = 0; j < span->n_keys; j += KEYS_AT_ONCE)
        for (int64_t i = 0; i < heads->n; i++)
            pass->compute->kernels->dot_rows(dim, rm_least(span->n_keys - j, KEYS_AT_ONCE),
                                             q + i * dim,
                                             k + j * pass->kv_stride + heads->kv_head * dim,
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
                       const decode_heads *heads)
{
    int64_t dim = pass->shape.head_dim;
    const rm_real *v = pass->caches[span->sequence].v + span->first * pass->kv_stride;
    rm_real *scores = rm_compute_scratch(pass->compute);
    make_scores(pass, span, heads, scores);
    for (int64_t i = 0; i < heads->n; i++)
        soften(pass, span->n_keys, scores + i * SPAN, part_of(pass, index, heads->first + i));
    for (int64_t j = 0; j < span->n_keys; j += KEYS_AT_ONCE)
        for (int64_t i = 0; i < heads->n; i++)
            pass->compute->kernels->axpy_rows(
                dim, rm_least(span->n_keys - j, KEYS_AT_ONCE), scores + i * SPAN + j,
                v + j * pass->kv_stride + heads->kv_head * dim, pass->kv_stride,
                part_of(pass, index, heads->first + i) + PART_SUMS);
}

static void make_parts_of_task(const decode_pass *pass, int64_t task)
{
    int64_t index = task / pass->n_cuts, cut = task % pass->n_cuts;
    int64_t n_kv = pass->shape.n_kv_heads, end = n_kv * (cut + 1) / pass->n_cuts;
    decode_span span = find_span(pass, index);
    for (int64_t kv = n_kv * cut / pass->n_cuts; kv < end; kv++)
        for (int64_t i = 0; i < pass->group; i += HEADS_AT_ONCE)
            make_parts(pass, index, &span,
                       &(decode_heads){.first = kv * pass->group + i,
                                       .n = rm_least(pass->group - i, HEADS_AT_ONCE),
                                       .kv_head = kv});
}

/* The result of one head of one sequence, whose parts begin at this span. */
static void join_parts(const decode_pass *pass, int64_t sequence, int64_t head)
{
    const rm_kernels *kernels = pass->compute->kernels;
    int64_t dim = pass->shape.head_dim, first = pass->first_span[sequence];
    rm_real *out = pass->out + (sequence * pass->shape.n_heads + head) * dim;
    int64_t end = pass->first_span[sequence + 1];
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

static void make_all_parts(void *user, int thread)
{
    (void)thread;
    decode_pass *pass = user;
    int64_t n_tasks = pass->first_span[pass->shape.n_sequences] * pass->n_cuts, task;
    while ((task = atomic_fetch_add(&pass->next, 1)) < n_tasks) make_parts_of_task(pass, task);
}

static void join_some_parts(void *user, int thread)
{
    (void)thread;
    decode_pass *pass = user;
    int64_t n_heads = pass->shape.n_heads, n_joins = pass->shape.n_sequences * n_heads, first;
    while ((first = atomic_fetch_add(&pass->next, JOINS_AT_ONCE)) < n_joins)
        for (int64_t i = first; i < rm_least(first + JOINS_AT_ONCE, n_joins); i++)
            join_parts(pass, i / n_heads, i % n_heads);
}

/* Of one short text, by the caller alone, who is done before others would have begun. */
static void join_all_parts(decode_pass *pass)
{
    int64_t n_spans = pass->first_span[pass->shape.n_sequences];
    atomic_store(&pass->next, 0);
    if (n_spans * pass->shape.n_heads <= JOINS_ALONE)
        join_some_parts(pass, 0);
    else
        rm_team_run(pass->compute, join_some_parts, pass);
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
                        .first_span = (int64_t *)(void *)workspace,
                        .group = shape.n_heads / shape.n_kv_heads,
                        .kv_stride = shape.n_kv_heads * shape.head_dim};
    if (shape.n_sequences == 0) return;
    pass.parts = workspace + table_elements(shape.n_sequences);
    pass.first_span[0] = 0;
    for (int64_t s = 0; s < shape.n_sequences; s++)
        pass.first_span[s + 1] = pass.first_span[s] + rm_ceil_divide(caches[s].n_keys, SPAN);
    int64_t n_spans = pass.first_span[shape.n_sequences];
    int64_t wanted = rm_ceil_divide(TASKS_A_THREAD * (int64_t)compute->n_threads, n_spans);
    pass.n_cuts = rm_least(wanted, shape.n_kv_heads);
    rm_team_run(compute, make_all_parts, &pass);
    join_all_parts(&pass);
}
