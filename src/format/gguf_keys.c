/* SPDX-License-Identifier: MIT */
#include "format/gguf_keys.h"

#include "format/gguf_rope.h"

#define AT(member) offsetof(ringmoe_model_config, member)

const rm_gguf_architecture rm_gguf_architectures[] = {
    {"llama", RINGMOE_FAMILY_MIXTRAL, true, false, AT(intermediate_size), false, false, false},
    {"llama", RINGMOE_FAMILY_LLAMA, false, false, AT(dense_intermediate_size), false, false,
     false},
    {"olmoe", RINGMOE_FAMILY_OLMOE, true, true, AT(intermediate_size), false, false, true},
    {"qwen2moe", RINGMOE_FAMILY_QWEN2_MOE, true, true, AT(dense_intermediate_size), true, true,
     true},
    {"qwen3moe", RINGMOE_FAMILY_QWEN3_MOE, true, false, AT(dense_intermediate_size), true,
     false, false},
    {"qwen3", RINGMOE_FAMILY_QWEN3, false, false, AT(dense_intermediate_size), false, false,
     false},
};
const int rm_gguf_n_architectures =
    (int)(sizeof rm_gguf_architectures / sizeof *rm_gguf_architectures);

const rm_gguf_key rm_gguf_keys[] = {
    {"vocab_size", AT(vocab_size), false, RM_GGUF_KEY_SAME, RM_GGUF_OF_ALL, 0},
    {"context_length", AT(max_position_embeddings), false, RM_GGUF_KEY_REQUIRED, RM_GGUF_OF_ALL,
     0},
    {"embedding_length", AT(hidden_size), false, RM_GGUF_KEY_REQUIRED, RM_GGUF_OF_ALL, 0},
    {"block_count", AT(num_hidden_layers), false, RM_GGUF_KEY_REQUIRED, RM_GGUF_OF_ALL, 0},
    {"feed_forward_length", 0, false, RM_GGUF_KEY_REQUIRED, RM_GGUF_OF_FEED_FORWARD, 0},
    {"attention.head_count", AT(num_attention_heads), false, RM_GGUF_KEY_REQUIRED,
     RM_GGUF_OF_ALL, 0},
    {"attention.head_count_kv", AT(num_key_value_heads), false, RM_GGUF_KEY_OPTIONAL,
     RM_GGUF_OF_ALL, 0},
    {"attention.key_length", AT(head_dim), false, RM_GGUF_KEY_OPTIONAL, RM_GGUF_OF_ALL, 0},
    {"attention.value_length", AT(head_dim), false, RM_GGUF_KEY_SAME, RM_GGUF_OF_ALL, 0},
    {"attention.layer_norm_rms_epsilon", AT(rms_norm_eps), true, RM_GGUF_KEY_REQUIRED,
     RM_GGUF_OF_ALL, 0},
    {"rope.freq_base", AT(rope_theta), true, RM_GGUF_KEY_OPTIONAL, RM_GGUF_OF_ALL, 10000},
    {"rope.dimension_count", AT(head_dim), false, RM_GGUF_KEY_SAME, RM_GGUF_OF_ALL, 0},
    {"expert_count", AT(num_local_experts), false, RM_GGUF_KEY_REQUIRED, RM_GGUF_OF_EXPERTS, 0},
    {"expert_used_count", AT(num_experts_per_tok), false, RM_GGUF_KEY_REQUIRED,
     RM_GGUF_OF_EXPERTS, 0},
    {"expert_feed_forward_length", AT(intermediate_size), false, RM_GGUF_KEY_REQUIRED,
     RM_GGUF_OF_EXPERT_LENGTH, 0},
    {"expert_shared_feed_forward_length", AT(shared_expert_intermediate_size), false,
     RM_GGUF_KEY_REQUIRED, RM_GGUF_OF_SHARED_EXPERT, 0},
    {"expert_weights_scale", 0, true, RM_GGUF_KEY_FIXED, RM_GGUF_OF_EXPERTS, 1},
    {"expert_gating_func", 0, false, RM_GGUF_KEY_FIXED, RM_GGUF_OF_EXPERTS, 1},
    {RM_GGUF_ROPE_TYPE, 0, false, RM_GGUF_KEY_OF_ROPE, RM_GGUF_OF_ALL, 0},
    {RM_GGUF_ROPE_FACTOR, 0, true, RM_GGUF_KEY_OF_ROPE, RM_GGUF_OF_ALL, 0},
};
const int rm_gguf_n_keys = (int)(sizeof rm_gguf_keys / sizeof *rm_gguf_keys);

bool rm_gguf_key_applies(const rm_gguf_architecture *arch, const rm_gguf_key *row)
{
    return row->scope == RM_GGUF_OF_ALL || row->scope == RM_GGUF_OF_FEED_FORWARD ||
           (row->scope == RM_GGUF_OF_EXPERTS && arch->has_experts) ||
           (row->scope == RM_GGUF_OF_EXPERT_LENGTH && arch->has_expert_length) ||
           (row->scope == RM_GGUF_OF_SHARED_EXPERT && arch->has_shared_expert);
}

void *rm_gguf_key_field(const rm_gguf_architecture *arch, const rm_gguf_key *row,
                        ringmoe_model_config *config)
{
    return (char *)config +
           (row->scope == RM_GGUF_OF_FEED_FORWARD ? arch->feed_forward : row->offset);
}

double rm_gguf_key_value(const rm_gguf_architecture *arch, const rm_gguf_key *row,
                         const ringmoe_model_config *config)
{
    const void *field = rm_gguf_key_field(arch, row, (ringmoe_model_config *)config);
    return row->is_double ? *(const double *)field : *(const int *)field;
}
