/* SPDX-License-Identifier: MIT
 *
 * Tiles of fewer rows and columns, and on two panels, beside the whole tile of mr by nr, whose
 * bits they must have; the memory around C is watched.
 */
#ifndef TILE_PARTS_H
#define TILE_PARTS_H

#include "check.h"

/* The whole tile, and where C is placed. */
typedef struct tile_subject {
    check *c;
    const rm_tile_kernels *tiles;
    int placement;
    const rm_real *whole; /* [mr][nr] */
} tile_subject;

/* A tile's operands, beginning at some term of the panels, and where its C lies in the whole.
 */
typedef struct tile_case {
    const char *name;
    const void *a, *b;
    int64_t a_row, a_col; /* A in place; 0: packed */
    int64_t k;
    int row, m, column, n;
    bool add;
} tile_case;

/* C of the part is the whole tile's bits, stored or added; the rest of C is kept. */
void expect_part(const tile_subject *subject, const tile_case *part);

/* A tile on the part's b and on a second panel, which holds b's columns from the second on;
 * nr < n < 2 nr. */
void expect_pair(const tile_subject *subject, const tile_case *part, const void *second);

#endif
