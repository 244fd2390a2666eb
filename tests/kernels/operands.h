/* SPDX-License-Identifier: MIT
 *
 * The operands of a product under test: A, whose lines are its rows, or B, whose lines are its
 * columns. Their sources are gathered from watched memory by pointers in random order:
 *
 *   as lines   | line 2 ... | NaN | line 0 ... | NaN | line 1 ... |       lines[i][p]
 *   as steps   | step 1 | NaN | step 2 | NaN | step 0 |                   steps[p][i]
 */
#ifndef OPERANDS_H
#define OPERANDS_H

#include "check.h"

enum { MAX_ROWS = 32, MAX_COLUMNS = 64, MAX_DEPTH_STEP = 64, MAX_DEPTH = 1100 };

typedef struct operand {
    check *c;
    int width, term, depth_step; /* mr and a_term, or nr and b_term */
    bool bf16;
    pack_kernel *pack_lines, *pack_steps;
    int64_t k;
    rm_real values[MAX_COLUMNS * MAX_DEPTH]; /* line i, term p: values[i * k + p] */
} operand;

/* Lines [first, first + n) and terms [term, term + k) of an operand. */
typedef struct operand_part {
    int first, n;
    int64_t term, k;
} operand_part;

/* What tiles are told to ask for: harmless, whatever the address. */
static const rm_ahead no_memory = {(const void *)64, 200};

typedef enum pack_way { FROM_LINES, FROM_STEPS } pack_way;

/* False, and a failure, for tiles beyond the checker's bounds. */
bool operands_fit(check *c, const rm_tile_kernels *tiles);
void operand_init_a(operand *o, check *c, const rm_tile_kernels *tiles, bool bf16);
void operand_init_b(operand *o, check *c, const rm_tile_kernels *tiles, bool bf16);
void operand_fill(operand *o, values kind, int64_t k);
/* Zeros, but one in line i at term first + i. */
void operand_fill_one_hot(operand *o, int64_t k, int64_t first);
/* The number that is multiplied: rounded to bf16 if need be. */
rm_real operand_value(const operand *o, int64_t i, int64_t p);
operand_part operand_whole(const operand *o);
/* A panel in watched memory, packed from a source in watched memory. */
void *operand_pack(const operand *o, operand_part part, pack_way way, int placement);
/* The terms a packed panel of k terms has. */
int64_t packed_depth(int64_t k, int depth_step);

#endif
