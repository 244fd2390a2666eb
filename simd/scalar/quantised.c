/* SPDX-License-Identifier: MIT
 *
 * Products of quantised weights in plain C: rows of A to bytes, and tiles. Panels are drawn in
 * simd/quantised.h.
 */
#include "simd/quantised.h"
#include "simd/scalar/scalar.h"
#include "simd/scalar_math.h"

#include <float.h>

enum { ROWS = RM_SCALAR_ROWS, COLUMNS = RM_QUANTISED_COLUMNS, TERMS = RM_BLOCK_TERMS };

/* --- rows of A --- */

/* The greatest magnitude; NaN if there is one. */
static float greatest(int64_t terms, const rm_real *x)
{
    float most = 0;
    for (int64_t t = 0; t < terms && !isnan(most); t++)
        if (!(fabsf((float)x[t]) <= most)) most = fabsf((float)x[t]);
    return most;
}

/* Row i of a step. A block with a number that is not finite gives NaN. */
static void quantise_row(int64_t terms, const rm_real *x, int i, char *step)
{
    float *scale = (float *)step + i;
    int32_t *sum = (int32_t *)step + ROWS + i;
    int8_t *bytes = (int8_t *)step + 2 * 4 * ROWS + i * TERMS;
    float most = greatest(terms, x);
    bool is_finite = most <= FLT_MAX, is_zero = most < RM_LEAST_OF_BLOCK;
    *scale = !is_finite ? NAN : is_zero ? 0 : most / 127;
    *sum = 0;
    for (int t = 0; t < TERMS; t++) {
        bool is_there = t < terms && is_finite && !is_zero;
        bytes[t] = is_there ? (int8_t)rintf((float)x[t] * (127 / most)) : 0;
        *sum += bytes[t];
    }
}

void rm_pack_a_lines_quantised_scalar(int64_t k, int m, const rm_real *const *lines,
                                      void *panel)
{
    char *step = panel;
    for (int64_t first = 0; first < k; first += TERMS, step += ROWS * RM_STEP_ROW_BYTES) {
        memset(step, 0, ROWS * RM_STEP_ROW_BYTES);
        for (int i = 0; i < m; i++)
            quantise_row(k - first < TERMS ? k - first : TERMS, lines[i] + first, i, step);
    }
}

/* --- tiles --- */

typedef int weight_at(const int8_t *groups, int j, int t);

static int weight_q8(const int8_t *groups, int j, int t)
{
    return groups[(t / RM_GROUP_TERMS * COLUMNS + j) * RM_GROUP_TERMS + t % RM_GROUP_TERMS];
}

static int weight_q4(const int8_t *groups, int j, int t)
{
    int byte = weight_q8(groups, j, t % (TERMS / 2)) & 0xFF;
    return (t < TERMS / 2 ? byte & 15 : byte >> 4) - 8;
}

static float scale_at(const char *step, int j)
{
    uint16_t half;
    memcpy(&half, step + j * RM_SCALE_BYTES, sizeof half);
    return rm_half_widen(half);
}

/* sum += the block of row i and column j. */
static float add_block(weight_at *weight, const char *a, int i, const char *b, int j, float sum)
{
    const int8_t *row = rm_step_bytes(a, ROWS) + i * TERMS;
    const int8_t *groups = (const int8_t *)b + COLUMNS * RM_SCALE_BYTES;
    int32_t block = 0;
    for (int t = 0; t < TERMS; t++) block += row[t] * weight(groups, j, t);
    return fmaf((float)block, rm_step_scales(a)[i] * scale_at(b, j), sum);
}

static void run_tile(weight_at *weight, int64_t b_step, int64_t k, const char *a, const char *b,
                     rm_real *c, int64_t c_row, int m, int n, bool add)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t step = 0; step * TERMS < k; step++)
                sum = add_block(weight, a + step * ROWS * RM_STEP_ROW_BYTES, i,
                                b + step * b_step, j, sum);
            rm_real *at = c + i * c_row + j;
            *at = add ? *at + (rm_real)sum : (rm_real)sum;
        }
}

void rm_tile_q8_scalar(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                       int m, int n, bool add, rm_ahead ahead)
{
    run_tile(weight_q8, COLUMNS * RM_Q8_BYTES, k, a, b, c, c_row, m, n, add);
}

void rm_tile_q4_scalar(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row,
                       int m, int n, bool add, rm_ahead ahead)
{
    run_tile(weight_q4, COLUMNS * RM_Q4_BYTES, k, a, b, c, c_row, m, n, add);
}
