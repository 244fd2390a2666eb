/* SPDX-License-Identifier: MIT
 *
 * Small products on the calling thread, without cutting the depth: attention's blocks.
 */
#include "tensor/tiles.h"

int64_t rm_block_panels(const rm_kernels *kernels, int64_t k, int64_t n)
{
    return rm_ceil_divide(n, kernels->nr) * kernels->nr * k;
}

void rm_pack_block(const rm_kernels *kernels, int64_t k, int64_t n, const rm_real *src,
                   int64_t row, int64_t col, rm_real *panels)
{
    for (int64_t column = 0; column < n; column += kernels->nr)
        kernels->pack(k, (int)rm_least(n - column, kernels->nr), src + column * col, row, col,
                      panels + column * k);
}

void rm_block_product(const rm_kernels *kernels, int64_t m, int64_t n, int64_t k,
                      const rm_real *a, int64_t a_row, int64_t a_col, const rm_real *b,
                      rm_real *c, int64_t c_row, bool add)
{
    rm_tiles_run(kernels, &(rm_tiles){.m = m,
                                      .n = n,
                                      .depth = k,
                                      .a = a,
                                      .a_row = a_row,
                                      .a_col = a_col,
                                      .a_tile = a_row * kernels->mr,
                                      .b = b,
                                      .b_panel = k * kernels->nr,
                                      .b_precision = RINGMOE_PRECISION_FP32,
                                      .c = c,
                                      .c_row = c_row,
                                      .add = add});
}
