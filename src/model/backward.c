/* SPDX-License-Identifier: MIT
 *
 * The backward pass, from the logits' gradient down to the embedding. d_stream is the gradient
 * of the residual stream; each half of a layer adds its own part to it through the norm it
 * reads. The matrices of a parameter space and the elements of its sink have the same offsets.
 */
#include "model/state.h"

#include "nn/embedding.h"

/* What every layer's backward pass is told. */
typedef struct gradient_pass {
    ringmoe_model *model;
    const rm_compute *compute;
    const rm_walk *walk;
    int64_t n_tokens;
    rm_real aux_scale; /* of the layers' auxiliary losses */
    rm_sink dense;
    const rm_sink *experts;
} gradient_pass;

/* Where the gradient of `weights` goes, which lie in the space that `sink` is for. */
static rm_sink sink_of(rm_sink sink, const rm_real *space, const rm_real *weights)
{
    return (rm_sink){.data = sink.data + (weights - space), .add = sink.add};
}

static rm_sink dense_sink(const gradient_pass *pass, const rm_real *weights)
{
    return sink_of(pass->dense, pass->model->spaces[RM_SPACE_DENSE], weights);
}

static rm_swiglu_sinks swiglu_sinks(rm_sink sink, const rm_real *space, const rm_swiglu *swiglu)
{
    return (rm_swiglu_sinks){.gate = sink_of(sink, space, swiglu->gate.weights),
                             .up = sink_of(sink, space, swiglu->up.weights),
                             .down = sink_of(sink, space, swiglu->down.weights)};
}

/* d_stream += the gradient d_input through a norm. */
static void add_through_norm(const gradient_pass *pass, const rm_real *x, const rm_real *rstd,
                             const rm_real *weight)
{
    const rm_backward_buffers *buffers = &pass->model->backward;
    rm_norm_backward(pass->compute, rm_model_norm_shape(pass->model, pass->n_tokens), x, rstd,
                     weight, buffers->d_input, true, buffers->d_stream, buffers->norm_partials,
                     dense_sink(pass, weight));
}

static void backward_dense(const gradient_pass *pass, int layer)
{
    ringmoe_model *model = pass->model;
    const rm_swiglu *weights = &model->layers[layer].dense;
    const rm_layer_saved *saved = &model->saved[layer];
    int64_t offsets[] = {0, pass->n_tokens};
    rm_swiglu_sinks sinks = swiglu_sinks(pass->dense, model->spaces[RM_SPACE_DENSE], weights);
    rm_swiglu_rows rows = {.n_experts = 1, .offsets = offsets, .x = saved->ffn_input};
    rm_swiglu_gradients gradients = {.d_y = model->backward.d_stream,
                                     .d_x = model->backward.d_input,
                                     .n_sources = 1,
                                     .run_rows = &pass->n_tokens,
                                     .sinks = &sinks};
    rm_swiglu_backward(pass->compute, weights, &rows, &saved->dense, &gradients);
}

static ringmoe_status backward_moe(const gradient_pass *pass, int layer)
{
    ringmoe_model *model = pass->model;
    const rm_layer_weights *weights = &model->layers[layer];
    const rm_layer_saved *saved = &model->saved[layer];
    int n_local = model->config.num_local_experts / model->expert_ranks;
    rm_moe_sinks sinks = {.router = dense_sink(pass, weights->moe.router.weights),
                          .experts = model->backward.expert_sinks};
    for (int source = 0; source < model->expert_ranks; source++)
        for (int expert = 0; expert < n_local; expert++)
            sinks.experts[source * n_local + expert] =
                swiglu_sinks(pass->experts[source], model->spaces[RM_SPACE_EXPERT],
                             &weights->moe.experts[expert]);
    rm_moe_pass moe_pass = rm_layer_pass(model, pass->walk, layer);
    moe_pass.label.operation = RM_OPERATION_DISPATCH_GRADIENT;
    return rm_moe_layer_backward(model->mesh, &weights->settings, &weights->moe, saved->moe,
                                 &moe_pass, RINGMOE_STAGE_BACKWARD, saved->ffn_input,
                                 model->backward.d_stream, pass->aux_scale, &sinks,
                                 model->backward.d_input);
}

static void backward_attention_core(const gradient_pass *pass, const rm_layer_saved *saved)
{
    const ringmoe_model *model = pass->model;
    const rm_backward_buffers *buffers = &model->backward;
    rm_attention_gradient gradient = {.q = saved->q,
                                      .k = saved->k,
                                      .v = saved->v,
                                      .out = saved->attended,
                                      .logsumexp = saved->logsumexp,
                                      .d_out = buffers->d_attended,
                                      .d_q = buffers->d_q,
                                      .d_k = buffers->d_k,
                                      .d_v = buffers->d_v,
                                      .workspace = buffers->attention_workspace};
    rm_attention_backward(pass->compute, rm_model_attention_shape(model, pass->walk),
                          &gradient);
    rm_rope_rows rows = {.n_rows = pass->n_tokens,
                         .seq_len = pass->walk->seq_len,
                         .n_heads = model->config.num_attention_heads};
    rm_rope_apply(&model->rope, pass->compute, rows, -1, buffers->d_q);
    rows.n_heads = model->config.num_key_value_heads;
    rm_rope_apply(&model->rope, pass->compute, rows, -1, buffers->d_k);
}

/* Weight gradients of q, k, v and the output matrix in one call, so that threads share them. */
static void backward_attention_weights(const gradient_pass *pass,
                                       const rm_layer_weights *weights,
                                       const rm_layer_saved *saved)
{
    const rm_backward_buffers *buffers = &pass->model->backward;
    const rm_matrix *matrices[] = {&weights->query, &weights->key, &weights->value,
                                   &weights->output};
    const rm_real *d_y[] = {buffers->d_q, buffers->d_k, buffers->d_v, buffers->d_stream};
    rm_outer terms[4];
    rm_outer_group groups[4];
    for (int i = 0; i < 4; i++) {
        terms[i] = (rm_outer){.n_rows = pass->n_tokens,
                              .d_y = d_y[i],
                              .d_y_stride = matrices[i]->out,
                              .x = i < 3 ? saved->attention_input : saved->attended,
                              .x_stride = matrices[i]->in,
                              .sink = dense_sink(pass, matrices[i]->weights)};
        groups[i] = (rm_outer_group){
            .out = matrices[i]->out, .in = matrices[i]->in, .terms = &terms[i], .n_terms = 1};
    }
    rm_outer_grouped(pass->compute, pass->compute->precision, groups, 4);
}

static void backward_attention(const gradient_pass *pass, int layer)
{
    const rm_compute *compute = pass->compute;
    const rm_layer_weights *weights = &pass->model->layers[layer];
    const rm_layer_saved *saved = &pass->model->saved[layer];
    const rm_backward_buffers *buffers = &pass->model->backward;
    int64_t n = pass->n_tokens;
    rm_linear_backward_input(compute, &weights->output, n, buffers->d_stream,
                             buffers->d_attended, false);
    backward_attention_core(pass, saved);
    backward_attention_weights(pass, weights, saved);
    rm_linear_backward_input(compute, &weights->query, n, buffers->d_q, buffers->d_input,
                             false);
    rm_linear_backward_input(compute, &weights->key, n, buffers->d_k, buffers->d_input, true);
    rm_linear_backward_input(compute, &weights->value, n, buffers->d_v, buffers->d_input, true);
    add_through_norm(pass, saved->x, saved->attention_rstd, weights->attention_norm);
}

/* Where the head's own gradient goes. That of a tied head waits there for the embedding's: in a
 * buffer if the sink is added to, since a sink takes one addition. */
static rm_sink head_sink(const gradient_pass *pass)
{
    const ringmoe_model *model = pass->model;
    return model->backward.head && pass->dense.add ? (rm_sink){.data = model->backward.head}
                                                   : dense_sink(pass, model->head.weights);
}

/* d_stream = the gradient of the logits through the head and the final norm. */
static void backward_head(const gradient_pass *pass)
{
    ringmoe_model *model = pass->model;
    rm_backward_buffers *buffers = &model->backward;
    rm_sink sink = head_sink(pass);
    rm_linear_backward_weight(pass->compute, &model->head, pass->n_tokens, model->logits,
                              model->head_input, sink);
    rm_linear_backward_input(pass->compute, &model->head, pass->n_tokens, model->logits,
                             buffers->d_stream, false);
    rm_norm_backward(pass->compute, rm_model_norm_shape(model, pass->n_tokens), model->last_x,
                     model->last_rstd, model->final_norm, buffers->d_stream, false,
                     buffers->d_stream, buffers->norm_partials,
                     dense_sink(pass, model->final_norm));
}

ringmoe_status rm_model_backward(ringmoe_model *model, const rm_walk *walk, rm_real scale,
                                 rm_sink dense, const rm_sink *experts)
{
    int n_moe_layers = rm_moe_layer_count(&model->config);
    gradient_pass pass = {.model = model,
                          .compute = &model->mesh->context->compute,
                          .walk = walk,
                          .n_tokens = walk->n_sequences * walk->seq_len,
                          .aux_scale = n_moe_layers ? scale / (rm_real)n_moe_layers : 0,
                          .dense = dense,
                          .experts = experts};
    backward_head(&pass);
    for (int layer = model->config.num_hidden_layers - 1; layer >= 0; layer--) {
        const rm_layer_saved *saved = &model->saved[layer];
        if (rm_layer_is_dense(&model->config, layer))
            backward_dense(&pass, layer);
        else
            RM_TRY(backward_moe(&pass, layer));
        add_through_norm(&pass, saved->middle, saved->ffn_rstd, model->layers[layer].ffn_norm);
        backward_attention(&pass, layer);
    }
    rm_embedding_backward(pass.compute, pass.n_tokens, model->config.hidden_size, walk->tokens,
                          (rm_vocab_rows){0, model->config.vocab_size},
                          model->backward.d_stream,
                          model->backward.head ? head_sink(&pass).data : NULL,
                          model->backward.embedding_order, dense_sink(&pass, model->embedding));
    return RINGMOE_OK;
}
