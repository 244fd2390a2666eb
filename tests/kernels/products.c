/* SPDX-License-Identifier: MIT
 *
 * Checks of the product tiles. A whole tile is compared with the reference; every smaller tile,
 * any row moved to the top, and the sum added to C must then have the whole tile's bits.
 */
#include "check.h"

#include <math.h>
#include <string.h>

enum { MAX_ROWS = 16, MAX_COLUMNS = 64, C_PAD = 5 };

static const int64_t depths[] = {0, 1, 2, 3, 7, 16, 31, 64, 257, 512};

typedef struct product {
    check *c;
    bool bf16;
    int64_t k, a_row, a_col;
    rm_real *a, *b; /* watched; b is NULL with bf16 */
    rm_bf16 *b_bf16;
    rm_real whole[MAX_ROWS * MAX_COLUMNS]; /* the tile of mr by nr */
} product;

static void run_tile(const product *t, const rm_real *a, rm_real *c, int64_t c_row, int m,
                     int n, bool add)
{
    const rm_kernels *kernels = t->c->kernels;
    if (t->bf16)
        kernels->tile_bf16(t->k, a, t->a_row, t->a_col, t->b_bf16, c, c_row, m, n, add);
    else
        kernels->tile(t->k, a, t->a_row, t->a_col, t->b, c, c_row, m, n, add);
}

static rm_real b_element(const product *t, int64_t i)
{
    if (!t->bf16) return t->b[i];
    uint32_t bits = (uint32_t)t->b_bf16[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (rm_real)value;
}

/* A's elements among NaNs, which would show if one were read; B's panel, all of it. */
static void fill_operands(product *t, values kind, int placement)
{
    const rm_kernels *kernels = t->c->kernels;
    int64_t panel = t->k * kernels->nr;
    int64_t span = t->k ? (kernels->mr - 1) * t->a_row + (t->k - 1) * t->a_col + 1 : 0;
    t->a = buffer_take(t->c, placement, span, sizeof *t->a);
    for (int64_t i = 0; i < span; i++) t->a[i] = (rm_real)NAN;
    for (int64_t i = 0; i < kernels->mr; i++)
        for (int64_t p = 0; p < t->k; p++) {
            rm_real value = random_value(t->c, kind);
            t->a[i * t->a_row + p * t->a_col] = t->bf16 ? nearest_bf16(value) : value;
        }
    if (t->bf16)
        t->b_bf16 = buffer_take(t->c, placement, panel, sizeof *t->b_bf16);
    else
        t->b = buffer_take(t->c, placement, panel, sizeof *t->b);
    for (int64_t i = 0; i < panel; i++) {
        rm_real value = random_value(t->c, kind);
        if (t->bf16)
            t->b_bf16[i] = bf16_of(value);
        else
            t->b[i] = value;
    }
}

static void expect_element(const product *t, int i, int j)
{
    int nr = t->c->kernels->nr;
    wide sum = 0, magnitude = 0; /* of the finite terms */
    for (int64_t p = 0; p < t->k; p++) {
        wide term = (wide)t->a[i * t->a_row + p * t->a_col] * b_element(t, p * nr + j);
        sum += term;
        if (isfinite(term)) magnitude += term < 0 ? -term : term;
    }
    bool may_overflow = magnitude > (wide)REAL_MAX / 2;
    if (may_overflow) return;
    wide terms = (wide)(t->k + 1);
    expect_near(t->c, "C", i * nr + j, t->whole[i * nr + j], sum,
                terms * (REAL_EPSILON * magnitude + REAL_LEAST));
}

/* The first m rows from row `top` and n columns: bits as in the whole tile, the rest of C kept.
 */
static void check_part(product *t, int placement, int top, int m, int n, bool add)
{
    int nr = t->c->kernels->nr, c_row = n + C_PAD, n_taken = t->c->n_taken;
    rm_real want[MAX_ROWS * (MAX_COLUMNS + C_PAD)];
    int64_t span = (int64_t)(m - 1) * c_row + n;
    rm_real *c = buffer_take(t->c, placement, span, sizeof *c);
    fill_values(t->c, VALUES_UNIT, span, c);
    memcpy(want, c, (size_t)span * sizeof *c);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            rm_real sum = t->whole[(top + i) * nr + j];
            want[i * c_row + j] = add ? want[i * c_row + j] + sum : sum;
        }
    run_tile(t, t->k ? t->a + top * t->a_row : t->a, c, c_row, m, n, add);
    expect_same(t->c, add ? "C += part" : "part of C", span, c, want);
    buffers_verify(t->c);
    t->c->n_taken = n_taken;
}

static void check_parts(product *t, int placement)
{
    int mr = t->c->kernels->mr, nr = t->c->kernels->nr;
    const int widths[] = {1, nr / 2 - 1, nr / 2, nr / 2 + 1, nr - 1, nr};
    for (int m = 1; m <= mr; m++)
        for (int w = 0; w < 6; w++)
            for (int add = 0; add < 2; add++) check_part(t, placement, 0, m, widths[w], add);
    for (int top = 1; top < mr; top++) check_part(t, placement, top, 1, nr, false);
}

static void check_product(product *t, values kind, int placement)
{
    int mr = t->c->kernels->mr, nr = t->c->kernels->nr;
    buffers_reset(t->c);
    describe(t->c, "%s values, k %lld, strides of A %lld and %lld", values_names[kind],
             (long long)t->k, (long long)t->a_row, (long long)t->a_col);
    fill_operands(t, kind, placement);
    run_tile(t, t->a, t->whole, nr, mr, nr, false);
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) expect_element(t, i, j);
    check_parts(t, placement);
}

static void check_tiles(check *c, bool bf16)
{
    int mr = c->kernels->mr;
    if (mr > MAX_ROWS || c->kernels->nr > MAX_COLUMNS) {
        fail(c, "tiles of %d x %d are beyond the checker's bounds", mr, c->kernels->nr);
        return;
    }
    for (values kind = 0; kind < N_VALUES; kind++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
            int64_t k = depths[d];
            const int64_t strides[][2] = {{k, 1}, {k + 3, 1}, {1, mr}, {1, mr + 7}, {3 * k, 3}};
            for (int s = 0; s < 5; s++) {
                product t = {.c = c, .bf16 = bf16, .k = k};
                t.a_row = strides[s][0], t.a_col = strides[s][1];
                check_product(&t, kind, (s + (int)d) % N_PLACEMENTS);
            }
        }
}

void check_tile(check *c)
{
    check_tiles(c, false);
}

void check_tile_bf16(check *c)
{
    check_tiles(c, true);
}
