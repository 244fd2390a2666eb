/* SPDX-License-Identifier: MIT */
#include "json_text.h"
#include "train.h"

/* A key of config.json and the place of its value, an int or a double. */
typedef struct config_row {
    const char *key;
    bool is_real;
    size_t offset;
} config_row;

#define WHOLE(key)                                                                             \
    {                                                                                          \
#key, false, offsetof(ringmoe_model_config, key)                                       \
    }
#define REAL(key)                                                                              \
    {                                                                                          \
#key, true, offsetof(ringmoe_model_config, key)                                        \
    }

static const config_row config_rows[] = {
    WHOLE(vocab_size),
    WHOLE(hidden_size),
    WHOLE(intermediate_size),
    WHOLE(dense_intermediate_size),
    WHOLE(shared_expert_intermediate_size),
    WHOLE(num_hidden_layers),
    WHOLE(num_attention_heads),
    WHOLE(num_key_value_heads),
    WHOLE(head_dim),
    WHOLE(num_local_experts),
    WHOLE(num_experts_per_tok),
    WHOLE(router_unnormalized),
    WHOLE(family),
    WHOLE(qk_norm),
    WHOLE(qkv_bias),
    REAL(clip_qkv),
    WHOLE(max_position_embeddings),
    REAL(rope_theta),
    REAL(rms_norm_eps),
    REAL(initializer_range),
    REAL(router_aux_loss_coef),
    REAL(router_z_loss_coef),
    REAL(router_bias_rate),
    REAL(capacity_factor),
    REAL(router_jitter_noise),
};

static json_t *config_to_json(const ringmoe_model_config *config)
{
    json_t *object = json_object(), *dense = json_array();
    for (size_t i = 0; i < sizeof config_rows / sizeof config_rows[0]; i++) {
        const char *place = (const char *)config + config_rows[i].offset;
        json_object_set_new(object, config_rows[i].key,
                            config_rows[i].is_real ? json_number(*(const double *)place)
                                                   : json_integer(*(const int *)place));
    }
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        if (config->is_dense_layer[layer]) json_array_append_new(dense, json_integer(layer));
    json_object_set_new(object, "tie_word_embeddings",
                        json_boolean(config->tie_word_embeddings));
    json_object_set_new(object, "router_balance_scope",
                        json_string(config->router_balance_global ? "global" : "microbatch"));
    json_object_set_new(object, "mlp_only_layers", dense);
    return object;
}

/* Stage s has the layers from the s-th number up to the next. */
static json_t *stage_bounds_to_json(const train_job *job)
{
    int bounds[RINGMOE_MAX_LAYERS + 1], n_stages = ringmoe_trainer_stages(job->trainer, bounds);
    json_t *list = json_array();
    for (int stage = 0; stage <= n_stages; stage++)
        json_array_append_new(list, json_integer(bounds[stage]));
    return list;
}

/* As it is in force; what was left to be chosen is empty or 0 among the settings. */
static json_t *layout_to_json(const train_job *job)
{
    const tool_session *session = job->session;
    ringmoe_train_settings in_force, *train = &in_force;
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh);
    ringmoe_trainer_settings(job->trainer, &in_force);
    return json_pack(
        "{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:I, s:o, s:s, s:s, s:b, s:s}", "ranks",
        session->size, "nodes", session->n_nodes, "pp", dims.pipeline, "dp", dims.data, "ep",
        dims.expert, "tp", dims.tensor, "threads", ringmoe_context_threads(session->context),
        "schedule", train->schedule, "chunks", (json_int_t)train->chunks, "stage_bounds",
        stage_bounds_to_json(job), "recompute", recompute_name(train->recompute), "shadow",
        shadow_name(train->shadow), "reproducible", train->reproducible != 0, "kernels",
        ringmoe_context_kernel_level(session->context));
}

json_t *train_describe(const train_job *job)
{
    char hash[17] = "";
    json_t *record = json_object();
    ringmoe_tokens_hash(job->all, hash);
    json_object_set_new(record, "ringmoe", json_string(ringmoe_version()));
    json_object_set_new(record, "state", json_string("running"));
    json_object_set_new(record, "settings", options_to_json(&train_option_set, &job->options));
    json_object_set_new(record, "config", config_to_json(&job->config));
    json_object_set_new(record, "data_hash", json_string(hash));
    if (job->val && ringmoe_tokens_hash(job->val, hash) == RINGMOE_OK)
        json_object_set_new(record, TRAIN_VAL_HASH, json_string(hash));
    json_object_set_new(record, "data_tokens", json_integer(ringmoe_tokens_count(job->all)));
    json_object_set_new(record, "parameters",
                        json_integer(ringmoe_model_config_parameters(&job->config)));
    json_object_set_new(record, "active_parameters",
                        json_integer(ringmoe_model_config_active_parameters(&job->config)));
    json_object_set_new(record, "layout", layout_to_json(job));
    run_copy_best(record, job->resumed);
    json_t *weights = json_object_get(job->resumed, TRAIN_FIRST_WEIGHTS);
    if (weights) json_object_set(record, TRAIN_FIRST_WEIGHTS, weights);
    if (job->weights[0])
        json_object_set_new(record, TRAIN_FIRST_WEIGHTS, json_string(job->weights));
    return record;
}
