/* SPDX-License-Identifier: MIT */
#include "nn/rope.h"

#include <math.h>

double rm_rope_divisor(const rm_rope_scaling *scaling, double frequency)
{
    if (scaling->kind == RM_ROPE_PLAIN) return 1;
    if (scaling->kind == RM_ROPE_LINEAR) return scaling->factor;
    double turns = scaling->original * frequency / (2 * acos(-1));
    if (turns > scaling->high) return 1;
    if (turns < scaling->low) return scaling->factor;
    double share = (turns - scaling->low) / (scaling->high - scaling->low);
    return 1 / ((1 - share) / scaling->factor + share);
}

double rm_rope_frequency(double theta, int64_t head_dim, int64_t i)
{
    return pow(theta, -2.0 * (double)i / (double)head_dim);
}

void rm_rope_layout(rm_rope *rope, rm_arena *arena)
{
    int64_t n = rope->max_positions * (rope->head_dim / 2);
    rope->n_filled = 0;
    rope->cosine = RM_TAKE(arena, n, rm_real);
    rope->sine = RM_TAKE(arena, n, rm_real);
}

void rm_rope_prepare(rm_rope *rope, const rm_compute *compute, int64_t n_positions)
{
    int64_t half = rope->head_dim / 2;
#pragma omp parallel for num_threads(compute->n_threads)                                       \
    schedule(dynamic, RM_ROWS_AT_ONCE) if (n_positions - rope->n_filled > RM_ROWS_AT_ONCE)
    for (int64_t position = rope->n_filled; position < n_positions; position++) {
        for (int64_t i = 0; i < half; i++) {
            double frequency = rm_rope_frequency(rope->theta, rope->head_dim, i);
            frequency /= rm_rope_divisor(&rope->scaling, frequency);
            double angle = (double)position * frequency;
            rope->cosine[position * half + i] = (rm_real)cos(angle);
            rope->sine[position * half + i] = (rm_real)sin(angle);
        }
    }
    if (n_positions > rope->n_filled) rope->n_filled = n_positions;
}

void rm_rope_apply(const rm_rope *rope, const rm_compute *compute, rm_rope_rows rows,
                   rm_real sign, rm_real *x)
{
    int64_t dim = rope->head_dim, half = dim / 2;
#pragma omp parallel for num_threads(compute->n_threads)                                       \
    schedule(dynamic, RM_ROWS_AT_ONCE) if (rows.n_rows > RM_ROWS_AT_ONCE)
    for (int64_t row = 0; row < rows.n_rows; row++) {
        int64_t position = rows.positions ? rows.positions[row] : row % rows.seq_len;
        const rm_real *cosine = rope->cosine + position * half;
        const rm_real *sine = rope->sine + position * half;
        for (int64_t head = 0; head < rows.n_heads; head++)
            compute->kernels->rope(dim, cosine, sine, sign,
                                   x + (row * rows.n_heads + head) * dim);
    }
}
