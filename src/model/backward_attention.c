/* SPDX-License-Identifier: MIT
 *
 * The backward pass of a layer's attention part: from the stream's gradient through the output
 * matrix, attention, rope, what heads.c does, and q, k and v to the norm before them.
 */
#include "model/backward.h"

static void backward_core(const rm_gradient_pass *pass, const rm_layer_saved *saved,
                          const rm_layer_gradients *gradients)
{
    const rm_walk *walk = &pass->walk;
    const ringmoe_model *model = walk->model;
    rm_attention_gradient gradient = {.q = saved->q,
                                      .k = saved->k,
                                      .v = saved->v,
                                      .out = saved->attended,
                                      .logsumexp = saved->logsumexp,
                                      .d_out = model->backward.d_attended,
                                      .d_q = gradients->d_q,
                                      .d_k = gradients->d_k,
                                      .d_v = gradients->d_v,
                                      .workspace = model->backward.attention_workspace};
    rm_attention_backward(walk->compute, rm_walk_attention_shape(walk), &gradient);
    rm_rope_rows rows = {
        .n_rows = walk->n_tokens, .seq_len = walk->seq_len, .n_heads = model->parts.n_heads};
    rm_rope_apply(&model->rope, walk->compute, rows, -1, gradients->d_q);
    rows.n_heads = model->parts.n_kv_heads;
    rm_rope_apply(&model->rope, walk->compute, rows, -1, gradients->d_k);
}

/* d_input = what d_q, d_k and d_v give together: where their matrices are cut into blocks as
 * one sum, block by block. */
static void join_inputs(const rm_gradient_pass *pass, const rm_layer_weights *weights,
                        const rm_layer_gradients *gradients)
{
    const rm_walk *walk = &pass->walk;
    const rm_matrix *matrices[] = {&weights->query, &weights->key, &weights->value};
    const rm_real *d_y[] = {gradients->d_q, gradients->d_k, gradients->d_v};
    rm_real *d_input = walk->model->backward.d_input;
    if (walk->model->settings.reproducible) {
        rm_linears_backward_input(walk->compute, matrices, 3, walk->n_tokens, d_y, d_input,
                                  false);
        return;
    }
    for (int i = 0; i < 3; i++)
        rm_linear_backward_input(walk->compute, matrices[i], walk->n_tokens, d_y[i], d_input,
                                 i > 0);
}

/* d_stream -> d_q, d_k, d_v -> d_input, which is complete on all tensor ranks. */
static ringmoe_status backward_inputs(const rm_gradient_pass *pass, int index)
{
    const rm_walk *walk = &pass->walk;
    const rm_layer_weights *weights = rm_walk_weights(walk, index);
    const rm_layer_gradients *gradients = rm_pass_gradients(pass, index);
    const rm_backward_buffers *buffers = &walk->model->backward;
    rm_linear_backward_input(walk->compute, &weights->output, walk->n_tokens, pass->d_stream,
                             buffers->d_attended, false);
    backward_core(pass, rm_walk_saved(walk, index), gradients);
    RM_TRY(rm_heads_part_backward(pass, index));
    join_inputs(pass, weights, gradients);
    return rm_sum_parts(walk, buffers->d_input, walk->model->config.hidden_size);
}

/* Weight gradients of q, k, v and the output matrix in one call, so that threads share them. */
static void backward_weights(const rm_gradient_pass *pass, int index, const rm_real *d_middle)
{
    const rm_walk *walk = &pass->walk;
    const rm_layer_weights *weights = rm_walk_weights(walk, index);
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    const rm_layer_gradients *gradients = rm_pass_gradients(pass, index);
    const rm_matrix *matrices[] = {&weights->query, &weights->key, &weights->value,
                                   &weights->output};
    const rm_real *d_y[] = {gradients->d_q, gradients->d_k, gradients->d_v, d_middle};
    rm_outer terms[4];
    rm_outer_group groups[4];
    for (int i = 0; i < 4; i++) {
        terms[i] = (rm_outer){.n_rows = walk->n_tokens,
                              .d_y = d_y[i],
                              .d_y_stride = matrices[i]->out,
                              .x = i < 3 ? saved->attention_input : saved->attended,
                              .x_stride = matrices[i]->in,
                              .sink = rm_dense_sink(pass, matrices[i]->weights)};
        groups[i] = (rm_outer_group){
            .out = matrices[i]->out, .in = matrices[i]->in, .terms = &terms[i], .n_terms = 1};
    }
    rm_outer_grouped(walk->compute, walk->compute->precision, groups, 4);
}

ringmoe_status rm_attention_part_backward(const rm_gradient_pass *pass, int index)
{
    const rm_walk *walk = &pass->walk;
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    const rm_layer_gradients *gradients = rm_pass_gradients(pass, index);
    const rm_real *norm = rm_walk_weights(walk, index)->attention_norm;
    const rm_real *d_middle = rm_keep_stream(pass, gradients->d_middle);
    if (pass->inputs) RM_TRY(backward_inputs(pass, index));
    if (pass->weights) {
        backward_weights(pass, index, d_middle);
        rm_heads_part_weights(pass, index);
    }
    if (pass->inputs)
        rm_add_through_norm(pass, rm_walk_x(walk, index), saved->attention_rstd, norm,
                            gradients->attention_norm);
    rm_norm_deliver(pass, gradients->attention_norm, norm, walk->model->config.hidden_size);
    return RINGMOE_OK;
}
