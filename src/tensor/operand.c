/* SPDX-License-Identifier: MIT */
#include "tensor/operand.h"

#include "base/pause.h"

/* Terms that a part of steps has, and those of them that all panels take their columns of
 * before the next: so few that the lines they lie in stay in the cache. */
enum { PART_STEPS = 64, CHUNK_STEPS = 8 };

static bool is_a(const rm_operand *operand)
{
    return operand->kind != RM_OPERAND_B_STEPS;
}

static int64_t panel_width(const rm_operand *operand)
{
    return is_a(operand) ? operand->kernels->mr : operand->kernels->nr;
}

/* Bytes of one term of a panel. */
static int64_t term_bytes(const rm_operand *operand)
{
    return is_a(operand) ? operand->kernels->a_term : operand->kernels->b_term;
}

int64_t rm_operand_panel_bytes(const rm_operand *operand, int64_t depth)
{
    return rm_whole(depth, operand->kernels->depth_step) * term_bytes(operand);
}

int64_t rm_operand_slice_bytes(const rm_operand *operand, int64_t depth)
{
    return rm_ceil_divide(operand->width, panel_width(operand)) *
           rm_operand_panel_bytes(operand, depth);
}

int64_t rm_operand_bytes(const rm_operand *operand)
{
    return rm_operand_slice_bytes(operand, operand->depth);
}

static const rm_real *source_row(const rm_operand *operand, int64_t row)
{
    return operand->data + (operand->rows ? operand->rows[row] : row) * operand->stride;
}

/* --- packing --- */

static void pack_panel_lines(const rm_operand *operand, int64_t panel, int64_t first,
                             int64_t depth, char *to)
{
    const rm_real *lines[RM_TILE_MOST];
    rm_heights heights = rm_heights_cut(operand->kernels, operand->width);
    int64_t row = rm_height_start(&heights, panel);
    int m = (int)(rm_height_start(&heights, panel + 1) - row);
    for (int i = 0; i < m; i++)
        lines[i] = source_row(operand, operand->first + row + i) + first;
    operand->kernels->pack_a_lines(depth, m, lines, to);
}

/* The columns of panel i begin at this one. */
static int64_t panel_column(const rm_operand *operand, const rm_heights *heights, int64_t panel)
{
    if (is_a(operand)) return rm_height_start(heights, panel);
    return rm_least(operand->width, panel * operand->kernels->nr);
}

/* Terms [first, first + depth), a chunk, of all panels; `to` is the first term's place in panel
 * 0, the next panel's lies panel_bytes further. */
static void pack_chunk(const rm_operand *operand, int64_t first, int64_t depth, char *to,
                       int64_t panel_bytes)
{
    const rm_tile_kernels *kernels = operand->kernels;
    rm_heights heights = rm_heights_cut(kernels, operand->width);
    const rm_real *rows[RM_TILE_MOST], *steps[RM_TILE_MOST];
    for (int64_t p = 0; p < depth; p++)
        rows[p] = source_row(operand, first + p) + operand->first;
    int64_t n_panels = rm_ceil_divide(operand->width, panel_width(operand)), column = 0;
    for (int64_t panel = 0; panel < n_panels; panel++, to += panel_bytes) {
        int64_t next = panel_column(operand, &heights, panel + 1);
        for (int64_t p = 0; p < depth; p++) steps[p] = rows[p] + column;
        (is_a(operand) ? kernels->pack_a_steps
                       : kernels->pack_b_steps)(depth, (int)(next - column), steps, to);
        column = next;
    }
}

/* The same for any number of terms of one slice. */
static void pack_steps(const rm_operand *operand, int64_t first, int64_t depth, char *to,
                       int64_t panel_bytes)
{
    int64_t chunk = rm_whole(CHUNK_STEPS, operand->kernels->depth_step);
    for (int64_t p = 0; p < depth; p += chunk)
        pack_chunk(operand, first + p, rm_least(depth - p, chunk), to + p * term_bytes(operand),
                   panel_bytes);
}

static void pack_slice(const rm_operand *operand, int64_t first, int64_t depth, char *to)
{
    int64_t panel_bytes = rm_operand_panel_bytes(operand, depth);
    if (operand->kind == RM_OPERAND_A_LINES) {
        int64_t n_panels = rm_ceil_divide(operand->width, operand->kernels->mr);
        for (int64_t i = 0; i < n_panels; i++)
            pack_panel_lines(operand, i, first, depth, to + i * panel_bytes);
        return;
    }
    pack_steps(operand, first, depth, to, panel_bytes);
}

/* --- sharing --- */

static char *slice_place(const rm_operand *operand, int64_t first)
{
    return operand->packed + rm_operand_slice_bytes(operand, first);
}

/* A part of lines is a panel; of steps it is PART_STEPS terms of a slice. */
static int64_t parts_of_slice(const rm_operand *operand)
{
    return rm_ceil_divide(operand->kernels->depth_block, PART_STEPS);
}

static int64_t count_parts(const rm_operand *operand)
{
    if (operand->kind == RM_OPERAND_A_LINES)
        return rm_ceil_divide(operand->width, operand->kernels->mr);
    int64_t depth_block = operand->kernels->depth_block, rest = operand->depth % depth_block;
    return operand->depth / depth_block * parts_of_slice(operand) +
           rm_ceil_divide(rest, PART_STEPS);
}

static void pack_part(const rm_operand *operand, int64_t part)
{
    int64_t depth_block = operand->kernels->depth_block;
    if (operand->kind == RM_OPERAND_A_LINES) {
        for (int64_t first = 0; first < operand->depth; first += depth_block) {
            int64_t depth = rm_least(operand->depth - first, depth_block);
            pack_panel_lines(operand, part, first, depth,
                             slice_place(operand, first) +
                                 part * rm_operand_panel_bytes(operand, depth));
        }
        return;
    }
    int64_t first = part / parts_of_slice(operand) * depth_block;
    int64_t depth = rm_least(operand->depth - first, depth_block);
    int64_t p = part % parts_of_slice(operand) * PART_STEPS;
    pack_steps(operand, first + p, rm_least(depth - p, PART_STEPS),
               slice_place(operand, first) + p * term_bytes(operand),
               rm_operand_panel_bytes(operand, depth));
}

void rm_operand_pack(rm_operand *operand)
{
    int64_t n_parts = count_parts(operand);
    if (!operand->packed ||
        atomic_load_explicit(&operand->n_done, memory_order_acquire) == n_parts)
        return;
    while (atomic_load_explicit(&operand->next_part, memory_order_relaxed) < n_parts) {
        int64_t part = atomic_fetch_add_explicit(&operand->next_part, 1, memory_order_relaxed);
        if (part >= n_parts) break;
        pack_part(operand, part);
        atomic_fetch_add_explicit(&operand->n_done, 1, memory_order_release);
    }
    for (int look = 0; atomic_load_explicit(&operand->n_done, memory_order_acquire) < n_parts;
         look++)
        rm_pause(look);
}

const char *rm_operand_slice(const rm_operand *operand, int64_t first, int64_t depth, char *own)
{
    if (operand->packed) return slice_place(operand, first);
    pack_slice(operand, first, depth, own);
    return own;
}
