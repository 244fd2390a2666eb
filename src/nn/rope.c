/* SPDX-License-Identifier: MIT */
#include "nn/rope.h"

#include <math.h>

void rm_rope_layout(rm_rope *rope, double theta, int64_t head_dim, int64_t max_positions,
                    rm_arena *arena)
{
    int64_t n = max_positions * (head_dim / 2);
    *rope = (rm_rope){.theta = theta, .head_dim = head_dim, .max_positions = max_positions};
    rope->cosine = RM_TAKE(arena, n, rm_real);
    rope->sine = RM_TAKE(arena, n, rm_real);
}

void rm_rope_prepare(rm_rope *rope, const rm_compute *compute, int64_t n_positions)
{
    int64_t half = rope->head_dim / 2;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t position = rope->n_filled; position < n_positions; position++) {
        for (int64_t i = 0; i < half; i++) {
            double frequency = pow(rope->theta, -2.0 * (double)i / (double)rope->head_dim);
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
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 16)
    for (int64_t row = 0; row < rows.n_rows; row++) {
        int64_t position = rows.positions ? rows.positions[row] : row % rows.seq_len;
        const rm_real *cosine = rope->cosine + position * half;
        const rm_real *sine = rope->sine + position * half;
        for (int64_t head = 0; head < rows.n_heads; head++)
            compute->kernels->rope(dim, cosine, sine, sign,
                                   x + (row * rows.n_heads + head) * dim);
    }
}
