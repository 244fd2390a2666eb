/* SPDX-License-Identifier: MIT */
#include "tile_parts.h"

#include <string.h>

#include "operands.h"

enum { C_PAD = 5 };

static void run_tile(const tile_subject *subject, const tile_case *part, rm_real *c,
                     int64_t c_row)
{
    if (part->a_row)
        subject->c->kernels->tile_in_place(part->k, part->a, part->a_row, part->a_col, part->b,
                                           c, c_row, part->m, part->n, part->add);
    else
        subject->tiles->tile(part->k, part->a, part->b, c, c_row, part->m, part->n, part->add,
                             no_memory);
}

/* What C must become: `want` holds what it was. Columns beyond the whole tile are its own from
 * the second on. */
static void add_whole(const tile_subject *subject, const tile_case *part, int c_row,
                      rm_real *want)
{
    int nr = subject->tiles->nr;
    for (int i = 0; i < part->m; i++)
        for (int j = 0; j < part->n; j++) {
            int column = part->column + j < nr ? part->column + j : part->column + j - nr + 1;
            rm_real sum = subject->whole[(part->row + i) * nr + column];
            want[i * c_row + j] = part->add ? want[i * c_row + j] + sum : sum;
        }
}

/* C between marks, with numbers in it, and in `want` what it must become. */
static rm_real *start_part(const tile_subject *subject, const tile_case *part, int c_row,
                           int64_t span, rm_real *want)
{
    rm_real *c = buffer_take(subject->c, subject->placement, span, sizeof *c);
    fill_values(subject->c, VALUES_UNIT, span, c);
    memcpy(want, c, (size_t)span * sizeof *c);
    add_whole(subject, part, c_row, want);
    return c;
}

void expect_part(const tile_subject *subject, const tile_case *part)
{
    static rm_real want[MAX_ROWS * (MAX_COLUMNS + C_PAD)];
    int c_row = part->n + C_PAD, n_taken = subject->c->n_taken;
    int64_t span = (int64_t)(part->m - 1) * c_row + part->n;
    rm_real *c = start_part(subject, part, c_row, span, want);
    run_tile(subject, part, c, c_row);
    expect_same(subject->c, part->name, span, c, want);
    buffers_verify(subject->c);
    subject->c->n_taken = n_taken;
}

void expect_pair(const tile_subject *subject, const tile_case *part, const void *second)
{
    static rm_real want[MAX_ROWS * 2 * MAX_COLUMNS];
    int n_taken = subject->c->n_taken;
    int64_t span = (int64_t)part->m * part->n;
    rm_real *c = start_part(subject, part, part->n, span, want);
    int nr = subject->tiles->nr;
    rm_tile_pair pair = {.b = {part->b, second}, .c = {c, c + nr}, .n = {nr, part->n - nr}};
    subject->tiles->tile_pair(part->k, part->a, &pair, part->n, part->m, part->add);
    expect_same(subject->c, part->name, span, c, want);
    buffers_verify(subject->c);
    subject->c->n_taken = n_taken;
}
