/* SPDX-License-Identifier: MIT
 *
 * Rotary position embedding (Su et al. 2021) in NeoX's form, as Hugging Face has it: element i
 * of the first half of a head is turned with element i of the second half by the angle position
 * * frequency, frequency = theta^(-2 i / head_dim) divided by what the scaling says.
 */
#ifndef RM_ROPE_H
#define RM_ROPE_H

#include "tensor/compute.h"

/* How a model that was trained on `original` positions is told of more of them. */
typedef struct rm_rope_scaling {
    enum {
        RM_ROPE_PLAIN,
        RM_ROPE_LINEAR, /* every frequency is divided by `factor` (Chen et al. 2023) */
        RM_ROPE_LLAMA3, /* none that turns more than `high` times in the original positions is,
                           each that turns less than `low` times; between them some */
    } kind;
    double factor, low, high, original;
} rm_rope_scaling;

/* What the frequency is divided by. */
double rm_rope_divisor(const rm_rope_scaling *scaling, double frequency);
/* That of pair i, before it is divided. */
double rm_rope_frequency(double theta, int64_t head_dim, int64_t i);

/* Cosines and sines, [max_positions][head_dim / 2] each; rows are filled as they are needed. */
typedef struct rm_rope {
    rm_real *cosine, *sine;
    double theta;
    rm_rope_scaling scaling;
    int64_t head_dim, max_positions, n_filled;
} rm_rope;

/* Takes the tables from an arena (which may be measuring); theta, scaling, head_dim and
 * max_positions are set. */
void rm_rope_layout(rm_rope *rope, rm_arena *arena);
/* Fills the tables up to n_positions <= max_positions. */
void rm_rope_prepare(rm_rope *rope, const rm_compute *compute, int64_t n_positions);

/* Rows of heads: row r, `n_heads` heads of head_dim, has position r % seq_len, or if there are
 * `positions` positions[r]. sign -1 turns back, which is the backward pass. In place. */
typedef struct rm_rope_rows {
    int64_t n_rows, seq_len;
    int64_t n_heads;
    const int64_t *positions; /* or NULL */
} rm_rope_rows;
void rm_rope_apply(const rm_rope *rope, const rm_compute *compute, rm_rope_rows rows,
                   rm_real sign, rm_real *x);

#endif
