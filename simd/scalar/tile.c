/* SPDX-License-Identifier: MIT
 *
 * Product tiles in plain C. A row of C at a time: its sums stay in registers while k runs, and
 * each is one chain of multiply-adds in the order of k.
 */
#include "simd/scalar/scalar.h"
#include "simd/scalar_math.h"

enum { COLUMNS = RM_SCALAR_COLUMNS };

static void write_row(const rm_real sums[COLUMNS], rm_real *c, int n, bool add)
{
    for (int j = 0; j < n; j++) c[j] = add ? c[j] + sums[j] : sums[j];
}

void rm_tile_scalar(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col, const rm_real *b,
                    rm_real *c, int64_t c_row, int m, int n, bool add)
{
    for (int i = 0; i < m; i++) {
        rm_real sums[COLUMNS] = {0};
        for (int64_t p = 0; p < k; p++)
            for (int j = 0; j < COLUMNS; j++)
                sums[j] += a[i * a_row + p * a_col] * b[p * COLUMNS + j];
        write_row(sums, c + i * c_row, n, add);
    }
}

void rm_tile_bf16_scalar(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                         const rm_bf16 *b, rm_real *c, int64_t c_row, int m, int n, bool add)
{
    for (int i = 0; i < m; i++) {
        rm_real sums[COLUMNS] = {0};
        for (int64_t p = 0; p < k; p++)
            for (int j = 0; j < COLUMNS; j++)
                sums[j] += a[i * a_row + p * a_col] * rm_bf16_widen(b[p * COLUMNS + j]);
        write_row(sums, c + i * c_row, n, add);
    }
}
