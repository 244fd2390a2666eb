/* SPDX-License-Identifier: MIT
 *
 * The backward pass of a stage. d_stream is the gradient of the residual stream; each half of a
 * layer adds its own part to it through the norm it reads. The matrices of a parameter space
 * and the elements of its sink have the same offsets.
 *
 * Split in two (ZB-H1), the first half goes down the stream and keeps what the second, which
 * only fills the sinks, needs:
 *
 *   inputs    d_stream -> feed-forward -> norm -> attention -> norm -> d_stream
 *                  |           |           |         |           |
 *   kept         d_ffn     d_gate d_up   d_norm   d_q d_k d_v  d_norm        (and d_middle)
 *                                                 and their norms'
 *                  |           |           |         |           |
 *   weights   the sinks
 */
#include <string.h>

#include "model/backward.h"

/* --- sinks --- */

/* Where the gradient of `weights` goes, which lie in the space that `sink` is for. */
static rm_sink sink_of(rm_sink sink, const rm_real *space, const rm_real *weights)
{
    return (rm_sink){.data = sink.data + (weights - space), .add = sink.add};
}

static const rm_real *space_of(const rm_gradient_pass *pass, rm_kind kind)
{
    return pass->walk.model->spaces[pass->walk.stage->chunk * RM_N_KINDS + kind];
}

rm_sink rm_dense_sink(const rm_gradient_pass *pass, const rm_real *weights)
{
    return sink_of(pass->dense, space_of(pass, RM_KIND_DENSE), weights);
}

static rm_swiglu_sinks swiglu_sinks(rm_sink sink, const rm_real *space, const rm_swiglu *swiglu)
{
    return (rm_swiglu_sinks){.gate = sink_of(sink, space, swiglu->gate.weights),
                             .up = sink_of(sink, space, swiglu->up.weights),
                             .down = sink_of(sink, space, swiglu->down.weights)};
}

/* --- norms: their gradients are made with those of the inputs, and kept if need be --- */

rm_sink rm_norm_sink(const rm_gradient_pass *pass, rm_real *kept, const rm_real *weight)
{
    return pass->weights ? rm_dense_sink(pass, weight) : (rm_sink){.data = kept};
}

void rm_norm_deliver(const rm_gradient_pass *pass, const rm_real *kept, const rm_real *weight,
                     int64_t n)
{
    if (pass->inputs) return;
    rm_sink sink = rm_dense_sink(pass, weight);
    if (sink.add)
        pass->walk.compute->kernels->add(n, kept, sink.data);
    else
        memcpy(sink.data, kept, (size_t)n * sizeof *kept);
}

void rm_add_through_norm(const rm_gradient_pass *pass, const rm_real *x, const rm_real *rstd,
                         const rm_real *weight, rm_real *kept)
{
    const rm_backward_buffers *buffers = &pass->walk.model->backward;
    rm_norm_backward(pass->walk.compute, rm_walk_norm_shape(&pass->walk), x, rstd, weight,
                     buffers->d_input, true, pass->d_stream, buffers->norm_partials,
                     rm_norm_sink(pass, kept, weight));
}

const rm_real *rm_keep_stream(const rm_gradient_pass *pass, rm_real *kept)
{
    int64_t n = pass->walk.n_tokens * pass->walk.model->config.hidden_size;
    if (pass->inputs && pass->weights) return pass->d_stream;
    if (pass->inputs) memcpy(kept, pass->d_stream, (size_t)n * sizeof *kept);
    return kept;
}

rm_layer_gradients *rm_pass_gradients(const rm_gradient_pass *pass, int index)
{
    const rm_stage *stage = pass->walk.stage;
    return stage->gradients ? &stage->gradients[pass->walk.slot * stage->n_layers + index]
                            : &pass->walk.model->backward.gradients;
}

/* --- feed-forward --- */

static ringmoe_status backward_dense(const rm_gradient_pass *pass, int index)
{
    const rm_walk *walk = &pass->walk;
    const rm_swiglu *weights = &rm_walk_weights(walk, index)->dense;
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    int64_t offsets[] = {0, walk->n_tokens};
    rm_swiglu_sinks sinks = {0};
    if (pass->weights)
        sinks = swiglu_sinks(pass->dense, space_of(pass, RM_KIND_DENSE), weights);
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = saved->ffn_input};
    const rm_real *d_y = rm_keep_stream(pass, rm_pass_gradients(pass, index)->d_ffn);
    rm_swiglu_gradients gradients = {.d_y = d_y,
                                     .d_x = walk->model->backward.d_input,
                                     .n_sources = 1,
                                     .run_rows = &walk->n_tokens,
                                     .sinks = &sinks};
    if (pass->inputs) {
        rm_swiglu_backward_inputs(walk->compute, weights, &rows, &saved->dense, &gradients);
        RM_TRY(rm_sum_parts(walk, gradients.d_x, walk->model->config.hidden_size));
    }
    if (pass->weights)
        rm_swiglu_backward_weights(walk->compute, weights, &rows, &saved->dense, &gradients);
    return RINGMOE_OK;
}

static void set_expert_sinks(const rm_gradient_pass *pass, const rm_moe_weights *weights)
{
    const ringmoe_model *model = pass->walk.model;
    int n_sources = model->table.placement.expert_ranks;
    int n_local = model->config.num_local_experts / n_sources;
    for (int source = 0; source < n_sources; source++)
        for (int expert = 0; expert < n_local; expert++)
            model->backward.expert_sinks[source * n_local + expert] =
                swiglu_sinks(pass->experts[source], space_of(pass, RM_KIND_EXPERT),
                             &weights->experts[expert]);
}

static void set_shared_sinks(const rm_gradient_pass *pass, const rm_moe_weights *weights,
                             rm_moe_sinks *sinks)
{
    if (!weights->shared_gate) return;
    sinks->shared = swiglu_sinks(pass->dense, space_of(pass, RM_KIND_DENSE), &weights->shared);
    sinks->shared_gate = rm_dense_sink(pass, weights->shared_gate);
}

static ringmoe_status backward_moe(const rm_gradient_pass *pass, int index)
{
    const rm_walk *walk = &pass->walk;
    const rm_layer_weights *weights = rm_walk_weights(walk, index);
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    rm_moe_sinks sinks = {.experts = walk->model->backward.expert_sinks};
    if (pass->weights) {
        set_expert_sinks(pass, &weights->moe);
        sinks.router = rm_dense_sink(pass, weights->moe.router.weights);
        set_shared_sinks(pass, &weights->moe, &sinks);
    }
    rm_moe_pass moe_pass = rm_walk_moe_pass(walk, index);
    moe_pass.label.operation = RM_OPERATION_DISPATCH_GRADIENT;
    return rm_moe_layer_backward(walk->model->mesh, &weights->settings, &weights->moe,
                                 saved->moe, &moe_pass, pass->part, saved->ffn_input,
                                 pass->inputs ? pass->d_stream : NULL, pass->aux_scale, &sinks,
                                 pass->inputs ? walk->model->backward.d_input : NULL);
}

/* --- layers --- */

static ringmoe_status backward_layer(const rm_gradient_pass *pass, int index)
{
    const rm_walk *walk = &pass->walk;
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    const rm_layer_gradients *gradients = rm_pass_gradients(pass, index);
    const rm_real *norm = rm_walk_weights(walk, index)->ffn_norm;
    int layer = walk->stage->first_layer + index;
    rm_walk_enter(walk, layer);
    RM_TRY(rm_layer_remake(walk, index));
    if (rm_layer_is_dense(&walk->model->config, layer))
        RM_TRY(backward_dense(pass, index));
    else
        RM_TRY(backward_moe(pass, index));
    if (pass->inputs)
        rm_add_through_norm(pass, saved->middle, saved->ffn_rstd, norm, gradients->ffn_norm);
    rm_norm_deliver(pass, gradients->ffn_norm, norm, walk->model->config.hidden_size);
    return rm_attention_part_backward(pass, index);
}

/* The gradient of the embedding's table is made from that of its rows, which is the stream's.
 */
static void backward_embedding(const rm_gradient_pass *pass)
{
    const rm_walk *walk = &pass->walk;
    const ringmoe_model *model = walk->model;
    if (pass->weights)
        rm_embedding_backward(walk->compute, walk->n_tokens, model->config.hidden_size,
                              walk->tokens, model->parts.vocab, pass->d_stream,
                              model->backward.embedding_order,
                              rm_dense_sink(pass, model->embedding));
}

ringmoe_status rm_stage_backward(const rm_gradient_pass *pass)
{
    const rm_stage *stage = pass->walk.stage;
    rm_walk_enter(&pass->walk, -1);
    if (stage->is_last) RM_TRY(rm_head_backward(pass));
    for (int index = stage->n_layers - 1; index >= 0; index--)
        RM_TRY(backward_layer(pass, index));
    rm_walk_enter(&pass->walk, -1);
    if (stage->is_first) backward_embedding(pass);
    return RINGMOE_OK;
}
