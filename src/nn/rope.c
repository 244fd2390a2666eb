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

static void fill_position(void *user, int64_t row)
{
    rm_rope *rope = user;
    int64_t half = rope->head_dim / 2, position = rope->n_filled + row;
    for (int64_t i = 0; i < half; i++) {
        double frequency = rm_rope_frequency(rope->theta, rope->head_dim, i);
        frequency /= rm_rope_divisor(&rope->scaling, frequency);
        double angle = (double)position * frequency;
        rope->cosine[position * half + i] = (rm_real)cos(angle);
        rope->sine[position * half + i] = (rm_real)sin(angle);
    }
}

void rm_rope_prepare(rm_rope *rope, const rm_compute *compute, int64_t n_positions)
{
    if (n_positions <= rope->n_filled) return;
    rm_rows_run(compute, n_positions - rope->n_filled, fill_position, rope);
    rope->n_filled = n_positions;
}

typedef struct rotated_rows {
    const rm_rope *rope;
    const rm_kernels *kernels;
    rm_rope_rows rows;
    rm_real sign, *x;
} rotated_rows;

static void rotate_row(void *user, int64_t row)
{
    const rotated_rows *pass = user;
    int64_t dim = pass->rope->head_dim, half = dim / 2, n_heads = pass->rows.n_heads;
    int64_t position =
        pass->rows.positions ? pass->rows.positions[row] : row % pass->rows.seq_len;
    const rm_real *cosine = pass->rope->cosine + position * half;
    const rm_real *sine = pass->rope->sine + position * half;
    for (int64_t head = 0; head < n_heads; head++)
        pass->kernels->rope(dim, cosine, sine, pass->sign,
                            pass->x + (row * n_heads + head) * dim);
}

void rm_rope_apply(const rm_rope *rope, const rm_compute *compute, rm_rope_rows rows,
                   rm_real sign, rm_real *x)
{
    rotated_rows pass = {rope, compute->kernels, rows, sign, x};
    rm_rows_run(compute, rows.n_rows, rotate_row, &pass);
}
