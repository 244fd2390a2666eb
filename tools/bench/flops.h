/* SPDX-License-Identifier: MIT
 *
 * Floating-point operations of training, as the field counts them: a multiply-add is two, the
 * backward pass is twice the forward pass, and only products count.
 */
#ifndef TOOLS_BENCH_FLOPS_H
#define TOOLS_BENCH_FLOPS_H

#include <ringmoe/model.h>

/* Of one token in a sequence of seq_len: 6 for each active weight that takes part in a product
 * (the embedding is looked up), and causal attention, which sees half the sequence. */
static inline double flops_of_token(const ringmoe_model_config *config, int64_t seq_len)
{
    double weights = (double)ringmoe_model_config_active_parameters(config);
    double heads = (double)config->num_attention_heads * config->head_dim;
    if (!config->tie_word_embeddings)
        weights -= (double)config->vocab_size * config->hidden_size;
    return 6 * weights + 6 * config->num_hidden_layers * heads * (double)seq_len;
}

/* The forward pass of an MoE layer over n_tokens: three products for each chosen expert, and
 * the router's. */
static inline double flops_of_moe(double n_tokens, double d_model, double d_ff, double top_k,
                                  double n_experts)
{
    return n_tokens * (6 * top_k * d_model * d_ff + 2 * d_model * n_experts);
}

#endif
