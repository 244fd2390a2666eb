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

static rm_packed layout_packed(const rm_kernels *kernels, int64_t k, int64_t n,
                               ringmoe_precision precision, rm_arena *arena)
{
    size_t size = precision == RINGMOE_PRECISION_BF16 ? sizeof(rm_bf16) : sizeof(rm_real);
    int64_t panels = rm_ceil_divide(n, kernels->nr), elements;
    if (__builtin_mul_overflow(panels * kernels->nr, k, &elements)) elements = -1;
    return (rm_packed){k, n, precision, rm_arena_take(arena, elements, size)};
}

void rm_matrix_layout(rm_matrix *matrix, const rm_compute *compute, int64_t out, int64_t in,
                      ringmoe_precision precision, bool with_backward, rm_arena *arena)
{
    *matrix = (rm_matrix){.out = out, .in = in, .weights = matrix->weights};
    matrix->forward = layout_packed(compute->kernels, in, out, precision, arena);
    if (with_backward)
        matrix->backward = layout_packed(compute->kernels, out, in, precision, arena);
}

/* One panel of B[p][j] = weights[p * row + j * col]. */
static void pack_panel(const rm_kernels *kernels, const rm_packed *packed, int64_t panel,
                       const rm_real *weights, int64_t row, int64_t col)
{
    int64_t column = panel * kernels->nr, start = panel * packed->k * kernels->nr;
    int n = (int)rm_least(packed->n - column, kernels->nr);
    const rm_real *src = weights + column * col;
    if (packed->precision == RINGMOE_PRECISION_BF16)
        kernels->pack_bf16(packed->k, n, src, row, col, (rm_bf16 *)packed->data + start);
    else
        kernels->pack(packed->k, n, src, row, col, (rm_real *)packed->data + start);
}

void rm_matrices_pack(const rm_compute *compute, rm_matrix *const *matrices, int n_matrices)
{
    const rm_kernels *kernels = compute->kernels;
#pragma omp parallel num_threads(compute->n_threads)
    for (int i = 0; i < n_matrices; i++) {
        const rm_matrix *matrix = matrices[i];
        const rm_packed *forward = &matrix->forward, *backward = &matrix->backward;
        int64_t n_forward = forward->data ? rm_ceil_divide(forward->n, kernels->nr) : 0;
        int64_t n_backward = backward->data ? rm_ceil_divide(backward->n, kernels->nr) : 0;
#pragma omp for schedule(dynamic, 4) nowait
        for (int64_t panel = 0; panel < n_forward + n_backward; panel++) {
            if (panel < n_forward)
                pack_panel(kernels, forward, panel, matrix->weights, 1, matrix->in);
            else
                pack_panel(kernels, backward, panel - n_forward, matrix->weights, matrix->in,
                           1);
        }
    }
}
