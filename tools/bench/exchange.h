/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench exchange`: what moving tokens to their experts and back costs.
 *
 *   exchange.c          the command: options, subjects in turns, ratios, table and JSON
 *   exchange_layer.c    a subject: one MoE layer on a context of its own, and its times
 *   exchange_bare.c     the baseline: MPI_Alltoallv of the same bytes
 */
#ifndef TOOLS_BENCH_EXCHANGE_H
#define TOOLS_BENCH_EXCHANGE_H

#include "bench.h"

typedef struct exchange_options {
    tool_placement placement;
    int64_t d_model, d_ff, n_experts, top_k, tokens, repeat;
    int two_level, json;
} exchange_options;

/* Where a layer's ranks are said to be, and what it may do. */
typedef struct exchange_way {
    const char *name; /* in JSON */
    bool is_alone;    /* all rows stay on their rank, whose experts see as many rows */
    bool is_light;    /* experts so narrow that the exchange is all that takes time */
    ringmoe_exchange exchange;
    ringmoe_overlap overlap;
} exchange_way;

/* One layer under test: forward passes, each timed on the slowest rank. */
typedef struct exchange_layer {
    const exchange_way *way;
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_moe *layer;
    ringmoe_real *x, *y;       /* [tokens][d_model] */
    bench_samples ms;          /* of a forward pass */
    bench_samples exchange_ms; /* of which in the exchange, as the library tells */
    double bytes_within_node, bytes_between_nodes; /* of a pass, this rank's */
} exchange_layer;

int exchange_layer_open(tool_session *session, const exchange_options *options,
                        const exchange_way *way, exchange_layer *layer);
/* One forward pass of all ranks. Returns an exit status. */
int exchange_layer_run(tool_session *session, const exchange_options *options,
                       exchange_layer *layer, bool is_timed);
void exchange_layer_close(exchange_layer *layer);

/* The baseline's buffers: what a rank sends is shared out evenly among the others. */
typedef struct exchange_bare {
    ringmoe_real *send, *receive;
    int *out, *out_at; /* [ranks], in elements: to each rank there, and from it back */
    int *in, *in_at;   /* from each rank there, and to it back */
    double bytes;      /* that leave this rank and come back to it, together */
    bench_samples ms;  /* of both calls */
} exchange_bare;

/* `bytes`: what this rank's tokens move there and back, as a layer has counted it. Ranks may
 * differ. */
int exchange_bare_open(tool_session *session, double bytes, exchange_bare *bare);
int exchange_bare_run(tool_session *session, exchange_bare *bare, bool is_timed);
void exchange_bare_close(exchange_bare *bare);

#endif
