/* SPDX-License-Identifier: MIT
 *
 * Models for evaluation and generation: how they are loaded, and what they take.
 */
#include "format/config.h"
#include "format/dtype.h"
#include "model/expert_cache.h"
#include "model/load.h"
#include "model/verify.h"

/* --- settings --- */

RINGMOE_API void ringmoe_load_settings_default(ringmoe_load_settings *settings)
{
    *settings = (ringmoe_load_settings){.max_tokens = 512, .max_sequences = 8};
}

static ringmoe_status check_range(const char *name, int64_t value, int64_t low, int64_t high,
                                  rm_error *error)
{
    if (value >= low && value <= high) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is %lld; it must be %lld..%lld", name,
                   (long long)value, (long long)low, (long long)high);
}

static ringmoe_status check_settings(const ringmoe_load_settings *settings, rm_error *error)
{
    RM_TRY(check_range("max_tokens", settings->max_tokens, 1, INT32_MAX, error));
    RM_TRY(check_range("max_sequences", settings->max_sequences, 1, 4096, error));
    RM_TRY(check_range("weights", settings->weights, RINGMOE_WEIGHTS_AUTO, RINGMOE_WEIGHTS_Q4_0,
                       error));
    return check_range("experts_in_memory", settings->experts_in_memory, 0, INT64_MAX, error);
}

/* A pass takes a token of each text at least. */
static rm_model_settings settings_of(const ringmoe_load_settings *settings)
{
    rm_model_settings result = {.use = RM_MODEL_INFERENCE,
                                .max_tokens = settings->max_tokens,
                                .max_sequences = settings->max_sequences,
                                .reproducible = settings->reproducible != 0,
                                .packed_only = true};
    if (result.max_tokens < result.max_sequences) result.max_tokens = result.max_sequences;
    return result;
}

/* --- formats --- */

/* The precision that has a file's numbers as they are, but for fp32 and fp16, or, of blocks
 * that have none, the next one. */
static ringmoe_precision stored_format(const rm_tensor *tensor, ringmoe_precision otherwise)
{
    if (!tensor) return otherwise;
    if (tensor->dtype == RM_DTYPE_BF16) return RINGMOE_PRECISION_BF16;
    if (tensor->dtype == RM_DTYPE_Q4_0) return RINGMOE_PRECISION_Q4_0;
    return rm_dtype_block(tensor->dtype) > 1 ? RINGMOE_PRECISION_Q8_0 : otherwise;
}

static bool is_in_blocks(ringmoe_precision format)
{
    return format == RINGMOE_PRECISION_Q8_0 || format == RINGMOE_PRECISION_Q4_0;
}

static void take_format(ringmoe_precision format, bool *is_set, ringmoe_precision otherwise,
                        ringmoe_precision *common)
{
    if (!*is_set)
        *common = format;
    else if (is_in_blocks(format) && is_in_blocks(*common))
        *common = format == *common ? format : RINGMOE_PRECISION_Q8_0;
    else if (*common != format)
        *common = otherwise;
    *is_set = true;
}

/* What all matrices of a kind are in the files. */
static rm_weight_formats formats_of_files(const rm_opened_weights *opened,
                                          ringmoe_precision otherwise)
{
    const rm_parameter_table *table = &opened->table;
    rm_weight_formats formats = {otherwise, otherwise, otherwise};
    bool dense = false, experts = false;
    for (int i = 0; i < table->n_parameters - 1; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        ringmoe_precision format = stored_format(opened->places[i].tensor, otherwise);
        if (!parameter->is_matrix || parameter->role == RM_ROLE_ROUTER) continue;
        if (parameter->kind == RM_KIND_EXPERT)
            take_format(format, &experts, otherwise, &formats.experts);
        else
            take_format(format, &dense, otherwise, &formats.dense);
    }
    int head = table->n_parameters - 1;
    if (table->parameters[head].tied) head = 0;
    formats.head = stored_format(opened->places[head].tensor, otherwise);
    return formats;
}

static rm_weight_formats choose_formats(const rm_opened_weights *opened,
                                        ringmoe_weights weights, ringmoe_precision precision)
{
    static const ringmoe_precision formats[] = {[RINGMOE_WEIGHTS_FP32] = RINGMOE_PRECISION_FP32,
                                                [RINGMOE_WEIGHTS_BF16] = RINGMOE_PRECISION_BF16,
                                                [RINGMOE_WEIGHTS_Q8_0] = RINGMOE_PRECISION_Q8_0,
                                                [RINGMOE_WEIGHTS_Q4_0] =
                                                    RINGMOE_PRECISION_Q4_0};
    if (weights == RINGMOE_WEIGHTS_AUTO) return formats_of_files(opened, precision);
    return (rm_weight_formats){formats[weights], formats[weights], formats[weights]};
}

/* --- loading --- */

/* Collective over all ranks. */
static ringmoe_status load_opened(ringmoe_mesh *mesh, const ringmoe_model_config *config,
                                  const ringmoe_load_settings *settings,
                                  rm_opened_weights *opened, ringmoe_model **model)
{
    ringmoe_context *context = mesh->context;
    rm_model_settings inside = settings_of(settings);
    inside.experts_apart = settings->experts_in_memory > 0;
    inside.embedding = opened->places[0].tensor->dtype;
    inside.formats = choose_formats(opened, settings->weights, context->compute.precision);
    ringmoe_status status = rm_model_create(mesh, config, &inside, model);
    RM_TRY(rm_agree(&context->world, status, &context->error));
    RM_TRY(rm_weights_read(opened, *model));
    if (!inside.experts_apart) return RINGMOE_OK;
    status =
        rm_expert_cache_create(*model, opened, settings->experts_in_memory, &context->error);
    return rm_agree(&context->world, status, &context->error);
}

/* Collective over all ranks. */
static ringmoe_status load(ringmoe_mesh *mesh, const char *path,
                           const ringmoe_load_settings *settings, ringmoe_model **model)
{
    const rm_axis *world = &mesh->context->world;
    rm_error *error = &mesh->context->error;
    rm_opened_weights opened;
    ringmoe_model_config config;
    RM_TRY(rm_verify_weights(mesh->context, path));
    RM_TRY(rm_agree(world, rm_config_read(path, &config, error), error));
    ringmoe_status status =
        rm_agree(world, rm_weights_open(path, &config, &opened, error), error);
    if (status == RINGMOE_OK) status = load_opened(mesh, &config, settings, &opened, model);
    rm_weights_close(&opened);
    return status;
}

RINGMOE_API ringmoe_status ringmoe_model_load(ringmoe_mesh *mesh, const char *folder,
                                              const ringmoe_load_settings *settings,
                                              ringmoe_model **model)
{
    ringmoe_context *context = mesh->context;
    ringmoe_load_settings defaults;
    ringmoe_load_settings_default(&defaults);
    if (!settings) settings = &defaults;
    *model = NULL;
    RM_TRY(
        rm_agree(&context->world, check_settings(settings, &context->error), &context->error));
    ringmoe_status status = load(mesh, folder, settings, model);
    if (status != RINGMOE_OK) ringmoe_model_destroy(model);
    return status;
}

/* --- what a model takes --- */

int64_t rm_matrix_packed_bytes(const rm_compute *compute, const rm_matrix *matrix)
{
    rm_arena measuring = {0};
    rm_matrix copy = {0};
    rm_matrix_shape shape = {.out = matrix->out,
                             .in = matrix->in,
                             .precision = matrix->forward.precision,
                             .in_cut = matrix->forward.cut};
    rm_matrix_layout_shape(&copy, compute, &shape, &measuring);
    return (int64_t)measuring.used;
}

/* Packed bytes that every pass reads, and those of all experts of this rank. */
static void add_packed_bytes(const ringmoe_model *model, int64_t *always, int64_t *experts)
{
    const rm_compute *compute = &model->mesh->context->compute;
    *always = *experts = 0;
    for (int i = 0; i < model->n_matrices; i++)
        *(model->matrix_parameters[i]->kind == RM_KIND_EXPERT ? experts : always) +=
            rm_matrix_packed_bytes(compute, model->matrices[i]);
}

int64_t rm_model_read_bytes(const ringmoe_model *model, int64_t n_passes, int64_t n_experts)
{
    int64_t always, experts, n_listed = 0;
    add_packed_bytes(model, &always, &experts);
    for (int i = 0; i < model->n_matrices; i++)
        n_listed += model->matrix_parameters[i]->kind == RM_KIND_EXPERT;
    int64_t of_one = n_listed > 0 ? experts / (n_listed / RM_EXPERT_MATRICES) : 0;
    return n_passes * always + n_experts * of_one;
}

static ringmoe_weights form_of(ringmoe_precision precision)
{
    static const ringmoe_weights forms[] = {[RINGMOE_PRECISION_FP32] = RINGMOE_WEIGHTS_FP32,
                                            [RINGMOE_PRECISION_BF16] = RINGMOE_WEIGHTS_BF16,
                                            [RINGMOE_PRECISION_Q8_0] = RINGMOE_WEIGHTS_Q8_0,
                                            [RINGMOE_PRECISION_Q4_0] = RINGMOE_WEIGHTS_Q4_0};
    return forms[precision];
}

RINGMOE_API void ringmoe_model_get_forms(const ringmoe_model *model,
                                         ringmoe_weight_forms *forms)
{
    const rm_weight_formats *formats = &model->formats;
    bool has_experts = rm_moe_layer_count(&model->config) > 0;
    *forms = (ringmoe_weight_forms){
        .experts = form_of(has_experts ? formats->experts : formats->dense),
        .head = form_of(formats->head),
        .others = form_of(formats->dense)};
}

int64_t rm_model_experts_used(const ringmoe_model *model)
{
    return model->experts_used;
}

RINGMOE_API void ringmoe_model_get_bytes(const ringmoe_model *model, ringmoe_model_bytes *bytes)
{
    const ringmoe_model_config *config = &model->config;
    int64_t always, experts, n_layers = 0;
    add_packed_bytes(model, &always, &experts);
    for (int i = 0; i < config->num_hidden_layers; i++)
        n_layers += rm_model_has_layer(model, i);
    double share = config->num_local_experts > 0
                       ? (double)config->num_experts_per_tok / config->num_local_experts
                       : 0;
    bytes->weights = (int64_t)(model->weights_arena.used + model->packed_arena.used) +
                     rm_expert_cache_bytes(model);
    bytes->token = always + (int64_t)((double)experts * share);
    bytes->position = 2 * n_layers * rm_model_kv_width(model) * (int64_t)sizeof(rm_real);
}
