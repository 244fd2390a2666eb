/* SPDX-License-Identifier: MIT
 *
 * Activations of one microbatch, from forward to backward, and the steps both passes share.
 *
 * Rows of width d_model, T*k in send order or R in received order:
 *
 *                   forward                             backward
 *   received [R]    x at the experts                    kept for the weight gradients
 *   arriving [R]    y of the experts                    d_y at the experts, then d_x
 *   rows     [T*k]  x to the experts, then y come back  d_y to the experts, then d_x come back
 *
 * Only `received` lives from forward to backward; the others are a workspace that layers share.
 * On one expert rank there are `rows` alone, for y and d_x: the experts read x and d_y where
 * the caller has them, by index.
 *
 * The weights of the rows travel in the same way, beside them; in expert order they are kept
 * and become their own gradients.
 */
#ifndef RM_SAVED_H
#define RM_SAVED_H

#include "moe/layer.h"
#include "moe/route.h"
#include "moe/router.h"

struct rm_moe_workspace {
    rm_real *rows, *arriving;
    rm_real *sent_weights;     /* [T*k], in send order */
    rm_real *received_weights; /* [R], in received order */
    rm_real *d_gates;          /* [T], of the shared gate; then of its logits */
};

struct rm_moe_saved {
    const rm_moe_workspace *workspace;
    rm_routing routing;
    rm_route_plan plan;
    rm_real *received;
    rm_swiglu_saved experts;
    rm_real *row_weights; /* [R], in expert order */
    rm_swiglu_saved shared;
    rm_real *gates; /* [T], sigmoid of the shared gate; NULL without one */
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

/* --- dispatch.c: between ranks --- */

/* The rows of this rank's experts: rows of x by index, or those received. */
rm_swiglu_rows rm_dispatch_rows(const rm_moe_call *call, const rm_real *x);
/* Tells the experts' ranks how many rows come, for the pass's label with this operation. */
ringmoe_status rm_dispatch_counts(const rm_moe_call *call, rm_operation operation);
/* This rank's rows, one for each choice that is not dropped, to their experts' ranks: row t of
 * x goes where token t does, through workspace->rows. Not for one expert rank. */
ringmoe_status rm_dispatch_to_experts(const rm_moe_call *call, const rm_real *x,
                                      rm_real *received);
/* workspace->arriving back to workspace->rows. Nothing to do on one expert rank. */
ringmoe_status rm_dispatch_from_experts(const rm_moe_call *call);
/* The weights of the choices to saved->row_weights, and back from there the gradients, which
 * are 0 for dropped choices. */
ringmoe_status rm_dispatch_weights(const rm_moe_call *call);
ringmoe_status rm_dispatch_weight_gradients(const rm_moe_call *call);

/* --- shared.c: the expert every token passes --- */

/* Writes its outputs, times its gate, to y. */
void rm_shared_forward(const rm_moe_call *call, const rm_real *x, rm_real *y);
/* Its weights' gradients; its part is added to d_x. */
void rm_shared_backward(const rm_moe_call *call, const rm_real *x, const rm_real *d_y,
                        const rm_moe_sinks *sinks, rm_real *d_x);

#endif
