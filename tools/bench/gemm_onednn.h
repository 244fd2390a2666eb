/* SPDX-License-Identifier: MIT
 *
 * What `ringmoe bench gemm` keeps for oneDNN: a primitive an expert and way, packed weights,
 * and activations in bf16.
 */
#ifndef TOOLS_BENCH_GEMM_ONEDNN_H
#define TOOLS_BENCH_GEMM_ONEDNN_H

#include "gemm.h"
#include "onednn.h"

enum { ONEDNN_WAYS = 2 };

/* What one expert takes part with. */
typedef struct onednn_part {
    dnnl_primitive_t primitive;
    dnnl_memory_t memories[3]; /* A, B, C of a product; B is NULL where it is packed weights */
} onednn_part;

/* Activations in bf16. */
typedef struct onednn_converted {
    void *data;
    dnnl_memory_t from, to;
    dnnl_primitive_t copy;
} onednn_converted;

typedef struct onednn_state {
    const gemm_problem *problem;
    onednn library;
    const int64_t *offsets;
    void *packed_data;
    dnnl_memory_t *packed;           /* [n_sets][n_experts] */
    onednn_part *parts[ONEDNN_WAYS]; /* [n_experts] each */
    onednn_converted x, d_y;
    int way; /* in use */
} onednn_state;

bool onednn_is_weight(const onednn_state *state);
dnnl_data_type_t onednn_operand_type(const onednn_state *state);
/* The next multiple of 32; fewer rows than that stay what they are. */
int64_t onednn_padded_rows(int64_t n_rows);

/* Packs the weights as a product with n_rows rows likes them, unless they lie so already. */
bool onednn_pack(onednn_state *state, int64_t n_rows);
/* Primitives that convert the operands of the operation to bf16, if that is its precision. */
bool onednn_build_copies(onednn_state *state);
/* The primitive of one expert, done in one of the ways. */
bool onednn_build_part(onednn_state *state, int way, int expert);

void onednn_drop_parts(onednn_state *state);
void onednn_drop_packed(onednn_state *state);
void onednn_drop_copy(onednn_converted *numbers);

#endif
