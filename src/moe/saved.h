/* SPDX-License-Identifier: MIT
 *
 * Activations of one microbatch, from forward to backward, and the steps both passes share.
 *
 * Row buffers, with T*k rows in send order or R rows in received order (d_model wide):
 *
 *                     forward                          backward
 *   travelling [T*k]  x to the experts             ->  d_y to the experts, then d_x coming back
 *   received   [R]    x at the experts             ->  kept for the weight gradients
 *   arriving   [R]    y of the experts             ->  d_y at the experts, then d_x
 *   outputs    [T*k]  y come back                  ->  kept for the gradient of the weights
 *   d_outputs  [R]                                     d_y in expert order; on one rank then
 * d_x
 *
 * On one expert rank travelling, received and arriving do not exist, and R = T*k.
 */
#ifndef RM_SAVED_H
#define RM_SAVED_H

#include "moe/layer.h"
#include "moe/route.h"
#include "moe/router.h"

struct rm_moe_saved {
    rm_routing routing;
    rm_route_plan plan;
    rm_real *travelling, *received, *arriving, *outputs, *d_outputs;
    rm_swiglu_saved experts;
    rm_swiglu_saved shared;
    rm_real *shared_outputs; /* [T][d_model], before the gate; then its input's gradient */
    rm_real *gates;          /* [T], sigmoid of the shared gate */
};

/* What every step of a pass is handed. */
typedef struct rm_moe_call {
    const ringmoe_mesh *mesh;
    const rm_compute *compute;
    const ringmoe_moe_settings *settings;
    const rm_moe_weights *weights;
    const rm_moe_pass *pass;
    rm_moe_saved *saved;
    int n_local;
} rm_moe_call;

/* --- dispatch.c: between ranks; nothing to do on one --- */

/* Row i of `rows` = row indices[i] of x. */
void rm_dispatch_gather(const rm_compute *compute, int64_t n_rows, int64_t width,
                        const rm_real *x, const int32_t *indices, rm_real *rows);
/* Tells the experts' ranks how many rows come, for the pass's label with this operation. */
ringmoe_status rm_dispatch_counts(const rm_moe_call *call, rm_operation operation);
/* Rows in send order to rows in received order, and the way back. */
ringmoe_status rm_dispatch_to_experts(const rm_moe_call *call, const rm_real *send,
                                      rm_real *received);
ringmoe_status rm_dispatch_from_experts(const rm_moe_call *call, const rm_real *send,
                                        rm_real *received);

/* --- shared.c: the expert every token passes --- */

/* Leaves the output in saved->shared_outputs and the gate's values in saved->gates. */
void rm_shared_forward(const rm_moe_call *call, const rm_real *x);
/* Its weights' gradients; leaves d_x in saved->shared_outputs and the gradients of the gate's
 * logits in saved->gates. */
void rm_shared_backward(const rm_moe_call *call, const rm_real *x, const rm_real *d_y,
                        const rm_moe_sinks *sinks);

#endif
