/* SPDX-License-Identifier: MIT
 *
 * Panels of B in plain C. Columns beyond n are zero:
 *
 *   panel   | B[0][0] .. B[0][n-1] 0 .. 0 | B[1][0] .. B[1][n-1] 0 .. 0 | ...   k times nr
 */
#include "simd/scalar/scalar.h"
#include "simd/scalar_math.h"

enum { COLUMNS = RM_SCALAR_COLUMNS };

void rm_pack_scalar(int64_t k, int n, const rm_real *src, int64_t row, int64_t col,
                    rm_real *panel)
{
    for (int64_t p = 0; p < k; p++)
        for (int j = 0; j < COLUMNS; j++)
            panel[p * COLUMNS + j] = j < n ? src[p * row + j * col] : 0;
}

void rm_pack_bf16_scalar(int64_t k, int n, const rm_real *src, int64_t row, int64_t col,
                         rm_bf16 *panel)
{
    for (int64_t p = 0; p < k; p++)
        for (int j = 0; j < COLUMNS; j++)
            panel[p * COLUMNS + j] = j < n ? rm_bf16_narrow(src[p * row + j * col]) : 0;
}

void rm_round_bf16_scalar(int64_t n, const rm_real *src, rm_real *dst)
{
    for (int64_t i = 0; i < n; i++) dst[i] = rm_bf16_widen(rm_bf16_narrow(src[i]));
}
