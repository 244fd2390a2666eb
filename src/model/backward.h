/* SPDX-License-Identifier: MIT
 *
 * What the parts of the backward pass share (backward.c has the drawing).
 */
#ifndef RM_MODEL_BACKWARD_H
#define RM_MODEL_BACKWARD_H

#include "model/state.h"

/* What every part is told. */
typedef struct rm_gradient_pass {
    rm_walk walk;
    const rm_batch *batch;
    ringmoe_stage_operation part;
    bool inputs, weights; /* which half is made now; both unless the backward pass is split */
    rm_real aux_scale;    /* of the layers' auxiliary losses */
    rm_real *d_stream;    /* [N][d] */
    rm_sink dense;
    const rm_sink *experts;
} rm_gradient_pass;

/* Through the stage, d_stream from its end to its beginning. */
ringmoe_status rm_stage_backward(const rm_gradient_pass *pass);
/* heads.c: d_q, d_k and d_v, not rotated any more, become gradients of the products; and in the
 * weights' half the gradients of biases and norms go to their sinks. */
ringmoe_status rm_heads_part_backward(const rm_gradient_pass *pass, int index);
void rm_heads_part_weights(const rm_gradient_pass *pass, int index);
/* head.c, backward_attention.c. `index`: of the layer in its stage. */
ringmoe_status rm_head_backward(const rm_gradient_pass *pass);
ringmoe_status rm_attention_part_backward(const rm_gradient_pass *pass, int index);

/* Where the gradient of `weights`, in the chunk's dense space, goes. */
rm_sink rm_dense_sink(const rm_gradient_pass *pass, const rm_real *weights);
/* Where a norm's goes: with the inputs' half alone, `kept`. */
rm_sink rm_norm_sink(const rm_gradient_pass *pass, rm_real *kept, const rm_real *weight);
/* In the weights' half: from `kept` to its sink. n: elements. */
void rm_norm_deliver(const rm_gradient_pass *pass, const rm_real *kept, const rm_real *weight,
                     int64_t n);
/* d_stream += the gradient d_input through a norm. */
void rm_add_through_norm(const rm_gradient_pass *pass, const rm_real *x, const rm_real *rstd,
                         const rm_real *weight, rm_real *kept);
/* The stream's gradient as it is now for the weights' half, which finds it in `kept`. */
const rm_real *rm_keep_stream(const rm_gradient_pass *pass, rm_real *kept);
rm_layer_gradients *rm_pass_gradients(const rm_gradient_pass *pass, int index);

#endif
