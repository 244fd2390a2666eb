/* SPDX-License-Identifier: MIT
 *
 * Activations of one microbatch, from forward to backward, and the steps both passes share.
 *
 * On several expert ranks the rows that others read lie in shared memory (comm/shared.h), where
 * all members' rows have one numbering, and experts read them by number, their own, those of
 * other ranks of the node and those that came by message:
 *
 *   x_block     | own rows of x: T | messages: rows, notes | rows, notes | ..    saved
 *   d_y_block   | own rows of d_y  | messages: rows        | rows        | ..    workspace
 *   outputs     y of the experts' rows, then their d_x, in the order of arrivals.h
 *
 * A choice's output is read where its expert's rank has it, or came back to. Only x_block (and
 * d_y_block, where the weights' gradients come later) lives from forward to backward; the rest
 * is a workspace that layers share. On one expert rank nothing is copied: the experts read x
 * and d_y where the caller has them.
 */
#ifndef RM_SAVED_H
#define RM_SAVED_H

#include "comm/mail.h"
#include "moe/arrivals.h"
#include "moe/combine.h"
#include "moe/far.h"
#include "moe/layer.h"
#include "moe/route.h"
#include "moe/router.h"

/* What a rank tells the others of its node, in shared memory. */
typedef struct rm_notices {
    int64_t *run_firsts;  /* [n_local][ranks], where its outputs for a rank begin, */
    int64_t *run_rows;    /* and how many */
    int32_t *first_slots; /* [n_experts + 1] and below: its choices in send order */
    int32_t *tokens;      /* [T*k] */
    rm_real *weights;     /* [T*k] */
} rm_notices;

struct rm_moe_workspace {
    rm_shared *shared; /* NULL on one expert rank */
    rm_notices notices;
    rm_real *outputs;                /* [max_rows][d] */
    rm_real *d_weights;              /* [max_rows] */
    rm_real *d_y_block;              /* NULL with split_backward */
    rm_real *hidden, *shared_hidden; /* of the experts; NULL where each layer has its own */
    rm_real *shared_d_x;             /* [T][d] */
    /* Of rows for experts that every rank has a copy of; NULL without room for copies: */
    rm_real *shadow_hidden, *shadow_outputs, *shadow_d_weights;
    rm_real
        *leaves; /* [shadows + 1][3][d * d_ff]: their weights' gradients, and one that came */
    rm_real *sent, *came_back, *sent_back; /* messages */
    const rm_real **outputs_of;            /* [ranks], where places count from */
    int32_t *counts_out, *counts_in, *counts_room;
    rm_message *messages;
    int *rows_numbers, *sums_numbers; /* [ranks], of messages that are waited for */
};

struct rm_moe_saved {
    const rm_moe_workspace *workspace;
    rm_routing routing;
    rm_route_plan plan;
    rm_arrivals arrivals;
    rm_far far;
    int32_t *places; /* [T*k] by slot: row of its output among its expert's rank's, or number of
                        the sum that came back with it; -1: in the one before */
    rm_real *x_block, *d_y_block;
    rm_swiglu_saved experts;
    rm_swiglu_saved shared;
    rm_swiglu_saved shadows;
    rm_real *shadow_weights;  /* [T * min(k, shadows)], of their rows */
    rm_real *gates, *d_gates; /* [T], sigmoid of the shared gate; NULL without one */
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
    bool backward;
    bool is_told; /* what failed did so on another rank of the expert axis, which says why */
    rm_mail mail;
} rm_moe_call;

static inline rm_moe_call rm_moe_call_of(const ringmoe_mesh *mesh,
                                         const ringmoe_moe_settings *settings,
                                         const rm_moe_weights *weights, rm_moe_saved *saved,
                                         const rm_moe_pass *pass)
{
    return (rm_moe_call){.mesh = mesh,
                         .compute = &mesh->context->compute,
                         .settings = settings,
                         .weights = weights,
                         .pass = pass,
                         .saved = saved,
                         .n_local = settings->n_experts / mesh->expert.size};
}

static inline rm_error *rm_call_error(const rm_moe_call *call)
{
    return &call->mesh->context->error;
}

/* --- dispatch.c, far_messages.c: a pass on several expert ranks, step by step --- */

/* Opens an exchange for the pass's label with this operation: `rows`, this rank's of x or d_y,
 * become readable for others in `block`, and everyone's counts are known. */
ringmoe_status rm_dispatch_open(rm_moe_call *call, rm_operation operation, const rm_real *rows,
                                rm_real *block);
/* Forward: which rows this rank's experts have. */
ringmoe_status rm_dispatch_plan(rm_moe_call *call);
/* Has memory for what will arrive in `block`, and makes one rank's failure so far, its own or
 * that of an earlier step (`status`), known to those who would wait for its messages or sums.
 */
ringmoe_status rm_dispatch_settle(rm_moe_call *call, rm_real *block, ringmoe_status status);
/* Memory for the rows of far ranks. */
ringmoe_status rm_dispatch_make_room(rm_moe_call *call, rm_real *block);
/* Starts all messages but those back to others. */
ringmoe_status rm_dispatch_start(rm_moe_call *call, const rm_real *rows, rm_real *block);
/* Waits for the messages of a group. */
ringmoe_status rm_dispatch_await_group(rm_moe_call *call, rm_real *block, int group);
/* Sends a group's outputs, and backward the weights' gradients, back to far ranks. */
ringmoe_status rm_dispatch_return_group(rm_moe_call *call, int group);
/* Waits until everyone's outputs for this rank's tokens are there. */
ringmoe_status rm_dispatch_collect(rm_moe_call *call);
/* Closes the exchange, failed or not. Nobody reads this rank's rows any more then, nor does it
 * read others'. */
ringmoe_status rm_dispatch_close(rm_moe_call *call, ringmoe_status status);

/* Forward on one expert rank: the plan, without any exchange. */
ringmoe_status rm_dispatch_alone(rm_moe_call *call);
/* The outputs of a token's choices, in the order of their experts; returns how many. */
int rm_dispatch_terms(const rm_moe_call *call, int64_t token, rm_term *terms);
/* The gradients of the choices' weights to routing.d_weights; 0 for dropped ones. */
void rm_dispatch_weight_gradients(const rm_moe_call *call);

/* --- experts.c: the experts of this rank --- */

ringmoe_status rm_experts_forward(rm_moe_call *call, const rm_real *x);
/* The gradients of the inputs and of the choices' weights. */
ringmoe_status rm_experts_backward_inputs(rm_moe_call *call, const rm_real *x,
                                          const rm_real *d_y);
void rm_experts_backward_weights(const rm_moe_call *call, const rm_real *x, const rm_real *d_y,
                                 const rm_swiglu_sinks *sinks);

/* --- shadows.c: experts of which every rank has a copy, on this rank's own rows --- */

ringmoe_status rm_shadows_forward(const rm_moe_call *call, const rm_real *x);
ringmoe_status rm_shadows_backward_inputs(const rm_moe_call *call, const rm_real *x,
                                          const rm_real *d_y);
/* Makes this rank's leaf of each of their gradients and takes it to the expert's owner, who
 * puts everyone's into `sinks`, in the order of ranks. Collective over the expert axis. */
ringmoe_status rm_shadows_backward_weights(const rm_moe_call *call, const rm_real *x,
                                           const rm_real *d_y, const rm_swiglu_sinks *sinks);

/* --- shared_expert.c: the expert every token passes --- */

/* Writes its outputs, times its gate, to y. */
ringmoe_status rm_shared_expert_forward(const rm_moe_call *call, const rm_real *x, rm_real *y);
/* Adds its part to d_x. */
ringmoe_status rm_shared_expert_backward_inputs(const rm_moe_call *call, const rm_real *x,
                                                const rm_real *d_y, rm_real *d_x);
void rm_shared_expert_backward_weights(const rm_moe_call *call, const rm_real *x,
                                       const rm_real *d_y, const rm_moe_sinks *sinks);

#endif
