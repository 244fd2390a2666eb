/* SPDX-License-Identifier: MIT
 *
 * Product tiles in plain C. A row of C at a time: its sums stay in registers while p runs, and
 * each is one chain of multiply-adds in the order of p.
 */
#include "simd/scalar/scalar.h"
#include "simd/scalar_math.h"

enum { ROWS = RM_SCALAR_ROWS, COLUMNS = RM_SCALAR_COLUMNS };

static void write_row(const rm_real sums[COLUMNS], rm_real *c, int n, bool add)
{
    for (int j = 0; j < n; j++) c[j] = add ? c[j] + sums[j] : sums[j];
}

void rm_tile_in_place_scalar(int64_t k, const rm_real *a, int64_t a_row, int64_t a_col,
                             const void *b, rm_real *c, int64_t c_row, int m, int n, bool add)
{
    const rm_real *panel = b;
    for (int i = 0; i < m; i++) {
        rm_real sums[COLUMNS] = {0};
        for (int64_t p = 0; p < k; p++)
            for (int j = 0; j < COLUMNS; j++)
                sums[j] += a[i * a_row + p * a_col] * panel[p * COLUMNS + j];
        write_row(sums, c + i * c_row, n, add);
    }
}

void rm_tile_scalar(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row, int m,
                    int n, bool add, rm_ahead ahead)
{
    rm_tile_in_place_scalar(k, a, 1, ROWS, b, c, c_row, m, n, add);
}

void rm_tile_bf16_scalar(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                         int m, int n, bool add, rm_ahead ahead)
{
    const rm_real *rows = a;
    const rm_bf16 *panel = b;
    for (int i = 0; i < m; i++) {
        rm_real sums[COLUMNS] = {0};
        for (int64_t p = 0; p < k; p++)
            for (int j = 0; j < COLUMNS; j++)
                sums[j] += rows[p * ROWS + i] * rm_bf16_widen(panel[p * COLUMNS + j]);
        write_row(sums, c + i * c_row, n, add);
    }
}

/* As many chains as a tile of whole vectors would have: enough to hide an addition's latency.
 */
double rm_tile_peak_scalar(int64_t rounds)
{
    enum { CHAINS = ROWS * COLUMNS };
    rm_real sums[CHAINS], total = 0;
    for (int i = 0; i < CHAINS; i++) sums[i] = (rm_real)i;
    int64_t steps = rounds * 1000 / (2 * CHAINS);
    for (int64_t p = 0; p < steps; p++)
        for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * (rm_real)0.999 + (rm_real)0.01;
    for (int i = 0; i < CHAINS; i++) total += sums[i];
    volatile rm_real kept = total; /* or the compiler would compute nothing */
    (void)kept;
    return (double)steps * (2 * CHAINS);
}
