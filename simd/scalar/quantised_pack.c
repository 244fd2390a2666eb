/* SPDX-License-Identifier: MIT
 *
 * Blocks of weights, made from numbers by the rules of ggml's reference, and gathered into
 * panels, which every level has alike (simd/quantised.h). Loading a model waits for its file:
 * plain C keeps up.
 */
#include "simd/quantised_panel.h"
#include "simd/scalar/scalar.h"
#include "simd/scalar_math.h"

enum { COLUMNS = RM_QUANTISED_COLUMNS, TERMS = RM_BLOCK_TERMS, HALF = TERMS / 2 };

/* --- numbers to blocks --- */

/* The next `terms` numbers of a row as floats, zeros behind them. */
static void take_terms(int64_t terms, const rm_real *x, float values[TERMS])
{
    for (int t = 0; t < TERMS; t++) values[t] = t < terms ? (float)x[t] : 0;
}

/* The greatest magnitude, with its sign; NaN if any number is not finite. */
static float greatest(const float x[TERMS])
{
    float most = 0;
    for (int t = 0; t < TERMS && !isnan(most); t++)
        if (!(fabsf(x[t]) <= fabsf(most))) most = isfinite(x[t]) ? x[t] : NAN;
    return most;
}

/* A block with a number that is not finite has no numbers to show for it but its scale. */
static void quantise_block_q8(const float x[TERMS], char *block)
{
    float scale = fabsf(greatest(x)) / 127, inverse = rm_inverse_of_scale(scale);
    rm_put_scale(scale, block);
    for (int t = 0; t < TERMS; t++)
        block[RM_SCALE_BYTES + t] = isnan(scale) ? 0 : (char)(int)roundf(x[t] * inverse);
}

static int half_byte(float x)
{
    float shifted = x + 8.5f;
    return shifted >= 15 ? 15 : shifted > 0 ? (int)shifted : 0; /* NaN: 0 */
}

/* The number of the greatest magnitude becomes -8. */
static void quantise_block_q4(const float x[TERMS], char *block)
{
    float scale = greatest(x) / -8, inverse = rm_inverse_of_scale(scale);
    rm_put_scale(scale, block);
    for (int t = 0; t < HALF; t++)
        block[RM_SCALE_BYTES + t] =
            (char)(half_byte(x[t] * inverse) | half_byte(x[HALF + t] * inverse) << 4);
}

void rm_quantise_q8_scalar(int64_t n, const rm_real *x, void *blocks)
{
    float values[TERMS];
    for (int64_t i = 0; i < n; i += TERMS) {
        take_terms(n - i, x + i, values);
        quantise_block_q8(values, (char *)blocks + i / TERMS * RM_Q8_BYTES);
    }
}

void rm_quantise_q4_scalar(int64_t n, const rm_real *x, void *blocks)
{
    float values[TERMS];
    for (int64_t i = 0; i < n; i += TERMS) {
        take_terms(n - i, x + i, values);
        quantise_block_q4(values, (char *)blocks + i / TERMS * RM_Q4_BYTES);
    }
}

/* --- blocks to panels --- */

static inline __attribute__((always_inline)) void
pack_blocks(const int bytes, int64_t k, int n, const void *const *lines, char *panel)
{
    for (int64_t first = 0; first < k; first += TERMS, panel += COLUMNS * bytes) {
        if (n < COLUMNS) memset(panel, 0, (size_t)(COLUMNS * bytes));
        for (int j = 0; j < n; j++)
            rm_place_block(bytes, (const char *)lines[j] + first / TERMS * bytes, j, panel);
    }
}

void rm_pack_b_blocks_q8(int64_t k, int n, const void *const *lines, void *panel)
{
    pack_blocks(RM_Q8_BYTES, k, n, lines, panel);
}

void rm_pack_b_blocks_q4(int64_t k, int n, const void *const *lines, void *panel)
{
    pack_blocks(RM_Q4_BYTES, k, n, lines, panel);
}

void rm_pack_b_lines_q8(int64_t k, int n, const rm_real *const *lines, void *panel)
{
    rm_pack_quantised_lines(RM_Q8_BYTES, rm_quantise_q8_scalar, k, n, lines, panel);
}

void rm_pack_b_lines_q4(int64_t k, int n, const rm_real *const *lines, void *panel)
{
    rm_pack_quantised_lines(RM_Q4_BYTES, rm_quantise_q4_scalar, k, n, lines, panel);
}
