/* SPDX-License-Identifier: MIT
 *
 * Queries, keys and values between their products and their rotation: biases, norms and cuts as
 * the model's family has them (nn/heads.h), and the way back.
 */
#include "model/backward.h"

/* q, k and v have numbers 0, 1 and 2. */
enum { N_WHICH = 3, VALUES = 2 };

rm_heads rm_model_heads(const ringmoe_model *model, int64_t n_rows, int which)
{
    const ringmoe_model_config *config = &model->config;
    int64_t dim = config->head_dim, n_groups = config->num_key_value_heads;
    int64_t n_all = which == 0 ? config->num_attention_heads : config->num_key_value_heads;
    return (rm_heads){
        .n_rows = n_rows,
        .n_heads = which == 0 ? model->parts.n_heads : model->parts.n_kv_heads,
        .head_dim = dim,
        .row_width = n_all * dim,
        .cut = rm_model_cut(model, n_groups, n_all / n_groups * dim),
        .norm = which == VALUES ? RINGMOE_QK_NORM_NONE : (ringmoe_qk_norm)config->qk_norm,
        .eps = (rm_real)config->rms_norm_eps,
        .limit = (rm_real)config->clip_qkv,
    };
}

/* With the layer's weights. */
static rm_heads heads_of(const rm_walk *walk, int index, int which)
{
    ringmoe_mesh *mesh = walk->model->mesh;
    const rm_layer_weights *weights = rm_walk_weights(walk, index);
    rm_heads heads = rm_model_heads(walk->model, walk->n_tokens, which);
    heads.tensor = &mesh->tensor;
    heads.times = &mesh->context->times;
    heads.bias = weights->head_biases[which];
    heads.weight = which == VALUES ? NULL : weights->head_norms[which];
    return heads;
}

static rm_real *result_of(const rm_layer_saved *saved, int which)
{
    return which == 0 ? saved->q : which == 1 ? saved->k : saved->v;
}

static rm_real *gradient_of(const rm_layer_gradients *gradients, int which)
{
    return which == 0 ? gradients->d_q : which == 1 ? gradients->d_k : gradients->d_v;
}

rm_real *rm_layer_projected(const rm_layer_saved *saved, int which)
{
    return saved->projected[which] ? saved->projected[which] : result_of(saved, which);
}

static rm_real *rstd_of(const rm_layer_saved *saved, int which)
{
    return which == VALUES ? NULL : saved->head_rstd[which];
}

ringmoe_status rm_layer_make_heads(const rm_walk *walk, int index)
{
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    for (int which = 0; which < N_WHICH; which++) {
        rm_heads heads = heads_of(walk, index, which);
        RM_TRY(rm_heads_forward(walk->compute, &heads, rm_layer_projected(saved, which),
                                rstd_of(saved, which), result_of(saved, which),
                                &walk->model->mesh->context->error));
    }
    return RINGMOE_OK;
}

ringmoe_status rm_heads_part_backward(const rm_gradient_pass *pass, int index)
{
    const rm_walk *walk = &pass->walk;
    const rm_layer_saved *saved = rm_walk_saved(walk, index);
    const rm_layer_gradients *gradients = rm_pass_gradients(pass, index);
    for (int which = 0; which < N_WHICH; which++) {
        rm_heads heads = heads_of(walk, index, which);
        rm_sink sink = {0};
        if (heads.weight) sink = rm_norm_sink(pass, gradients->head_norms[which], heads.weight);
        RM_TRY(rm_heads_backward(walk->compute, &heads, rm_layer_projected(saved, which),
                                 rstd_of(saved, which), gradient_of(gradients, which),
                                 walk->model->backward.heads_workspace, sink,
                                 &walk->model->mesh->context->error));
    }
    return RINGMOE_OK;
}

void rm_heads_part_weights(const rm_gradient_pass *pass, int index)
{
    const rm_walk *walk = &pass->walk;
    const rm_layer_gradients *gradients = rm_pass_gradients(pass, index);
    for (int which = 0; which < N_WHICH; which++) {
        rm_heads heads = heads_of(walk, index, which);
        if (heads.bias)
            rm_heads_bias_backward(walk->compute, &heads, gradient_of(gradients, which),
                                   rm_dense_sink(pass, heads.bias));
        if (heads.weight)
            rm_norm_deliver(pass, gradients->head_norms[which], heads.weight,
                            rm_heads_weight_elements(&heads));
    }
}
