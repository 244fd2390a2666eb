/* SPDX-License-Identifier: MIT
 *
 * A configuration as keys of a GGUF file, if llama.cpp computes what it says.
 */
#include <stdio.h>
#include <string.h>

#include "format/gguf_config.h"
#include "format/gguf_keys.h"
#include "format/gguf_rope.h"

static ringmoe_status lacks(const char *setting, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "llama.cpp has nothing for this model's %s: it cannot be a GGUF file",
                   setting);
}

/* llama.cpp would compute something else. */
static ringmoe_status check_settings(const rm_gguf_architecture *arch,
                                     const ringmoe_model_config *config, rm_error *error)
{
    int n_dense = 0;
    for (int i = 0; i < config->num_hidden_layers; i++) n_dense += config->is_dense_layer[i];
    if (arch->has_experts && n_dense > 0)
        return lacks("layers without experts (mlp_only_layers)", error);
    if (arch->has_experts && config->num_local_experts == 0)
        return lacks("layers, which are all without experts", error);
    if (config->rope_type == RINGMOE_ROPE_LLAMA3 && strcmp(arch->name, "llama") != 0)
        return lacks("rope_type llama3", error);
    if (config->clip_qkv != 0) return lacks("clip_qkv", error);
    if (config->capacity_factor != 0) return lacks("capacity_factor", error);
    if (config->router_bias_rate != 0) return lacks("router_bias_rate", error);
    if (arch->has_experts && (config->router_unnormalized != 0) != arch->is_unnormalized)
        return lacks("norm_topk_prob", error);
    if (!arch->is_simple) return RINGMOE_OK;
    if (config->tie_word_embeddings) return lacks("tie_word_embeddings", error);
    if (config->head_dim * config->num_attention_heads != config->hidden_size)
        return lacks("head_dim", error);
    if (arch->family == RINGMOE_FAMILY_OLMOE &&
        config->num_key_value_heads != config->num_attention_heads)
        return lacks("num_key_value_heads", error);
    return RINGMOE_OK;
}

ringmoe_status rm_gguf_put_config(rm_gguf_writer *writer, const ringmoe_model_config *config,
                                  rm_error *error)
{
    const rm_gguf_architecture *arch = rm_gguf_architectures;
    while (arch->family != (ringmoe_family)config->family) arch++;
    RM_TRY(check_settings(arch, config, error));
    rm_gguf_put_text(writer, "general.architecture", arch->name);
    for (int i = 0; i < rm_gguf_n_keys; i++) {
        char key[RM_GGUF_KEY_BYTES];
        if (!rm_gguf_key_applies(arch, &rm_gguf_keys[i]) ||
            rm_gguf_keys[i].use >= RM_GGUF_KEY_FIXED)
            continue;
        snprintf(key, sizeof key, "%s.%s", arch->name, rm_gguf_keys[i].name);
        double value = rm_gguf_key_value(arch, &rm_gguf_keys[i], config);
        if (rm_gguf_keys[i].is_double)
            rm_gguf_put_f32(writer, key, value);
        else
            rm_gguf_put_u32(writer, key, (uint32_t)value);
    }
    rm_gguf_rope_put(writer, arch->name, config);
    return RINGMOE_OK;
}
