/* SPDX-License-Identifier: MIT
 *
 * The sums of a block grow slice by slice in the thread's own scratch, where they stay in the
 * second-level cache; complete, they go to their rows: copied, added, or joined by SiLU for a
 * gated pair. The loops are nested by what is to be read once:
 *
 *   many rows   slice of the depth, panel of B, tile     A's slice stays in the cache
 *   few rows    panel of B, slice, tile                  B is read as it lies in memory,
 *                                                        in two streams
 *
 * Where the inner dimension is cut, this is done for one of its blocks after the other, and
 * their sums are joined in the tree before they go to their rows.
 */
#include "tensor/product_block.h"

#include <string.h>

/* Few rows: all of a strip stays in the cache beside the stream of B. */
enum { FEW_ROWS_BYTES = 128 << 10 };

typedef struct product_block {
    const rm_product_job *job;
    rm_operand *rows; /* the strip at work */
    int64_t column, n_columns;
    const rm_own *own;
} product_block;

/* Panels of B from the block's first column on, terms from `first` on. */
static const char *panels_at(const rm_tile_kernels *kernels, const rm_packed *b, int64_t column,
                             int64_t first)
{
    int64_t depth = rm_whole(b->k, kernels->depth_step);
    return (const char *)b->data + (column / kernels->nr * depth + first) * kernels->b_term;
}

/* What is read after a slice on columns [column, column + n) of the block: the next slice of
 * the same columns, and after the last one the next columns. */
static const char *panels_after(const product_block *block, const rm_packed *b, int64_t first,
                                int64_t column, int64_t n)
{
    const rm_tile_kernels *kernels = block->rows->kernels;
    int64_t next = first + kernels->depth_block;
    if (next < b->k) return panels_at(kernels, b, block->column + column, next);
    return panels_at(kernels, b, block->column + rm_whole(column + n, kernels->nr), 0);
}

/* One slice of the depth on columns [column, column + n) of the block. */
static void run_slice(const product_block *block, const rm_packed *b, int64_t first,
                      const char *a, int64_t column, int64_t n, rm_real *c, int64_t c_row,
                      bool add)
{
    const rm_operand *rows = block->rows;
    const rm_tile_kernels *kernels = rows->kernels;
    int64_t depth = rm_least(b->k - first, kernels->depth_block);
    rm_tiles tiles = {.rows = rm_heights_cut(kernels, rows->width),
                      .n = n,
                      .depth = depth,
                      .a = a,
                      .a_panel = rm_operand_panel_bytes(rows, depth),
                      .b = panels_at(kernels, b, block->column + column, first),
                      .b_panel = rm_whole(b->k, kernels->depth_step) * kernels->b_term,
                      .after = panels_after(block, b, first, column, n),
                      .c = c + column,
                      .c_row = c_row,
                      .add = add};
    rm_tiles_run(kernels, &tiles);
}

static const char *slice_of_rows(const product_block *block, int64_t first)
{
    const rm_operand *rows = block->rows;
    int64_t depth = rm_least(rows->depth - first, rows->kernels->depth_block);
    return rm_operand_slice(rows, first, depth, block->own->a);
}

/* Sums over the whole depth, of b and of `up` beside it. */
static void run_many_rows(const product_block *block, const rm_packed *b, rm_real *c,
                          const rm_packed *up, rm_real *c_up, bool add)
{
    int64_t first = 0, n = block->n_columns;
    do {
        const char *a = slice_of_rows(block, first);
        run_slice(block, b, first, a, 0, n, c, n, add || first > 0);
        if (up) run_slice(block, up, first, a, 0, n, c_up, n, first > 0);
        first += block->rows->kernels->depth_block;
    } while (first < b->k);
}

/* A run of panels, read one after the other: columns [first, first + n) of the block. */
typedef struct panel_stream {
    const rm_packed *b;
    int64_t first, n;
    rm_real *c; /* of the block's first column */
} panel_stream;

/* The panels at `column` of two streams at once. */
static void run_pair(const product_block *block, const panel_stream streams[2], int64_t column,
                     int64_t c_row, bool add)
{
    const rm_operand *rows = block->rows;
    const rm_tile_kernels *kernels = rows->kernels;
    for (int64_t first = 0; first < rows->depth; first += kernels->depth_block) {
        rm_tile_pair pair;
        for (int s = 0; s < 2; s++) {
            int64_t at = streams[s].first + column;
            pair.b[s] = panels_at(kernels, streams[s].b, block->column + at, first);
            pair.c[s] = streams[s].c + at;
            pair.n[s] = (int)rm_least(streams[s].n - column, kernels->nr);
        }
        kernels->tile_pair(rm_least(rows->depth - first, kernels->depth_block),
                           slice_of_rows(block, first), &pair, c_row, (int)rows->width,
                           add || first > 0);
    }
}

static void run_panels(const product_block *block, const panel_stream *stream, int64_t column,
                       int64_t c_row, bool add)
{
    const rm_tile_kernels *kernels = block->rows->kernels;
    for (; column < stream->n; column += kernels->nr) {
        int64_t first = 0, n = rm_least(stream->n - column, kernels->nr);
        do {
            run_slice(block, stream->b, first, slice_of_rows(block, first),
                      stream->first + column, n, stream->c, c_row, add || first > 0);
            first += kernels->depth_block;
        } while (first < stream->b->k);
    }
}

/* Two streams side by side where the rows are so few that B is read from memory as fast as
 * that allows; what is left of either alone. */
static void run_streams(const product_block *block, const panel_stream streams[2],
                        int64_t c_row, bool add)
{
    const rm_operand *rows = block->rows;
    int64_t column = 0, both = rm_least(streams[0].n, streams[1].n);
    if (rows->width <= rows->kernels->pair_rows && rows->depth > 0)
        for (; column < both; column += rows->kernels->nr)
            run_pair(block, streams, column, c_row, add);
    for (int s = 0; s < 2; s++) run_panels(block, &streams[s], column, c_row, add);
}

/* Halves of the columns side by side. */
static void run_few_rows(const product_block *block, const rm_packed *b, rm_real *c,
                         int64_t c_row, bool add)
{
    int64_t n = block->n_columns, nr = block->rows->kernels->nr;
    int64_t half = rm_least(n, rm_whole(rm_ceil_divide(n, 2), nr));
    run_streams(block, (panel_stream[]){{b, 0, half, c}, {b, half, n - half, c}}, c_row, add);
}

static bool has_few_rows(const product_block *block)
{
    return block->rows->packed && rm_operand_bytes(block->rows) <= FEW_ROWS_BYTES;
}

/* --- sums of blocks of the inner dimension --- */

int rm_product_places(const rm_product *product)
{
    int places = 1;
    for (int blocks = rm_packed_n_blocks(product->b); blocks > 1; blocks /= 2) places++;
    return product->up ? 2 : places;
}

/* c = the sum of all terms over one block of the inner dimension. */
static void run_inner_block(product_block *block, int inner, rm_real *c)
{
    const rm_product *product = block->job->product;
    int n_terms = 1 + product->n_more;
    for (int i = 0; i < n_terms; i++) {
        block->rows = &block->job->strips[inner * n_terms + i];
        rm_packed b =
            rm_packed_block(block->rows->kernels, rm_product_term_of(product, i).b, inner);
        rm_operand_pack(block->rows);
        if (has_few_rows(block))
            run_few_rows(block, &b, c, block->n_columns, i > 0);
        else
            run_many_rows(block, &b, c, NULL, NULL, i > 0);
    }
}

/* The blocks' sums lie one after the other until they are joined. */
static void run_inner_blocks(const rm_kernels *kernels, product_block *block)
{
    int64_t size = block->job->n_rows * block->n_columns;
    rm_real *c = block->own->c;
    for (int inner = 0; inner < rm_packed_n_blocks(block->job->product->b); inner++) {
        run_inner_block(block, inner, c);
        for (int joins = rm_inner_joins(inner); joins > 0; joins--, c -= size)
            kernels->add(size, c, c - size);
        c += size;
    }
}

/* --- to their rows --- */

static int64_t place_of_row(const product_block *block, int64_t row)
{
    const rm_product *product = block->job->product;
    return (product->c_rows ? product->c_rows[row] : row) * product->c_stride + block->column;
}

static void store(const rm_kernels *kernels, const product_block *block, const rm_real *c)
{
    const rm_product *product = block->job->product;
    int64_t n = block->n_columns, first = block->job->first_row;
    for (int64_t i = 0; i < block->job->n_rows; i++, c += n) {
        rm_real *row = product->c + place_of_row(block, first + i);
        if (product->add)
            kernels->add(n, c, row);
        else
            memcpy(row, c, (size_t)n * sizeof *c);
    }
}

static void store_gated(const rm_kernels *kernels, const product_block *block, const rm_real *c,
                        const rm_real *c_up)
{
    const rm_product *product = block->job->product;
    int64_t n = block->n_columns, first = block->job->first_row;
    for (int64_t i = 0; i < block->job->n_rows; i++, c += n, c_up += n) {
        int64_t place = place_of_row(block, first + i);
        rm_real weight = product->weights ? product->weights[first + i] : 1;
        if (product->c != product->hidden) memcpy(product->c + place, c, (size_t)n * sizeof *c);
        if (product->c_up != product->hidden)
            memcpy(product->c_up + place, c_up, (size_t)n * sizeof *c);
        kernels->silu_mul(n, weight, c, c_up, product->hidden + place);
    }
}

/* A sum of one slice is complete at once and needs no place beside C. */
static bool is_direct(const rm_product *product, const rm_tile_kernels *kernels)
{
    return !product->c_rows && !product->up && product->b->k <= kernels->depth_block;
}

static void run_direct(const product_block *block)
{
    const rm_product *product = block->job->product;
    rm_real *c = product->c + place_of_row(block, block->job->first_row);
    if (has_few_rows(block))
        run_few_rows(block, product->b, c, product->c_stride, product->add);
    else
        run_slice(block, product->b, 0, slice_of_rows(block, 0), 0, block->n_columns, c,
                  product->c_stride, product->add);
}

/* One product over the whole depth, or a gated pair. */
static void run_simple(const rm_kernels *kernels, product_block *block)
{
    const rm_product *product = block->job->product;
    rm_real *c = block->own->c, *c_up = c + block->job->n_rows * block->n_columns;
    rm_operand_pack(block->rows);
    if (is_direct(product, block->rows->kernels)) {
        run_direct(block);
        return;
    }
    int64_t n = block->n_columns;
    if (!has_few_rows(block))
        run_many_rows(block, product->b, c, product->up, c_up, false);
    else if (product->up)
        run_streams(block, (panel_stream[]){{product->b, 0, n, c}, {product->up, 0, n, c_up}},
                    n, false);
    else
        run_few_rows(block, product->b, c, n, false);
    if (product->up)
        store_gated(kernels, block, c, c_up);
    else
        store(kernels, block, c);
}

void rm_product_block_run(const rm_kernels *kernels, rm_product_job *job, int64_t part,
                          const rm_own *own)
{
    const rm_product *product = job->product;
    const rm_tile_kernels *tiles = job->strips[0].kernels;
    int64_t column = rm_part_start(product->b->n, tiles->nr, job->n_parts, part);
    int64_t end = rm_part_start(product->b->n, tiles->nr, job->n_parts, part + 1);
    product_block block = {job, job->strips, column, end - column, own};
    if (rm_packed_n_blocks(product->b) == 1 && product->n_more == 0) {
        run_simple(kernels, &block);
        return;
    }
    run_inner_blocks(kernels, &block);
    store(kernels, &block, own->c);
}
