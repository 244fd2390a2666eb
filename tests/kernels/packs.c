/* SPDX-License-Identifier: MIT
 *
 * Checks of the packing of panels: every kind of source (contiguous rows, contiguous columns,
 * neither), every number of columns, many depths. Exact.
 */
#include "check.h"

#include <math.h>

enum { MAX_PANEL = 64 * 600 };

static const int64_t depths[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 129, 600};

typedef struct packing {
    check *c;
    bool bf16;
    int64_t k, row, col;
    int n;
} packing;

static bool is_nan_bf16(rm_bf16 value)
{
    return (value & 0x7FFF) > 0x7F80;
}

/* The source's elements among NaNs of other bits, which would show if one were read. */
static rm_real *make_source(const packing *t, values kind, int placement)
{
    int64_t span = t->k ? (t->k - 1) * t->row + (t->n - 1) * t->col + 1 : 0;
    rm_real *src = buffer_take(t->c, placement, span, sizeof *src);
    for (int64_t i = 0; i < span; i++) src[i] = (rm_real)NAN;
    for (int64_t p = 0; p < t->k; p++)
        for (int64_t j = 0; j < t->n; j++)
            src[p * t->row + j * t->col] = random_value(t->c, kind);
    return src;
}

static void check_exact(const packing *t, const rm_real *src, int placement)
{
    int nr = t->c->kernels->nr;
    static rm_real want[MAX_PANEL];
    for (int64_t p = 0; p < t->k; p++)
        for (int64_t j = 0; j < nr; j++)
            want[p * nr + j] = j < t->n ? src[p * t->row + j * t->col] : 0;
    rm_real *panel = buffer_take(t->c, placement, t->k * nr, sizeof *panel);
    t->c->kernels->pack(t->k, t->n, src, t->row, t->col, panel);
    expect_copy(t->c, "the panel", (size_t)(t->k * nr) * sizeof *panel, panel, want);
}

static void check_rounded(const packing *t, const rm_real *src, int placement)
{
    int nr = t->c->kernels->nr;
    rm_bf16 *panel = buffer_take(t->c, placement, t->k * nr, sizeof *panel);
    t->c->kernels->pack_bf16(t->k, t->n, src, t->row, t->col, panel);
    for (int64_t p = 0; p < t->k; p++)
        for (int64_t j = 0; j < nr; j++) {
            rm_bf16 got = panel[p * nr + j];
            rm_bf16 want = j < t->n ? bf16_of(src[p * t->row + j * t->col]) : 0;
            if (got != want && !(is_nan_bf16(got) && is_nan_bf16(want)))
                fail(t->c, "panel[%lld][%lld] is %04x, expected %04x", (long long)p,
                     (long long)j, (unsigned)got, (unsigned)want);
        }
}

static void check_packing(const packing *t, values kind, int placement)
{
    buffers_reset(t->c);
    describe(t->c, "%s values, k %lld, n %d, strides %lld and %lld", values_names[kind],
             (long long)t->k, t->n, (long long)t->row, (long long)t->col);
    const rm_real *src = make_source(t, kind, placement);
    if (t->bf16)
        check_rounded(t, src, placement);
    else
        check_exact(t, src, placement);
    buffers_verify(t->c);
}

static void check_packings(check *c, bool bf16)
{
    int nr = c->kernels->nr, round = 0;
    for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
        for (int n = 1; n <= nr; n++) {
            int64_t k = depths[d];
            const int64_t strides[][2] = {{n, 1}, {nr + 5, 1}, {1, k}, {1, k + 3}, {2 * nr, 2}};
            for (int s = 0; s < 5; s++, round++) {
                packing t = {.c = c, .bf16 = bf16, .k = k, .n = n};
                t.row = strides[s][0], t.col = strides[s][1];
                check_packing(&t, (values)(round % N_VALUES), round % N_PLACEMENTS);
            }
        }
}

void check_pack(check *c)
{
    check_packings(c, false);
}

void check_pack_bf16(check *c)
{
    check_packings(c, true);
}
