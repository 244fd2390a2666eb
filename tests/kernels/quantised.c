/* SPDX-License-Identifier: MIT
 *
 * Checks of the quantised products: every level must have the bits of the contract, computed
 * here from the blocks and the numbers themselves, whatever the shape. And of the blocks that
 * are made from numbers, and of panels from either.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tile_parts.h"

enum { TERMS = 32, MOST_BLOCKS = 36, MOST_LINES = 32, MOST_BYTES = 34 };

typedef struct quantised {
    check *c;
    const rm_tile_kernels *tiles;
    bool is_q4;
    int block_bytes, placement;
    int64_t k, n_blocks;
    rm_real *rows[MOST_LINES];                                  /* of A */
    unsigned char blocks[MOST_LINES][MOST_BLOCKS * MOST_BYTES]; /* columns of B */
    void *a_panel, *b_panel;
} quantised;

static float half_value(unsigned char low, unsigned char high)
{
    int word = low | high << 8, exponent = word >> 10 & 31, fraction = word & 1023;
    double value = exponent == 0   ? ldexp(fraction, -24)
                   : exponent < 31 ? ldexp(1024 + fraction, exponent - 25)
                   : fraction == 0 ? INFINITY
                                   : NAN;
    return (float)(word >> 15 ? -value : value);
}

static int weight(const quantised *t, int column, int64_t block, int term)
{
    const unsigned char *bytes = t->blocks[column] + block * t->block_bytes + 2;
    if (!t->is_q4) return (signed char)bytes[term];
    return (term < 16 ? bytes[term] & 15 : bytes[term - 16] >> 4) - 8;
}

/* A block of a row: its scale, and its whole numbers. */
static float rounded_row(const quantised *t, int row, int64_t block, int whole[TERMS])
{
    float most = 0;
    bool is_finite = true;
    int n = t->k - block * TERMS < TERMS ? (int)(t->k - block * TERMS) : TERMS;
    const rm_real *x = t->rows[row] + block * TERMS;
    for (int i = 0; i < n; i++) {
        is_finite = is_finite && isfinite((float)x[i]);
        most = fmaxf(most, fabsf((float)x[i]));
    }
    bool is_kept = is_finite && most >= 0x1p-100f;
    for (int i = 0; i < TERMS; i++)
        whole[i] = i < n && is_kept ? (int)nearbyintf((float)x[i] * (127 / most)) : 0;
    return is_finite ? is_kept ? most / 127 : 0 : NAN;
}

static float expected(const quantised *t, int row, int column)
{
    float sum = 0;
    for (int64_t block = 0; block < t->n_blocks; block++) {
        const unsigned char *bytes = t->blocks[column] + block * t->block_bytes;
        int whole[TERMS], product = 0;
        float scale = rounded_row(t, row, block, whole) * half_value(bytes[0], bytes[1]);
        for (int i = 0; i < TERMS; i++) product += whole[i] * weight(t, column, block, i);
        sum = fmaf((float)product, scale, sum);
    }
    return sum;
}

/* --- operands --- */

/* Scales of common sizes, now and then any half number; bytes of all kinds. */
static void fill_block(quantised *t, unsigned char *block)
{
    uint64_t bits = random_bits(t->c);
    unsigned scale = (unsigned)(bits & 0x83FF) | (bits >> 16 & 7) << 10;
    if (bits >> 40 % 64 == 0) scale = (unsigned)bits & 0xFFFF;
    block[0] = (unsigned char)scale, block[1] = (unsigned char)(scale >> 8);
    bool is_extreme = bits >> 24 & 1;
    for (int i = 2; i < t->block_bytes; i++) {
        uint64_t byte = random_bits(t->c);
        block[i] = (unsigned char)(is_extreme ? (byte & 1 ? 0x80 : 0x7F) : byte);
        if (is_extreme && t->is_q4) block[i] = byte & 1 ? 0x0F : 0xF0;
    }
}

static void fill(quantised *t, values kind)
{
    int mr = t->tiles->mr, nr = t->tiles->nr;
    for (int j = 0; j < nr; j++)
        for (int64_t b = 0; b < t->n_blocks; b++)
            fill_block(t, t->blocks[j] + b * t->block_bytes);
    int64_t stride = t->k + 3;
    rm_real *a = buffer_take(t->c, t->placement, mr * stride, sizeof *a);
    fill_values(t->c, kind, mr * stride, a);
    for (int i = 0; i < mr; i++) t->rows[i] = a + i * stride + (t->placement == 0 ? 3 : 0);
}

static void *take_panel(const quantised *t, int64_t term)
{
    int64_t bytes = t->n_blocks * TERMS * term;
    void *panel = buffer_take(t->c, t->placement, bytes / 4, 4);
    memset(panel, 0xFF, (size_t)bytes);
    return panel;
}

/* Lines as blocks in watched memory, at odd addresses too. */
static void pack_blocks(const quantised *t, int first, int n, void *panel)
{
    const void *lines[MOST_LINES];
    int64_t bytes = t->n_blocks * t->block_bytes;
    char *memory = buffer_take(t->c, t->placement, n * bytes, 1);
    for (int j = 0; j < n; j++) {
        memcpy(memory + j * bytes, t->blocks[first + j], (size_t)bytes);
        lines[j] = memory + j * bytes;
    }
    t->tiles->pack_b_blocks(t->k, n, lines, panel);
}

static void pack_whole(quantised *t)
{
    t->a_panel = take_panel(t, t->tiles->a_term);
    t->b_panel = take_panel(t, t->tiles->b_term);
    t->tiles->pack_a_lines(t->k, t->tiles->mr, (const rm_real *const *)t->rows, t->a_panel);
    pack_blocks(t, 0, t->tiles->nr, t->b_panel);
    buffers_verify(t->c);
}

/* --- tiles --- */

static tile_subject subject_of(const quantised *t, const rm_real *whole)
{
    return (tile_subject){t->c, t->tiles, t->placement, whole};
}

static void check_sizes(const quantised *t, const tile_subject *subject)
{
    tile_case part = {.name = "part of C", .a = t->a_panel, .b = t->b_panel, .k = t->k};
    for (part.m = 1; part.m <= t->tiles->mr; part.m++)
        for (part.n = 1; part.n <= t->tiles->nr; part.n++) {
            bool is_tried =
                t->k <= 33 || part.n == t->tiles->nr || part.n == part.m * 7 % t->tiles->nr + 1;
            part.add = (part.m + part.n) & 1;
            if (is_tried) expect_part(subject, &part);
        }
}

static void check_rows_alone(const quantised *t, const tile_subject *subject)
{
    int n_taken = t->c->n_taken;
    void *panel = take_panel(t, t->tiles->a_term);
    tile_case part = {.name = "a row alone", .a = panel, .b = t->b_panel, .k = t->k, .m = 1};
    part.n = t->tiles->nr;
    for (part.row = 0; part.row < t->tiles->mr; part.row++) {
        const rm_real *line = t->rows[part.row];
        t->tiles->pack_a_lines(t->k, 1, &line, panel);
        expect_part(subject, &part);
    }
    t->c->n_taken = n_taken;
}

static void check_columns_alone(const quantised *t, const tile_subject *subject)
{
    int n_taken = t->c->n_taken;
    tile_case part = {.name = "a column alone", .a = t->a_panel, .k = t->k, .n = 1};
    part.m = t->tiles->mr;
    for (; part.column < t->tiles->nr; part.column++, t->c->n_taken = n_taken) {
        void *panel = take_panel(t, t->tiles->b_term);
        pack_blocks(t, part.column, 1, panel);
        part.b = panel;
        expect_part(subject, &part);
    }
}

static void check_pairs(const quantised *t, const tile_subject *subject)
{
    int nr = t->tiles->nr, n_taken = t->c->n_taken;
    void *second = take_panel(t, t->tiles->b_term);
    tile_case part = {.name = "C of two panels", .a = t->a_panel, .b = t->b_panel, .k = t->k};
    pack_blocks(t, 1, nr - 1, second);
    for (part.m = 1; part.m <= t->tiles->pair_rows; part.m++)
        for (int add = 0; add < 2; add++) {
            part.add = add;
            part.n = nr + part.m * 5 % (nr - 1) + 1;
            expect_pair(subject, &part, second);
        }
    t->c->n_taken = n_taken;
}

/* From a block in the middle on. */
static void check_slice(quantised *t)
{
    static rm_real sliced[MOST_LINES * MOST_LINES];
    int mr = t->tiles->mr, nr = t->tiles->nr;
    int64_t first = t->n_blocks / 2;
    quantised rest = *t;
    rest.k = t->k - first * TERMS, rest.n_blocks = t->n_blocks - first;
    for (int i = 0; i < mr; i++) rest.rows[i] = t->rows[i] + first * TERMS;
    for (int j = 0; j < nr; j++)
        memcpy(rest.blocks[j], t->blocks[j] + first * t->block_bytes,
               (size_t)(rest.n_blocks * t->block_bytes));
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) sliced[i * nr + j] = (rm_real)expected(&rest, i, j);
    tile_subject subject = subject_of(t, sliced);
    tile_case part = {.name = "a slice", .k = rest.k, .m = mr, .n = nr};
    part.a = (char *)t->a_panel + first * TERMS * t->tiles->a_term;
    part.b = (char *)t->b_panel + first * TERMS * t->tiles->b_term;
    expect_part(&subject, &part);
}

static void check_depth(quantised *t, values kind, int64_t k)
{
    static rm_real whole[MOST_LINES * MOST_LINES];
    int mr = t->tiles->mr, nr = t->tiles->nr;
    describe(t->c, "%s values, k %lld", values_names[kind], (long long)k);
    buffers_reset(t->c);
    t->k = k, t->n_blocks = (k + TERMS - 1) / TERMS;
    fill(t, kind);
    pack_whole(t);
    for (int i = 0; i < mr; i++)
        for (int j = 0; j < nr; j++) whole[i * nr + j] = (rm_real)expected(t, i, j);
    if (t->tiles->begin) t->tiles->begin();
    tile_subject subject = subject_of(t, whole);
    check_sizes(t, &subject);
    check_rows_alone(t, &subject);
    check_columns_alone(t, &subject);
    check_pairs(t, &subject);
    check_slice(t);
    if (t->tiles->end) t->tiles->end();
}

/* --- blocks and panels from numbers --- */

/* Rounded by arithmetic; its word is then searched for. */
static void put_half(float scale, unsigned char *block)
{
    int exponent, low = 0, high = 0x7C00;
    double magnitude = fabs((double)scale);
    frexp(magnitude, &exponent);
    int last = exponent - 11 > -24 ? exponent - 11 : -24;
    magnitude = ldexp(nearbyint(ldexp(magnitude, -last)), last);
    while (low < high) {
        int word = (low + high) / 2;
        if ((double)half_value((unsigned char)word, (unsigned char)(word >> 8)) < magnitude)
            low = word + 1;
        else
            high = word;
    }
    block[0] = (unsigned char)low;
    block[1] = (unsigned char)(low >> 8 | (signbit(scale) ? 0x80 : 0));
}

/* A block by ggml's rule. */
static void expected_block(const quantised *t, const rm_real *x, unsigned char *block)
{
    float most = 0, signed_most = 0;
    for (int i = 0; i < TERMS; i++)
        if (fabsf((float)x[i]) > most) most = fabsf((float)x[i]), signed_most = (float)x[i];
    float scale = t->is_q4 ? signed_most / -8 : most / 127,
          inverse = fabsf(scale) < 0x1p-100f ? 0 : 1 / scale;
    put_half(scale, block);
    memset(block + 2, 0, (size_t)t->block_bytes - 2);
    for (int i = 0; i < TERMS; i++) {
        float value = (float)x[i] * inverse;
        int byte = t->is_q4 ? (int)fminf(15, floorf(value + 8.5f)) : (int)roundf(value);
        if (t->is_q4)
            block[2 + i % 16] |= (unsigned char)(byte << (i < 16 ? 0 : 4));
        else
            block[2 + i] = (unsigned char)byte;
    }
}

/* Any number of numbers, and panels of fewer lines. */
static void check_from_numbers(quantised *t, values kind, int64_t k)
{
    describe(t->c, "from numbers, %s values, k %lld", values_names[kind], (long long)k);
    buffers_reset(t->c);
    t->k = k, t->n_blocks = (k + TERMS - 1) / TERMS;
    int nr = t->tiles->nr, n = (int)(k * 5 % nr) + 1;
    const rm_real *lines[MOST_LINES];
    unsigned char *blocks = buffer_take(t->c, t->placement, t->n_blocks * t->block_bytes, 1);
    void *want = take_panel(t, t->tiles->b_term), *got = take_panel(t, t->tiles->b_term);
    rm_real *numbers = buffer_take(t->c, t->placement, n * k, sizeof *numbers);
    fill_values(t->c, kind, n * k, numbers);
    for (int j = 0; j < n; j++) {
        lines[j] = numbers + j * k;
        (t->is_q4 ? t->c->kernels->quantise_q4 : t->c->kernels->quantise_q8)(k, lines[j],
                                                                             blocks);
        memcpy(t->blocks[j], blocks, (size_t)(t->n_blocks * t->block_bytes));
        for (int64_t b = 0; b < t->n_blocks; b++) {
            rm_real filled[TERMS] = {0};
            int64_t left = k - b * TERMS < TERMS ? k - b * TERMS : TERMS;
            memcpy(filled, lines[j] + b * TERMS, (size_t)left * sizeof *filled);
            unsigned char block[MOST_BYTES];
            bool is_finite = true;
            for (int i = 0; i < TERMS; i++) is_finite = is_finite && isfinite((float)filled[i]);
            if (!is_finite) {
                const unsigned char *bytes = blocks + b * t->block_bytes;
                if (!isnan(half_value(bytes[0], bytes[1]))) fail(t->c, "the scale is no NaN");
                continue;
            }
            expected_block(t, filled, block);
            expect_copy(t->c, "block", (size_t)t->block_bytes, blocks + b * t->block_bytes,
                        block);
        }
    }
    t->tiles->pack_b_lines(k, n, lines, got);
    pack_blocks(t, 0, n, want);
    expect_copy(t->c, "panel", (size_t)(t->n_blocks * TERMS * t->tiles->b_term), got, want);
    buffers_verify(t->c);
}

void check_quantised(check *c, bool is_q4)
{
    static const int64_t depths[] = {1, 31, 32, 33, 64, 96, 100, 257, 1024};
    const rm_tile_kernels *tiles = is_q4 ? &c->kernels->q4 : &c->kernels->q8;
    describe(c, "its sizes");
    if (tiles->mr > MOST_LINES || tiles->nr > MOST_LINES || tiles->depth_step != TERMS) {
        fail(c, "tiles of %d x %d: too large for the checker", tiles->mr, tiles->nr);
        return;
    }
    quantised *t = calloc(1, sizeof *t);
    if (!t) {
        fail(c, "no memory for the operands");
        return;
    }
    t->c = c, t->tiles = tiles, t->is_q4 = is_q4, t->block_bytes = is_q4 ? 18 : 34;
    for (values kind = 0; kind < N_VALUES; kind++)
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
            t->placement = (int)(kind + d) % N_PLACEMENTS;
            check_depth(t, kind, depths[d]);
            check_from_numbers(t, kind, depths[d]);
        }
    free(t);
}
