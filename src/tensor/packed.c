/* SPDX-License-Identifier: MIT
 *
 * Weights in panels. Panel j holds columns j*nr .. j*nr+nr-1 of B, one term of the depth after
 * the other, so a slice of the depth is contiguous; missing columns of the last panel are zero.
 *
 *   B [k][n]   .----.----.--.        data   |k * nr of panel 0|k * nr of panel 1| ...
 *            k | 0  | 1  |2 |
 *              '----'----'--'               panel: nr of p=0, nr of p=1, ...
 *                nr   nr
 */
#include "tensor/tiles.h"

/* Terms of the depth packed at once; a multiple of every level's depth_step. */
enum { STEPS_AT_ONCE = 64 };

static int64_t panel_bytes(const rm_tile_kernels *kernels, int64_t k)
{
    return rm_whole(k, kernels->depth_step) * kernels->nr * kernels->b_size;
}

static rm_packed layout_packed(const rm_tile_kernels *kernels, int64_t k, int64_t n,
                               ringmoe_precision precision, rm_arena *arena)
{
    int64_t elements;
    if (__builtin_mul_overflow(rm_whole(k, kernels->depth_step), rm_whole(n, kernels->nr),
                               &elements))
        elements = -1;
    return (rm_packed){k, n, precision,
                       rm_arena_take(arena, elements, (size_t)kernels->b_size)};
}

void rm_matrix_layout(rm_matrix *matrix, const rm_compute *compute, int64_t out, int64_t in,
                      ringmoe_precision precision, bool with_backward, rm_arena *arena)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, precision);
    *matrix = (rm_matrix){.out = out, .in = in, .weights = matrix->weights};
    matrix->forward = layout_packed(kernels, in, out, precision, arena);
    if (with_backward) matrix->backward = layout_packed(kernels, out, in, precision, arena);
}

int64_t rm_matrix_strip(const rm_compute *compute, const rm_matrix *matrix)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, matrix->forward.precision);
    int64_t strip = kernels->nr;
    while (strip % kernels->depth_step) strip += kernels->nr;
    return strip;
}

/* Rows of the weights are columns of the forward form's B. */
static void pack_forward(const rm_tile_kernels *kernels, const rm_matrix *matrix, int64_t first,
                         int64_t end)
{
    const rm_real *lines[RM_TILE_MOST];
    char *panels = matrix->forward.data;
    for (int64_t row = first; row < end; row += kernels->nr) {
        int n = (int)rm_least(end - row, kernels->nr);
        for (int j = 0; j < n; j++) lines[j] = matrix->weights + (row + j) * matrix->in;
        kernels->pack_b_lines(matrix->in, n, lines,
                              panels + row / kernels->nr * panel_bytes(kernels, matrix->in));
    }
}

/* Rows of the weights are terms of the backward form's B. */
static void pack_backward(const rm_tile_kernels *kernels, const rm_matrix *matrix,
                          int64_t first, int64_t end)
{
    const rm_real *steps[STEPS_AT_ONCE];
    char *panels = matrix->backward.data;
    for (int64_t row = first; row < end; row += STEPS_AT_ONCE) {
        int64_t depth = rm_least(end - row, STEPS_AT_ONCE);
        for (int64_t column = 0; column < matrix->in; column += kernels->nr) {
            for (int64_t p = 0; p < depth; p++)
                steps[p] = matrix->weights + (row + p) * matrix->in + column;
            kernels->pack_b_steps(depth, (int)rm_least(matrix->in - column, kernels->nr), steps,
                                  panels +
                                      column / kernels->nr * panel_bytes(kernels, matrix->out) +
                                      row * kernels->nr * kernels->b_size);
        }
    }
}

void rm_matrix_pack_rows(const rm_compute *compute, const rm_matrix *matrix, int64_t first,
                         int64_t n)
{
    const rm_tile_kernels *kernels = rm_tiles_of(compute, matrix->forward.precision);
    if (matrix->forward.data) pack_forward(kernels, matrix, first, first + n);
    if (matrix->backward.data) pack_backward(kernels, matrix, first, first + n);
}

void rm_matrices_pack(const rm_compute *compute, rm_matrix *const *matrices, int n_matrices)
{
#pragma omp parallel num_threads(compute->n_threads)
    for (int i = 0; i < n_matrices; i++) {
        const rm_matrix *matrix = matrices[i];
        int64_t strip = rm_matrix_strip(compute, matrix);
#pragma omp for schedule(dynamic) nowait
        for (int64_t row = 0; row < matrix->out; row += strip)
            rm_matrix_pack_rows(compute, matrix, row, rm_least(matrix->out - row, strip));
    }
}
