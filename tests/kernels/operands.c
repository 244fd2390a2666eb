/* SPDX-License-Identifier: MIT */
#include "operands.h"

#include <math.h>
#include <string.h>

bool operands_fit(check *c, const rm_tile_kernels *tiles)
{
    bool fit = tiles->mr <= MAX_ROWS && tiles->nr <= MAX_COLUMNS && tiles->row_step > 0 &&
               tiles->mr % tiles->row_step == 0 && tiles->depth_step <= MAX_DEPTH_STEP &&
               tiles->depth_block < MAX_DEPTH;
    if (!fit)
        fail(
            c,
            "tiles of %d (step %d) x %d, depths of %d in steps of %d: against the contract, or "
            "too large for the checker",
            tiles->mr, tiles->row_step, tiles->nr, tiles->depth_block, tiles->depth_step);
    return fit;
}

void operand_init_a(operand *o, check *c, const rm_tile_kernels *tiles, bool bf16)
{
    o->c = c, o->bf16 = bf16;
    o->width = tiles->mr, o->term = tiles->a_term, o->depth_step = tiles->depth_step;
    o->pack_lines = tiles->pack_a_lines, o->pack_steps = tiles->pack_a_steps;
}

void operand_init_b(operand *o, check *c, const rm_tile_kernels *tiles, bool bf16)
{
    o->c = c, o->bf16 = bf16;
    o->width = tiles->nr, o->term = tiles->b_term, o->depth_step = tiles->depth_step;
    o->pack_lines = tiles->pack_b_lines, o->pack_steps = tiles->pack_b_steps;
}

void operand_fill(operand *o, values kind, int64_t k)
{
    o->k = k;
    fill_values(o->c, kind, o->width * k, o->values);
}

void operand_fill_one_hot(operand *o, int64_t k, int64_t first)
{
    o->k = k;
    for (int64_t i = 0; i < o->width; i++)
        for (int64_t p = 0; p < k; p++) o->values[i * k + p] = p == first + i;
}

rm_real operand_value(const operand *o, int64_t i, int64_t p)
{
    rm_real value = o->values[i * o->k + p];
    return o->bf16 ? nearest_bf16(value) : value;
}

operand_part operand_whole(const operand *o)
{
    return (operand_part){.n = o->width, .k = o->k};
}

int64_t packed_depth(int64_t k, int depth_step)
{
    return (k + depth_step - 1) / depth_step * depth_step;
}

/* A random order of n things. */
static void shuffle(check *c, int64_t n, int64_t order[])
{
    for (int64_t i = 0; i < n; i++) {
        int64_t j = (int64_t)(random_bits(c) % (uint64_t)(i + 1));
        order[i] = order[j];
        order[j] = i;
    }
}

/* `count` runs of `length` elements in watched memory, reached by pointers that lie in watched
 * memory too. Between the runs lie NaNs, which would show if one were packed. */
static rm_real **take_runs(check *c, int64_t count, int64_t length, int placement)
{
    int64_t order[MAX_DEPTH], stride = length + (int64_t)(random_bits(c) % 8);
    int64_t span = count ? (count - 1) * stride + length : 0;
    rm_real *memory = buffer_take(c, placement, span, sizeof *memory);
    rm_real **runs = buffer_take(c, 0, count, sizeof *runs);
    for (int64_t i = 0; i < span; i++) memory[i] = (rm_real)NAN;
    shuffle(c, count, order);
    for (int64_t i = 0; i < count; i++) runs[i] = memory + order[i] * stride;
    return runs;
}

void *operand_pack(const operand *o, operand_part part, pack_way way, int placement)
{
    rm_real **runs = way == FROM_LINES ? take_runs(o->c, part.n, part.k, placement)
                                       : take_runs(o->c, part.k, part.n, placement);
    for (int64_t i = 0; i < part.n; i++)
        for (int64_t p = 0; p < part.k; p++) {
            rm_real value = o->values[(part.first + i) * o->k + part.term + p];
            if (way == FROM_LINES)
                runs[i][p] = value;
            else
                runs[p][i] = value;
        }
    int64_t terms = packed_depth(part.k, o->depth_step);
    void *panel = buffer_take(o->c, placement, terms * o->width, (size_t)(o->term / o->width));
    memset(panel, 0xFF, (size_t)(terms * o->term)); /* NaN, in fp32 and bf16 */
    pack_kernel *pack = way == FROM_LINES ? o->pack_lines : o->pack_steps;
    pack(part.k, part.n, (const rm_real *const *)runs, panel);
    return panel;
}
