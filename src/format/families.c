/* SPDX-License-Identifier: MIT */
#include "format/families.h"

#include <stdio.h>
#include <string.h>

/* Rows of a family's keys. */
/* clang-format off */
#define KEY(field, key)                {field, key, NULL, RM_FIELD_REQUIRED, 0}
#define KEY_OR(field, key, alias)      {field, key, alias, RM_FIELD_REQUIRED, 0}
#define KEY_DEFAULT(field, key, value) {field, key, NULL, RM_FIELD_OPTIONAL, value}
#define DEFAULT(field, value)          {field, field, NULL, RM_FIELD_OPTIONAL, value}
#define NONE(field)                    {field, NULL, NULL, RM_FIELD_OPTIONAL, 0}

#define NO_SHARED_EXPERT NONE("shared_expert_intermediate_size")
#define NO_QKV_BIAS      NONE("qkv_bias")
#define NO_CLIP          NONE("clip_qkv")
/* What a family without experts has no keys for. */
#define NO_EXPERTS                                                                             \
    {"intermediate_size", NULL, NULL, RM_FIELD_DERIVED, 0}, NONE("num_local_experts"), NONE("num_experts_per_tok"),         \
    NONE("router_aux_loss_coef"), NONE("router_z_loss_coef"), NONE("router_bias_rate"),        \
    NONE("capacity_factor"), NONE("router_jitter_noise"), NONE("router_balance_scope"),        \
    NONE("router_unnormalized"), NO_SHARED_EXPERT
#define EXPERTS KEY_OR("num_local_experts", "num_experts", "num_local_experts")
/* Two sizes of layers. */
#define QWEN_SIZES                                                                             \
    KEY("dense_intermediate_size", "intermediate_size"),                                       \
    KEY("intermediate_size", "moe_intermediate_size")
#define QWEN_DEFAULTS                                                                          \
    KEY("num_key_value_heads", "num_key_value_heads"), DEFAULT("rope_theta", 1e4),             \
    DEFAULT("rms_norm_eps", 1e-6)
/* clang-format on */

static const rm_family families[] = {
    [RINGMOE_FAMILY_MIXTRAL] = {.model_type = "mixtral",
                                .architecture = "MixtralForCausalLM",
                                .has_experts = true,
                                .experts = "block_sparse_moe",
                                .expert_parts = {"w1", "w3", "w2"},
                                .written = {"\"sliding_window\": null"},
                                .keys = {DEFAULT("router_jitter_noise", 0),
                                         NONE("router_unnormalized"), NO_SHARED_EXPERT,
                                         NO_QKV_BIAS, NO_CLIP}},
    [RINGMOE_FAMILY_OLMOE] = {.model_type = "olmoe",
                              .architecture = "OlmoeForCausalLM",
                              .has_experts = true,
                              .qk_norm = RINGMOE_QK_NORM_ROW,
                              .experts = "mlp",
                              .expert_parts = {"gate_proj", "up_proj", "down_proj"},
                              .written = {"\"attention_bias\": false"},
                              .keys = {EXPERTS, DEFAULT("rope_theta", 1e4),
                                       DEFAULT("router_aux_loss_coef", 0.01),
                                       KEY_DEFAULT("router_unnormalized", "norm_topk_prob", 1),
                                       NO_SHARED_EXPERT, NO_QKV_BIAS}},
    [RINGMOE_FAMILY_QWEN2_MOE] =
        {.model_type = "qwen2_moe",
         .architecture = "Qwen2MoeForCausalLM",
         .has_experts = true,
         .has_sparse_step = true,
         .window_has_switch = true,
         .experts = "mlp",
         .expert_parts = {"gate_proj", "up_proj", "down_proj"},
         .written = {"\"use_sliding_window\": false"},
         .keys = {EXPERTS, QWEN_SIZES, QWEN_DEFAULTS,
                  KEY("shared_expert_intermediate_size", "shared_expert_intermediate_size"),
                  DEFAULT("qkv_bias", 1),
                  KEY_DEFAULT("router_unnormalized", "norm_topk_prob", 1), NO_CLIP}},
    [RINGMOE_FAMILY_QWEN3_MOE] = {.model_type = "qwen3_moe",
                                  .architecture = "Qwen3MoeForCausalLM",
                                  .has_experts = true,
                                  .qk_norm = RINGMOE_QK_NORM_HEAD,
                                  .has_sparse_step = true,
                                  .window_has_switch = true,
                                  .experts = "mlp",
                                  .expert_parts = {"gate_proj", "up_proj", "down_proj"},
                                  .written = {"\"attention_bias\": false",
                                              "\"use_sliding_window\": false"},
                                  .keys = {EXPERTS, QWEN_SIZES, QWEN_DEFAULTS,
                                           KEY_DEFAULT("router_unnormalized", "norm_topk_prob",
                                                       1),
                                           NO_SHARED_EXPERT, NO_QKV_BIAS, NO_CLIP}},
    [RINGMOE_FAMILY_LLAMA] = {.model_type = "llama",
                              .architecture = "LlamaForCausalLM",
                              .written = {"\"attention_bias\": false", "\"mlp_bias\": false"},
                              .keys = {KEY("dense_intermediate_size", "intermediate_size"),
                                       DEFAULT("rope_theta", 1e4),
                                       DEFAULT("rms_norm_eps", 1e-6), NO_EXPERTS, NO_QKV_BIAS,
                                       NO_CLIP}},
    [RINGMOE_FAMILY_QWEN3] = {.model_type = "qwen3",
                              .architecture = "Qwen3ForCausalLM",
                              .qk_norm = RINGMOE_QK_NORM_HEAD,
                              .window_has_switch = true,
                              .written = {"\"attention_bias\": false",
                                          "\"use_sliding_window\": false"},
                              .keys = {KEY("dense_intermediate_size", "intermediate_size"),
                                       DEFAULT("head_dim", 128), QWEN_DEFAULTS, NO_EXPERTS,
                                       NO_QKV_BIAS, NO_CLIP}},
};
enum { N_FAMILIES = sizeof families / sizeof *families };

/* Names inside a layer; those of the experts are the family's. */
static const char *const names[RM_N_ROLES] = {
    [RM_ROLE_EMBEDDING] = "model.embed_tokens.weight",
    [RM_ROLE_ATTENTION_NORM] = "input_layernorm.weight",
    [RM_ROLE_QUERY] = "self_attn.q_proj.weight",
    [RM_ROLE_KEY] = "self_attn.k_proj.weight",
    [RM_ROLE_VALUE] = "self_attn.v_proj.weight",
    [RM_ROLE_QUERY_BIAS] = "self_attn.q_proj.bias",
    [RM_ROLE_KEY_BIAS] = "self_attn.k_proj.bias",
    [RM_ROLE_VALUE_BIAS] = "self_attn.v_proj.bias",
    [RM_ROLE_QUERY_NORM] = "self_attn.q_norm.weight",
    [RM_ROLE_KEY_NORM] = "self_attn.k_norm.weight",
    [RM_ROLE_OUTPUT] = "self_attn.o_proj.weight",
    [RM_ROLE_FFN_NORM] = "post_attention_layernorm.weight",
    [RM_ROLE_GATE] = "mlp.gate_proj.weight",
    [RM_ROLE_UP] = "mlp.up_proj.weight",
    [RM_ROLE_DOWN] = "mlp.down_proj.weight",
    [RM_ROLE_SHARED_GATE] = "mlp.shared_expert.gate_proj.weight",
    [RM_ROLE_SHARED_UP] = "mlp.shared_expert.up_proj.weight",
    [RM_ROLE_SHARED_DOWN] = "mlp.shared_expert.down_proj.weight",
    [RM_ROLE_SHARED_SWITCH] = "mlp.shared_expert_gate.weight",
    [RM_ROLE_FINAL_NORM] = "model.norm.weight",
    [RM_ROLE_HEAD] = "lm_head.weight",
};

const rm_family *rm_family_of(int family)
{
    return family >= 0 && family < N_FAMILIES ? &families[family] : NULL;
}

int rm_family_find(const char *model_type)
{
    for (int i = 0; i < N_FAMILIES; i++)
        if (!strcmp(families[i].model_type, model_type)) return i;
    return -1;
}

const rm_family_key *rm_family_key_of(const rm_family *family, const char *field)
{
    for (int i = 0; i < RM_FAMILY_KEYS_MOST && family->keys[i].field; i++)
        if (!strcmp(family->keys[i].field, field)) return &family->keys[i];
    return NULL;
}

void rm_family_tensor_name(const rm_family *family, rm_role role, int layer, int expert,
                           char name[RM_NAME_BYTES])
{
    bool is_expert = role >= RM_ROLE_EXPERT_GATE && role <= RM_ROLE_EXPERT_DOWN;
    if (role == RM_ROLE_ROUTER)
        snprintf(name, RM_NAME_BYTES, "model.layers.%d.%s.gate.weight", layer, family->experts);
    else if (is_expert)
        snprintf(name, RM_NAME_BYTES, "model.layers.%d.%s.experts.%d.%s.weight", layer,
                 family->experts, expert, family->expert_parts[role - RM_ROLE_EXPERT_GATE]);
    else if (rm_role_has_layer(role))
        snprintf(name, RM_NAME_BYTES, "model.layers.%d.%s", layer, names[role]);
    else
        snprintf(name, RM_NAME_BYTES, "%s", names[role]);
}

bool rm_role_has_layer(rm_role role)
{
    return role != RM_ROLE_EMBEDDING && role != RM_ROLE_FINAL_NORM && role != RM_ROLE_HEAD;
}
