/* SPDX-License-Identifier: MIT
 *
 * Checks of the product tiles. A whole tile is compared with the reference; smaller tiles, rows
 * and columns packed alone, slices of panels, and the sum added to C must then have the same
 * bits.
 */
#include "operands.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tile_parts.h"

typedef struct product {
    check *c;
    const rm_tile_kernels *tiles;
    int placement;
    operand a, b;
    const void *a_panel, *b_panel;
    rm_real whole[MAX_ROWS * MAX_COLUMNS]; /* the tile of mr by nr */
} product;

/* Bounds as in the contract; a bf16 level may take denormal operands, products and sums for
 * zero. Sums that may overflow on their way are not judged. */
static void expect_element(const product *t, int i, int j)
{
    wide sum = 0, magnitude = 0, flushed = 0; /* of the finite terms */
    for (int64_t p = 0; p < t->a.k; p++) {
        wide a = operand_value(&t->a, i, p), b = operand_value(&t->b, j, p), term = a * b;
        bool denormal = fabs((double)a) < (double)FLT_MIN || fabs((double)b) < (double)FLT_MIN;
        sum += term;
        if (!isfinite(term)) continue;
        magnitude += term < 0 ? -term : term;
        if (denormal) flushed += term < 0 ? -term : term;
    }
    if (magnitude > (wide)REAL_MAX / 2) return;
    wide terms = (wide)(t->a.k + 1),
         tolerance = terms * (REAL_EPSILON * magnitude + REAL_LEAST);
    if (t->a.bf16) tolerance += terms * (wide)FLT_MIN + flushed;
    int nr = t->tiles->nr;
    expect_near(t->c, "C", i * nr + j, t->whole[i * nr + j], sum, tolerance);
}

static tile_subject subject_of(const product *t)
{
    return (tile_subject){t->c, t->tiles, t->placement, t->whole};
}

static void expect_part_of(const product *t, const tile_case *part)
{
    tile_subject subject = subject_of(t);
    expect_part(&subject, part);
}

static void check_size(product *t, int m, int n, bool add)
{
    expect_part_of(t, &(tile_case){.name = add ? "C += part" : "part of C",
                                   .a = t->a_panel,
                                   .b = t->b_panel,
                                   .k = t->a.k,
                                   .m = m,
                                   .n = n,
                                   .add = add});
}

/* Every m and every n, or, without `all`, every m and every n once. */
static void check_sizes(product *t, bool all)
{
    int mr = t->tiles->mr, nr = t->tiles->nr;
    for (int m = 1; m <= mr; m++)
        for (int n = 1; n <= nr; n++) {
            if (all || n == (m * 7) % nr + 1) check_size(t, m, n, false);
            if (all || m == (n * 5) % mr + 1) check_size(t, m, n, true);
        }
}

/* Rows and columns packed alone, so that each is the first of its panel. */
static void check_lines_alone(product *t)
{
    int mr = t->tiles->mr, nr = t->tiles->nr, n_taken = t->c->n_taken;
    tile_case part = {.k = t->a.k, .m = 1, .n = 1};
    for (int i = 0; i < mr; i++, t->c->n_taken = n_taken) {
        part.name = "a row alone", part.row = i, part.n = nr, part.b = t->b_panel;
        part.a = operand_pack(&t->a, (operand_part){i, 1, 0, t->a.k}, FROM_LINES, 0);
        expect_part_of(t, &part);
    }
    part = (tile_case){.k = t->a.k, .m = mr, .n = 1, .a = t->a_panel, .name = "a column alone"};
    for (int j = 0; j < nr; j++, t->c->n_taken = n_taken) {
        part.column = j;
        part.b = operand_pack(&t->b, (operand_part){j, 1, 0, t->b.k}, FROM_STEPS, 0);
        expect_part_of(t, &part);
    }
}

/* A slice of a panel is a panel: as if its terms were packed alone. */
static void check_slice(product *t)
{
    int mr = t->tiles->mr, nr = t->tiles->nr, n_taken = t->c->n_taken;
    int64_t first = packed_depth(t->a.k / 3, t->a.depth_step), left = t->a.k - first;
    if (left <= 0) return;
    operand_part a_part = {0, mr, first, left}, b_part = {0, nr, first, left};
    static rm_real sliced[MAX_ROWS * MAX_COLUMNS];
    t->tiles->tile(left, operand_pack(&t->a, a_part, FROM_LINES, 0),
                   operand_pack(&t->b, b_part, FROM_LINES, 0), sliced, nr, mr, nr, false,
                   no_memory);
    t->c->n_taken = n_taken;
    tile_case part = {.name = "a slice", .k = left, .m = mr, .n = nr};
    part.a = (const char *)t->a_panel + first * t->a.term;
    part.b = (const char *)t->b_panel + first * t->b.term;
    expect_part(&(tile_subject){t->c, t->tiles, t->placement, sliced}, &part);
}

/* The zeros that fill a panel up to a multiple of depth_step change nothing. */
static void check_padding(product *t)
{
    tile_case part = {.name = "the padded depth", .a = t->a_panel, .b = t->b_panel};
    part.k = packed_depth(t->a.k, t->a.depth_step);
    part.m = t->tiles->mr, part.n = t->tiles->nr;
    expect_part_of(t, &part);
}

/* Both halves of C have the whole tile's bits, each of its own panel. */
static void check_pairs(product *t)
{
    int n_taken = t->c->n_taken, nr = t->tiles->nr;
    const void *second =
        operand_pack(&t->b, (operand_part){1, nr - 1, 0, t->b.k}, FROM_LINES, 0);
    tile_subject subject = subject_of(t);
    tile_case part = {.name = "C of two panels", .a = t->a_panel, .b = t->b_panel, .k = t->a.k};
    for (part.m = 1; part.m <= t->tiles->pair_rows; part.m++)
        for (int add = 0; add < 2; add++) {
            part.add = add;
            part.n = nr + part.m * 7 % (nr - 1) + 1;
            expect_pair(&subject, &part, second);
        }
    t->c->n_taken = n_taken;
}

static void multiply_whole(product *t, values kind, int64_t k, int round)
{
    int mr = t->tiles->mr, nr = t->tiles->nr;
    t->placement = round % N_PLACEMENTS;
    buffers_reset(t->c);
    operand_fill(&t->a, kind, k);
    operand_fill(&t->b, kind, k);
    t->a_panel = operand_pack(&t->a, operand_whole(&t->a), round & 1, t->placement);
    t->b_panel = operand_pack(&t->b, operand_whole(&t->b), round >> 1 & 1, t->placement);
    t->tiles->tile(k, t->a_panel, t->b_panel, t->whole, nr, mr, nr, false, no_memory);
}

static void check_product(product *t, values kind, int64_t k, int round)
{
    describe(t->c, "%s values, k %lld", values_names[kind], (long long)k);
    if (t->tiles->begin) t->tiles->begin();
    multiply_whole(t, kind, k, round);
    for (int i = 0; i < t->tiles->mr; i++)
        for (int j = 0; j < t->tiles->nr; j++) expect_element(t, i, j);
    check_sizes(t, kind == VALUES_UNIT && k <= t->a.depth_step + 1);
    check_lines_alone(t);
    check_slice(t);
    check_padding(t);
    check_pairs(t);
    if (t->tiles->end) t->tiles->end();
}

static product *product_create(check *c, const rm_tile_kernels *tiles, bool bf16)
{
    describe(c, "its sizes");
    if (!operands_fit(c, tiles)) return NULL;
    product *t = malloc(sizeof *t);
    if (!t) {
        fail(c, "no memory for the operands");
        return NULL;
    }
    t->c = c, t->tiles = tiles;
    operand_init_a(&t->a, c, tiles, bf16);
    operand_init_b(&t->b, c, tiles, bf16);
    return t;
}

void check_tiles(check *c, const rm_tile_kernels *tiles, bool bf16)
{
    const int64_t step = tiles->depth_step, slice = tiles->depth_block;
    const int64_t depths[] = {0,        1,        2,        3,  7,   16,    31,       step,
                              step - 1, step + 1, 2 * step, 64, 257, slice, slice + 1};
    product *t = product_create(c, tiles, bf16);
    int round = 0;
    for (values kind = 0; t && kind < N_VALUES; kind++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++)
            check_product(t, kind, depths[d], round++);
    free(t);
}

/* Strides of A between rows and between terms, in watched memory among NaNs. */
static void check_strides(product *t, int64_t a_row, int64_t a_col)
{
    int mr = t->tiles->mr, nr = t->tiles->nr, n_taken = t->c->n_taken;
    int64_t k = t->a.k, span = k ? (mr - 1) * a_row + (k - 1) * a_col + 1 : 0;
    rm_real *a = buffer_take(t->c, t->placement, span, sizeof *a);
    for (int64_t i = 0; i < span; i++) a[i] = (rm_real)NAN;
    for (int64_t i = 0; i < mr; i++)
        for (int64_t p = 0; p < k; p++) a[i * a_row + p * a_col] = t->a.values[i * k + p];
    tile_case part = {.name = "C of A in place", .b = t->b_panel, .k = k};
    part.a_row = a_row, part.a_col = a_col;
    for (part.m = 1; part.m <= mr; part.m++) {
        part.row = mr - part.m, part.a = k ? a + part.row * a_row : a;
        part.n = part.m * 7 % nr + 1, part.add = part.m & 1;
        expect_part_of(t, &part);
    }
    t->c->n_taken = n_taken;
}

void check_tile_in_place(check *c)
{
    const int64_t depths[] = {0, 1, 2, 7, 16, 33, 257};
    product *t = product_create(c, &c->kernels->fp32, false);
    int round = 0;
    for (values kind = 0; t && kind < N_VALUES; kind++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++, round++) {
            int64_t k = depths[d], mr = t->tiles->mr;
            const int64_t strides[][2] = {
                {k + 1, 1}, {k + 3, 1}, {1, mr}, {1, mr + 7}, {3 * k + 1, 3}};
            describe(c, "%s values, k %lld", values_names[kind], (long long)k);
            if (t->tiles->begin) t->tiles->begin();
            multiply_whole(t, kind, k, round);
            if (t->tiles->end) t->tiles->end();
            for (int s = 0; s < 5; s++) check_strides(t, strides[s][0], strides[s][1]);
        }
    free(t);
}
