/* SPDX-License-Identifier: MIT
 *
 * bf16 products by BFMMLA, the bf16 matrix instruction of 64-bit ARM. Its operands are two
 * lines of four terms each, and it adds a square of four sums:
 *
 *   sums | c00 c01 |  +=  | a0: 4 terms |  x  | b0: 4 terms | transposed
 *        | c10 c11 |      | a1: 4 terms |     | b1: 4 terms |
 *
 * So both panels are steps of four terms, and a step is a row of operands, 16 bytes each:
 *
 *   panel of A   | lines 0 1 | lines 2 3 | lines 4 5 | lines 6 7 |              step 0
 *                | lines 0 1 |    ..                             |              step 1
 *   panel of B   | lines 0 1 | lines 2 3 |    ..     | lines 8 9 | lines 10 11 |
 *
 * A tile of 8 x 12 has its sums in 24 of 32 registers; 4 of A and some of the 6 of B take the
 * rest. Ten loads feed 24 instructions.
 *
 * The products of two neighbouring terms are added to each other first, then to the sum, so a
 * term passes through k / 2 + 1 roundings at most. They are to odd, an error below one ulp, and
 * denormal numbers count as zero, whatever the thread's rounding mode. Where FEAT_EBF16 is
 * there and switched on (FPCR.EBF), it rounds to nearest and keeps denormal numbers: other bits
 * on another machine, within the same bound of the contract, (k + 1) eps sum |A B|.
 */
#ifndef RM_BFMMLA_H
#define RM_BFMMLA_H

#include "simd/kernels.h"

enum {
    BFMMLA_ROWS = 8,
    BFMMLA_COLUMNS = 12,
    BFMMLA_DEPTH = 4,   /* terms of an operand's line */
    BFMMLA_OPERAND = 8, /* numbers of an operand: two lines */
};

void rm_pack_a_lines_bfmmla(int64_t k, int m, const rm_real *const *lines, void *panel);
void rm_pack_a_steps_bfmmla(int64_t k, int m, const rm_real *const *steps, void *panel);
void rm_pack_b_lines_bfmmla(int64_t k, int n, const rm_real *const *lines, void *panel);
void rm_pack_b_steps_bfmmla(int64_t k, int n, const rm_real *const *steps, void *panel);
void rm_tile_bfmmla(int64_t k, const void *a, const void *b, rm_real *c, int64_t c_row, int m,
                    int n, bool add, rm_ahead ahead);
double rm_peak_bfmmla(int64_t rounds);

#endif
