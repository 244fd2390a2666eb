/* SPDX-License-Identifier: MIT
 *
 * An operand: a strip of rows of A or of columns of B over the whole depth, packed for the
 * tiles while being gathered through an index list. Several blocks of C use it; the threads
 * that come to need it pack it together, part by part, each part once.
 *
 *   packed   | slice 0: panel 0 | panel 1 | .. | slice 1: panel 0 | panel 1 | .. |
 *
 * An operand too large for the shared memory has none: each block of C packs the slice it is at
 * into its thread's own memory.
 */
#ifndef RM_OPERAND_H
#define RM_OPERAND_H

#include <stdatomic.h>

#include "tensor/tiles.h"

/* What of the source becomes a row of A (a column of B): see rm_tile_kernels. */
typedef enum rm_operand_kind {
    RM_OPERAND_A_LINES,
    RM_OPERAND_A_STEPS,
    RM_OPERAND_B_STEPS
} rm_operand_kind;

typedef struct rm_operand {
    rm_operand_kind kind;
    const rm_tile_kernels *kernels;
    const rm_real *data; /* row i of the source is data + rows[i] * stride */
    int64_t stride;
    const int32_t *rows; /* NULL: i */
    int64_t first;       /* its first row (lines) or column (steps) of the source */
    int64_t width;       /* rows of A, or columns of B */
    int64_t depth;
    char *packed; /* NULL: not shared */
    atomic_llong next_part, n_done;
} rm_operand;

/* Memory that the whole operand takes when packed, and a slice of it. */
int64_t rm_operand_bytes(const rm_operand *operand);
int64_t rm_operand_slice_bytes(const rm_operand *operand, int64_t depth);
/* From one panel of a slice to the next. */
int64_t rm_operand_panel_bytes(const rm_operand *operand, int64_t depth);

/* Returns when the operand is packed; helps until then. */
void rm_operand_pack(rm_operand *operand);
/* The packed panels of terms [first, first + depth), which are one slice of the depth; `own` is
 * the thread's room for a slice of an operand that is not shared. */
const char *rm_operand_slice(const rm_operand *operand, int64_t first, int64_t depth,
                             char *own);

#endif
