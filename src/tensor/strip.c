/* SPDX-License-Identifier: MIT */
#include "tensor/strip.h"

#include <sched.h>

/* Terms that a part of steps has: few enough for the lines they lie in to stay in the cache
 * while all panels take their columns of them. */
enum { PART_STEPS = 32 };

static bool is_a(const rm_strip *strip)
{
    return strip->kind != RM_STRIP_B_STEPS;
}

static int64_t panel_width(const rm_strip *strip)
{
    return is_a(strip) ? strip->kernels->mr : strip->kernels->nr;
}

/* Bytes of one term of a panel. */
static int64_t term_bytes(const rm_strip *strip)
{
    return panel_width(strip) * (is_a(strip) ? strip->kernels->a_size : strip->kernels->b_size);
}

int64_t rm_strip_panel_bytes(const rm_strip *strip, int64_t depth)
{
    return rm_whole(depth, strip->kernels->depth_step) * term_bytes(strip);
}

int64_t rm_strip_slice_bytes(const rm_strip *strip, int64_t depth)
{
    return rm_ceil_divide(strip->width, panel_width(strip)) *
           rm_strip_panel_bytes(strip, depth);
}

int64_t rm_strip_bytes(const rm_strip *strip)
{
    return rm_strip_slice_bytes(strip, strip->depth);
}

static const rm_real *source_row(const rm_strip *strip, int64_t row)
{
    return strip->data + (strip->rows ? strip->rows[row] : row) * strip->stride;
}

/* --- packing --- */

static void pack_panel_lines(const rm_strip *strip, int64_t panel, int64_t first, int64_t depth,
                             char *to)
{
    const rm_real *lines[RM_TILE_MOST];
    rm_heights heights = rm_heights_cut(strip->kernels, strip->width);
    int64_t row = rm_height_start(&heights, panel);
    int m = (int)(rm_height_start(&heights, panel + 1) - row);
    for (int i = 0; i < m; i++) lines[i] = source_row(strip, strip->first + row + i) + first;
    strip->kernels->pack_a_lines(depth, m, lines, to);
}

/* The columns of panel i begin at this one. */
static int64_t panel_column(const rm_strip *strip, const rm_heights *heights, int64_t panel)
{
    if (is_a(strip)) return rm_height_start(heights, panel);
    return rm_least(strip->width, panel * strip->kernels->nr);
}

/* Terms [first, first + depth), at most PART_STEPS, of all panels; `to` is the first term's
 * place in panel 0, the next panel's lies panel_bytes further. */
static void pack_steps(const rm_strip *strip, int64_t first, int64_t depth, char *to,
                       int64_t panel_bytes)
{
    const rm_tile_kernels *kernels = strip->kernels;
    rm_heights heights = rm_heights_cut(kernels, strip->width);
    const rm_real *rows[PART_STEPS], *steps[PART_STEPS];
    for (int64_t p = 0; p < depth; p++) rows[p] = source_row(strip, first + p) + strip->first;
    int64_t n_panels = rm_ceil_divide(strip->width, panel_width(strip)), column = 0;
    for (int64_t panel = 0; panel < n_panels; panel++, to += panel_bytes) {
        int64_t next = panel_column(strip, &heights, panel + 1);
        for (int64_t p = 0; p < depth; p++) steps[p] = rows[p] + column;
        (is_a(strip) ? kernels->pack_a_steps
                     : kernels->pack_b_steps)(depth, (int)(next - column), steps, to);
        column = next;
    }
}

static void pack_slice(const rm_strip *strip, int64_t first, int64_t depth, char *to)
{
    int64_t panel_bytes = rm_strip_panel_bytes(strip, depth);
    if (strip->kind == RM_STRIP_A_LINES) {
        int64_t n_panels = rm_ceil_divide(strip->width, strip->kernels->mr);
        for (int64_t i = 0; i < n_panels; i++)
            pack_panel_lines(strip, i, first, depth, to + i * panel_bytes);
        return;
    }
    for (int64_t p = 0; p < depth; p += PART_STEPS)
        pack_steps(strip, first + p, rm_least(depth - p, PART_STEPS),
                   to + p * term_bytes(strip), panel_bytes);
}

/* --- sharing --- */

static char *slice_place(const rm_strip *strip, int64_t first)
{
    return strip->packed + rm_strip_slice_bytes(strip, first);
}

/* A part of lines is a panel; of steps it is PART_STEPS terms of a slice. */
static int64_t parts_of_slice(const rm_strip *strip)
{
    return rm_ceil_divide(strip->kernels->depth_block, PART_STEPS);
}

static int64_t count_parts(const rm_strip *strip)
{
    if (strip->kind == RM_STRIP_A_LINES)
        return rm_ceil_divide(strip->width, strip->kernels->mr);
    int64_t depth_block = strip->kernels->depth_block, rest = strip->depth % depth_block;
    return strip->depth / depth_block * parts_of_slice(strip) +
           rm_ceil_divide(rest, PART_STEPS);
}

static void pack_part(const rm_strip *strip, int64_t part)
{
    int64_t depth_block = strip->kernels->depth_block;
    if (strip->kind == RM_STRIP_A_LINES) {
        for (int64_t first = 0; first < strip->depth; first += depth_block) {
            int64_t depth = rm_least(strip->depth - first, depth_block);
            pack_panel_lines(strip, part, first, depth,
                             slice_place(strip, first) +
                                 part * rm_strip_panel_bytes(strip, depth));
        }
        return;
    }
    int64_t first = part / parts_of_slice(strip) * depth_block;
    int64_t depth = rm_least(strip->depth - first, depth_block);
    int64_t p = part % parts_of_slice(strip) * PART_STEPS;
    pack_steps(strip, first + p, rm_least(depth - p, PART_STEPS),
               slice_place(strip, first) + p * term_bytes(strip),
               rm_strip_panel_bytes(strip, depth));
}

void rm_strip_pack(rm_strip *strip)
{
    int64_t n_parts = count_parts(strip);
    if (!strip->packed || atomic_load_explicit(&strip->n_done, memory_order_acquire) == n_parts)
        return;
    while (atomic_load_explicit(&strip->next_part, memory_order_relaxed) < n_parts) {
        int64_t part = atomic_fetch_add_explicit(&strip->next_part, 1, memory_order_relaxed);
        if (part >= n_parts) break;
        pack_part(strip, part);
        atomic_fetch_add_explicit(&strip->n_done, 1, memory_order_release);
    }
    while (atomic_load_explicit(&strip->n_done, memory_order_acquire) < n_parts) sched_yield();
}

const char *rm_strip_slice(const rm_strip *strip, int64_t first, int64_t depth, char *own)
{
    if (strip->packed) return slice_place(strip, first);
    pack_slice(strip, first, depth, own);
    return own;
}
