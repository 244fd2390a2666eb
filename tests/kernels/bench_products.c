/* SPDX-License-Identifier: MIT
 *
 * Speed of the products: tiles and blocks of tiles in GFLOP/s beside the level's own peak,
 * packs and products of few rows in GB/s.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAM_BYTES = 1 << 28,
    CACHED_BYTES = 1 << 17,
    WINDOW_BYTES = 1 << 20,
    PEAK_ROUNDS = 1000,
    FEW_LINES = 2048
};

/* m rows by n_panels panels of B, from panel `at` of all on. */
typedef struct product_work {
    const rm_kernels *kernels;
    const rm_tile_kernels *tiles;
    int64_t k, m, n_panels, at, all_panels;
    char *a, *b; /* panels of A and of B */
    rm_real *c;
} product_work;

/* --- tiles -------------------------------------------------------------------------------- */
static void run_peak(void *context)
{
    const product_work *w = context;
    w->tiles->peak(PEAK_ROUNDS);
}

static int64_t tiles_of(const product_work *w)
{
    return (w->m + w->tiles->mr - 1) / w->tiles->mr;
}

/* What to ask for during a tile: a few lines on in the slice of B if no other rows use it, else
 * a part of the next slice. */
static rm_ahead ahead_of_tile(const product_work *w, const char *b, int64_t depth, int64_t tile)
{
    int64_t step = w->tiles->b_term, tiles = tiles_of(w);
    if (tiles == 1) return (rm_ahead){b + FEW_LINES, step};
    int64_t share = (step + tiles - 1) / tiles;
    return (rm_ahead){b + step * depth + tile * share * depth, share};
}

/* All rows, in tiles of even height, by a slice of a panel. */
static void run_slice(const product_work *w, int64_t first, int64_t depth, const char *b)
{
    const rm_tile_kernels *t = w->tiles;
    int64_t tiles = tiles_of(w), left = w->m;
    for (int64_t tile = 0; tile < tiles; tile++) {
        int m = (int)((left + tiles - tile - 1) / (tiles - tile));
        const char *a = w->a + (tile * w->k + first) * t->a_term;
        t->tile(depth, a, b, w->c + tile * t->mr * t->nr, t->nr, m, t->nr, first > 0,
                ahead_of_tile(w, b, depth, tile));
        left -= m;
    }
}

/* Panel after panel, in slices of depth_block terms. */
static void run_block(void *context)
{
    const product_work *w = context;
    const rm_tile_kernels *t = w->tiles;
    if (t->begin) t->begin();
    for (int64_t panel = w->at; panel < w->at + w->n_panels; panel++)
        for (int64_t first = 0; first < w->k; first += t->depth_block) {
            int64_t depth = w->k - first < t->depth_block ? w->k - first : t->depth_block;
            run_slice(w, first, depth, w->b + (panel * w->k + first) * t->b_term);
        }
    if (t->end) t->end();
}

/* Two panels at once, one of each half. */
static void run_pairs(const product_work *w)
{
    const rm_tile_kernels *t = w->tiles;
    int64_t panel_bytes = w->k * t->b_term, half = w->n_panels / 2;
    for (int64_t panel = w->at; panel < w->at + half; panel++)
        for (int64_t first = 0; first < w->k; first += t->depth_block) {
            int64_t depth = w->k - first < t->depth_block ? w->k - first : t->depth_block;
            const char *b = w->b + panel * panel_bytes + first * t->b_term;
            rm_tile_pair pair = {.b = {b, b + half * panel_bytes},
                                 .c = {w->c, w->c + t->nr},
                                 .n = {t->nr, t->nr}};
            t->tile_pair(depth, w->a + first * t->a_term, &pair, 2 * t->nr, (int)w->m,
                         first > 0);
        }
}

static void run_stream(void *context)
{
    product_work *w = context;
    w->at += w->n_panels;
    if (w->at + w->n_panels > w->all_panels) w->at = 0;
    if (w->m <= w->tiles->pair_rows)
        run_pairs(w);
    else
        run_block(context);
}

static void run_in_place(void *context)
{
    const product_work *w = context;
    const rm_tile_kernels *t = w->tiles;
    w->kernels->tile_in_place(w->k, (const rm_real *)(const void *)w->a, w->k, 1, w->b, w->c,
                              t->nr, t->mr, t->nr, true);
}

/* Random operands of m rows, k deep, packed from the same few lines again and again. */
static product_work product_create(check *c, const rm_tile_kernels *t, int64_t k, int64_t m,
                                   int64_t n_panels)
{
    int64_t tiles = (m + t->mr - 1) / t->mr, width = t->mr > t->nr ? t->mr : t->nr;
    int64_t depth = (k + t->depth_step - 1) / t->depth_step * t->depth_step;
    product_work w = {.kernels = c->kernels, .tiles = t, .k = depth, .m = m};
    w.n_panels = w.all_panels = n_panels;
    w.a = (char *)random_row(c, tiles * depth * t->a_term / (int64_t)sizeof(rm_real));
    w.b = (char *)random_row(c, n_panels * depth * t->b_term / (int64_t)sizeof(rm_real));
    w.c = random_row(c, 2 * tiles * t->mr * t->nr);
    rm_real *source = random_row(c, width * k);
    const rm_real **lines = malloc((size_t)width * sizeof *lines);
    if (!lines) abort();
    for (int64_t i = 0; i < width; i++) lines[i] = source + i * k;
    for (int64_t i = 0; i < tiles; i++)
        t->pack_a_lines(k, t->mr, lines, w.a + i * depth * t->a_term);
    for (int64_t i = 0; i < n_panels; i++)
        t->pack_b_lines(k, t->nr, lines, w.b + i * depth * t->b_term);
    free(lines), free(source);
    return w;
}

static void product_free(product_work *w)
{
    free(w->a), free(w->b), free(w->c);
}

/* GFLOP/s of m rows by n_panels panels, and of the level's peak. */
static void bench_block(check *c, const char *name, const rm_tile_kernels *t, work *run,
                        int64_t k, int64_t m, int64_t n_panels)
{
    product_work w = product_create(c, t, k, m, n_panels);
    job block = {run, &w, 2.0 * (double)(w.k * m * n_panels * t->nr)};
    rates result = rates_of(&block, &(job){run_peak, &w, t->peak(PEAK_ROUNDS)});
    printf("%-18s %4lld x %3lld, k %3lld   %8.1f GFLOP/s %5.0f %% of the peak, %.1f\n", name,
           (long long)m, (long long)(n_panels * t->nr), (long long)k, result.job,
           100 * result.job / result.beside, result.beside);
    product_free(&w);
}

static void bench_tiles(check *c, const char *name, const rm_tile_kernels *t)
{
    for (int64_t k = 64; k <= t->depth_block; k *= 2)
        bench_block(c, name, t, run_block, k, t->mr, 1);
    bench_block(c, name, t, run_block, t->depth_block, t->block_rows / t->mr * t->mr,
                256 / t->nr);
}

static void bench_in_place(check *c, const rm_tile_kernels *t)
{
    for (int64_t k = 64; k <= t->depth_block; k *= 2)
        bench_block(c, "tile_in_place", t, run_in_place, k, t->mr, 1);
}

/* Few rows by a packed B that no cache holds, some panels at a time. */
static void bench_streams(check *c, const char *name, const rm_tile_kernels *t, const job *read)
{
    static const int few_rows[] = {1, 2, 4, 16};
    int64_t k = 1024, panels = STREAM_BYTES / (k * t->b_term);
    for (int i = 0; i < 4; i++) {
        product_work w = product_create(c, t, k, few_rows[i], panels);
        int64_t panel_bytes = w.k * t->b_term;
        w.n_panels = WINDOW_BYTES / panel_bytes / 2 * 2;
        job stream = {run_stream, &w, (double)(w.n_panels * panel_bytes)};
        rates result = rates_of(&stream, read);
        printf("%-18s %2d rows, B from memory %5.1f GB/s %5.0f %% of a read\n", name,
               few_rows[i], result.job, 100 * result.job / result.beside);
        product_free(&w);
    }
}

/* --- packs -------------------------------------------------------------------------------- */
/* A matrix [all_rows][columns], of which some rows, from row `at` on, are packed into one panel
 * after the other, in slices of depth_block. */
typedef struct pack_work {
    pack_kernel *pack;
    bool is_lines;
    int width, slice;
    const rm_real *matrix, **pointers;
    int64_t rows, at, all_rows, columns;
    void *panel;
} pack_work;

static void pack_slice(const pack_work *w, int64_t row, int64_t first, int n)
{
    for (int i = 0; i < n; i++) w->pointers[i] = w->matrix + (row + i) * w->columns + first;
    w->pack(w->slice, w->width, w->pointers, w->panel);
}

/* The matrix's rows are the panels' lines, or their steps. */
static void run_pack(void *context)
{
    pack_work *w = context;
    int row_step = w->is_lines ? w->width : w->slice;
    int column_step = w->is_lines ? w->slice : w->width;
    w->at += w->rows;
    if (w->at + w->rows > w->all_rows) w->at = 0;
    for (int64_t row = w->at; row < w->at + w->rows; row += row_step)
        for (int64_t first = 0; first < w->columns; first += column_step)
            pack_slice(w, row, first, row_step);
}

typedef struct pack_case {
    const char *name;
    pack_kernel *pack;
    bool is_a, is_lines;
} pack_case;

/* GB/s of a source of about `bytes`, some rows at a time, and of a read. */
static rates rates_of_pack(check *c, const rm_tile_kernels *t, const pack_case *p,
                           int64_t bytes, const job *read)
{
    int width = p->is_a ? t->mr : t->nr, slice = t->depth_block;
    int row_step = p->is_lines ? width : slice, column_step = p->is_lines ? slice : width;
    int64_t columns = bytes > WINDOW_BYTES ? 1024 : slice;
    pack_work w = {.pack = p->pack, .is_lines = p->is_lines, .width = width, .slice = slice};
    w.columns = columns / column_step * column_step;
    int64_t row_bytes = w.columns * (int64_t)sizeof(rm_real);
    int64_t window = (bytes < WINDOW_BYTES ? bytes : WINDOW_BYTES) / row_bytes;
    w.rows = window > row_step ? window / row_step * row_step : row_step;
    w.all_rows = bytes / row_bytes > w.rows ? bytes / row_bytes : w.rows;
    rm_real *matrix = random_row(c, w.all_rows * w.columns);
    w.matrix = matrix;
    w.panel = random_row(c, (int64_t)width * (slice + t->depth_step));
    w.pointers = malloc((size_t)row_step * sizeof *w.pointers);
    if (!w.pointers) abort();
    job packing = {run_pack, &w, (double)(w.rows * row_bytes)};
    rates result = rates_of(&packing, read);
    free(matrix), free(w.panel), free(w.pointers);
    return result;
}

static void bench_packs(check *c, const char *name, const rm_tile_kernels *t, const job *read)
{
    const pack_case packs[] = {{"A from lines", t->pack_a_lines, true, true},
                               {"A from steps", t->pack_a_steps, true, false},
                               {"B from lines", t->pack_b_lines, false, true},
                               {"B from steps", t->pack_b_steps, false, false}};
    for (int i = 0; i < 4; i++) {
        rates cached = rates_of_pack(c, t, &packs[i], CACHED_BYTES, read);
        rates memory = rates_of_pack(c, t, &packs[i], STREAM_BYTES, read);
        printf("%-18s %s read at %5.1f GB/s, from memory %5.1f GB/s %5.0f %% of a read\n", name,
               packs[i].name, cached.job, memory.job, 100 * memory.job / memory.beside);
    }
}

static bool is_wanted(const char *only, const char *name)
{
    return !only || strcmp(only, name) == 0;
}

void bench_products(check *c, const char *only, const yardsticks *memory)
{
    const rm_tile_kernels *fp32 = &c->kernels->fp32, *bf16 = &c->kernels->bf16;
    if (is_wanted(only, "fp32.tile")) bench_tiles(c, "fp32.tile", fp32);
    if (is_wanted(only, "fp32.tile")) bench_streams(c, "fp32.tile", fp32, &memory->read);
    if (is_wanted(only, "bf16.tile")) bench_tiles(c, "bf16.tile", bf16);
    if (is_wanted(only, "bf16.tile")) bench_streams(c, "bf16.tile", bf16, &memory->read);
    const rm_tile_kernels *q8 = &c->kernels->q8, *q4 = &c->kernels->q4;
    if (is_wanted(only, "q8.tile")) bench_tiles(c, "q8.tile", q8);
    if (is_wanted(only, "q8.tile")) bench_streams(c, "q8.tile", q8, &memory->read);
    if (is_wanted(only, "q4.tile")) bench_tiles(c, "q4.tile", q4);
    if (is_wanted(only, "q4.tile")) bench_streams(c, "q4.tile", q4, &memory->read);
    if (is_wanted(only, "tile_in_place")) bench_in_place(c, fp32);
    if (is_wanted(only, "fp32.pack")) bench_packs(c, "fp32.pack", fp32, &memory->read);
    if (is_wanted(only, "bf16.pack")) bench_packs(c, "bf16.pack", bf16, &memory->read);
}
