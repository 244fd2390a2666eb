/* SPDX-License-Identifier: MIT
 *
 * The end of the last stage: final norm, logits, loss; and back.
 *
 * There is one array of logits. It holds those of the microbatch that went forward last, as
 * their gradients; where another one goes backward, as in GPipe, its logits are made again from
 * head_input.
 */
#include <math.h>

#include "model/backward.h"
#include "nn/loss.h"

static rm_head_saved *head_of(const rm_walk *walk)
{
    return &walk->stage->heads[walk->slot];
}

static void norm_head(const rm_walk *walk)
{
    const ringmoe_model *model = walk->model;
    const rm_head_saved *head = head_of(walk);
    int n_own = walk->stage->n_layers;
    rm_norm_shape shape = rm_walk_norm_shape(walk);
    bool finite =
        n_own == 0
            ? rm_norm_forward(walk->compute, shape, walk->input, model->final_norm, head->input,
                              head->rstd)
            : rm_norm_add_forward(walk->compute, shape, rm_walk_saved(walk, n_own - 1)->middle,
                                  head->x, model->final_norm, head->input, head->rstd);
    if (!finite && walk->result->first_bad_layer < 0)
        walk->result->first_bad_layer = model->config.num_hidden_layers - 1;
}

/* Logits of the slot, turned into gradients of scale times the loss. */
static ringmoe_status make_logits(const rm_walk *walk, const rm_batch *batch)
{
    ringmoe_model *model = walk->model;
    ringmoe_context *context = model->mesh->context;
    rm_loss_shape shape = {.n_tokens = walk->n_tokens,
                           .vocab = model->config.vocab_size,
                           .tensor = &model->mesh->tensor,
                           .reproducible = model->settings.reproducible};
    rm_real scale = batch->evaluate ? 0 : batch->scale / (rm_real)walk->n_tokens;
    model->logits_slot = batch->evaluate ? -1 : walk->slot;
    rm_linear(walk->compute, &model->head, walk->n_tokens, head_of(walk)->input, model->logits,
              false);
    return rm_cross_entropy(walk->compute, &shape, batch->targets, scale, model->logits,
                            model->losses, model->loss_workspace, &context->times,
                            &context->error);
}

ringmoe_status rm_head_forward(const rm_walk *walk, const rm_batch *batch)
{
    const ringmoe_model *model = walk->model;
    rm_pass_result *result = walk->result;
    double sum = 0;
    norm_head(walk);
    if (walk->n_tokens == 0) return RINGMOE_OK;
    RM_TRY(make_logits(walk, batch));
    for (int64_t t = 0; t < walk->n_tokens; t++) sum += model->losses[t];
    result->loss = sum / (double)walk->n_tokens;
    if (!isfinite(result->loss) && result->first_bad_layer < 0)
        result->first_bad_layer = model->config.num_hidden_layers;
    return RINGMOE_OK;
}

/* The rows that end the runs which want logits; returns how many. */
static int find_logit_rows(const rm_decode_batch *batch)
{
    int n = 0;
    int64_t row = 0;
    for (int i = 0; i < batch->n_runs; i++) {
        row += batch->runs[i].n_new;
        if (batch->runs[i].wants_logits) batch->cache->logit_rows[n++] = (int32_t)(row - 1);
    }
    return n;
}

ringmoe_status rm_head_decode(const rm_walk *walk, rm_real *logits)
{
    const ringmoe_model *model = walk->model;
    const rm_axis *tensor = &model->mesh->tensor;
    int64_t vocab = model->config.vocab_size;
    int n = find_logit_rows(walk->decode);
    norm_head(walk);
    rm_product product = {.n_rows = n,
                          .a = head_of(walk)->input,
                          .a_stride = model->config.hidden_size,
                          .a_rows = walk->decode->cache->logit_rows,
                          .b = &model->head.forward,
                          .c = logits + model->parts.vocab.first,
                          .c_stride = vocab};
    rm_product_grouped(walk->compute, &product, 1);
    if (tensor->size == 1) return RINGMOE_OK;
    for (int rank = 0; rank <= tensor->size; rank++)
        model->vocab_bounds[rank] = vocab * rank / tensor->size;
    for (int i = 0; i < n; i++)
        RM_TRY(rm_allgather_parts(tensor, logits + i * vocab, model->vocab_bounds, RM_MPI_REAL,
                                  &model->mesh->context->error));
    return RINGMOE_OK;
}

static ringmoe_status backward_inputs(const rm_gradient_pass *pass)
{
    const rm_walk *walk = &pass->walk;
    ringmoe_model *model = walk->model;
    const rm_head_saved *head = head_of(walk);
    rm_linear_backward_input(walk->compute, &model->head, walk->n_tokens, model->logits,
                             pass->d_stream, false);
    RM_TRY(rm_sum_parts(walk, pass->d_stream, model->config.hidden_size));
    rm_norm_backward(walk->compute, rm_walk_norm_shape(walk), rm_walk_head_x(walk), head->rstd,
                     model->final_norm, pass->d_stream, false, pass->d_stream,
                     model->backward.norm_partials,
                     rm_norm_sink(pass, head->norm, model->final_norm));
    return RINGMOE_OK;
}

ringmoe_status rm_head_backward(const rm_gradient_pass *pass)
{
    const rm_walk *walk = &pass->walk;
    ringmoe_model *model = walk->model;
    if (model->logits_slot != walk->slot) RM_TRY(make_logits(walk, pass->batch));
    if (pass->weights)
        rm_linear_backward_weight(walk->compute, &model->head, walk->n_tokens, model->logits,
                                  head_of(walk)->input,
                                  rm_dense_sink(pass, model->head.weights));
    if (pass->inputs) RM_TRY(backward_inputs(pass));
    rm_norm_deliver(pass, head_of(walk)->norm, model->final_norm, model->config.hidden_size);
    return RINGMOE_OK;
}
