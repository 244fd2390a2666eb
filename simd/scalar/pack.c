/* SPDX-License-Identifier: MIT
 *
 * Packed panels in plain C: `width` numbers a term, zeros beyond `n`. Numbers rounded to bf16
 * are kept as numbers in panels of A, as two bytes in panels of B.
 *
 *   panel   | [0][0] .. [0][n-1] 0 .. 0 | [1][0] .. [1][n-1] 0 .. 0 | ...   k times width
 */
#include "simd/scalar/scalar.h"
#include "simd/scalar_math.h"

enum { ROWS = RM_SCALAR_ROWS, COLUMNS = RM_SCALAR_COLUMNS };

/* Where the elements lie: [i][p] in lines, [p][i] in steps. */
typedef struct source {
    const rm_real *const *lines, *const *steps;
    int n;
} source;

static rm_real element(const source *from, int64_t p, int i)
{
    if (i >= from->n) return 0;
    return from->lines ? from->lines[i][p] : from->steps[p][i];
}

static void pack_exact(int64_t k, int width, const source *from, rm_real *panel)
{
    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < width; i++) panel[p * width + i] = element(from, p, i);
}

static void pack_rounded(int64_t k, int width, const source *from, rm_real *panel)
{
    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < width; i++)
            panel[p * width + i] = rm_bf16_widen(rm_bf16_narrow(element(from, p, i)));
}

static void pack_narrow(int64_t k, int width, const source *from, rm_bf16 *panel)
{
    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < width; i++)
            panel[p * width + i] = rm_bf16_narrow(element(from, p, i));
}

void rm_pack_a_lines_scalar(int64_t k, int m, const rm_real *const *lines, void *panel)
{
    pack_exact(k, ROWS, &(source){.lines = lines, .n = m}, panel);
}

void rm_pack_a_steps_scalar(int64_t k, int m, const rm_real *const *steps, void *panel)
{
    pack_exact(k, ROWS, &(source){.steps = steps, .n = m}, panel);
}

void rm_pack_b_lines_scalar(int64_t k, int n, const rm_real *const *lines, void *panel)
{
    pack_exact(k, COLUMNS, &(source){.lines = lines, .n = n}, panel);
}

void rm_pack_b_steps_scalar(int64_t k, int n, const rm_real *const *steps, void *panel)
{
    pack_exact(k, COLUMNS, &(source){.steps = steps, .n = n}, panel);
}

void rm_pack_a_lines_bf16_scalar(int64_t k, int m, const rm_real *const *lines, void *panel)
{
    pack_rounded(k, ROWS, &(source){.lines = lines, .n = m}, panel);
}

void rm_pack_a_steps_bf16_scalar(int64_t k, int m, const rm_real *const *steps, void *panel)
{
    pack_rounded(k, ROWS, &(source){.steps = steps, .n = m}, panel);
}

void rm_pack_b_lines_bf16_scalar(int64_t k, int n, const rm_real *const *lines, void *panel)
{
    pack_narrow(k, COLUMNS, &(source){.lines = lines, .n = n}, panel);
}

void rm_pack_b_steps_bf16_scalar(int64_t k, int n, const rm_real *const *steps, void *panel)
{
    pack_narrow(k, COLUMNS, &(source){.steps = steps, .n = n}, panel);
}
