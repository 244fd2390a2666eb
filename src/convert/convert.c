/* SPDX-License-Identifier: MIT
 *
 * The public side of converting: settings, and the steps in order.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/conversion.h"
#include "format/config.h"
#include "model/verify.h"

RINGMOE_API void ringmoe_convert_settings_default(ringmoe_convert_settings *settings)
{
    *settings =
        (ringmoe_convert_settings){.upcycle_experts_per_token = 2, .file_bytes = 5000000000};
}

static ringmoe_status check_range(const char *name, int64_t value, int64_t low, int64_t high,
                                  rm_error *error)
{
    if (value >= low && value <= high) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s is %lld; it must be %lld..%lld", name,
                   (long long)value, (long long)low, (long long)high);
}

static ringmoe_status check_settings(const ringmoe_convert_settings *settings, const char *out,
                                     rm_error *error)
{
    bool is_folder = settings->format == RINGMOE_MODEL_FOLDER;
    RM_TRY(check_range("format", settings->format, RINGMOE_MODEL_FOLDER, RINGMOE_MODEL_GGUF,
                       error));
    RM_TRY(
        check_range("type", settings->type, RINGMOE_WEIGHTS_AUTO, RINGMOE_WEIGHTS_Q4_0, error));
    RM_TRY(check_range("upcycle_experts", settings->upcycle_experts, 0, 65536, error));
    if (settings->upcycle_experts > 0)
        RM_TRY(check_range("upcycle_experts_per_token", settings->upcycle_experts_per_token, 1,
                           settings->upcycle_experts, error));
    RM_TRY(check_range("file_bytes", settings->file_bytes, 1, INT64_MAX, error));
    if (is_folder && settings->type > RINGMOE_WEIGHTS_BF16)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a folder holds fp32 or bf16; q8_0 and q4_0 are GGUF's alone");
    if (!is_folder && settings->fused)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "fused is a layout of folders; in a GGUF file experts always are");
    if (!is_folder && !rm_path_is_gguf(out))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s would not be taken for a GGUF file: end the name in .gguf", out);
    if (access(out, F_OK) == 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s is there already; give another name or remove it", out);
    return RINGMOE_OK;
}

/* The type that holds what the source has: of all its matrices the one type they are in. */
static rm_dtype choose_type(const rm_conversion *conversion)
{
    static const rm_dtype types[] = {[RINGMOE_WEIGHTS_FP32] = RM_DTYPE_F32,
                                     [RINGMOE_WEIGHTS_BF16] = RM_DTYPE_BF16,
                                     [RINGMOE_WEIGHTS_Q8_0] = RM_DTYPE_Q8_0,
                                     [RINGMOE_WEIGHTS_Q4_0] = RM_DTYPE_Q4_0};
    const ringmoe_convert_settings *settings = conversion->settings;
    if (settings->type != RINGMOE_WEIGHTS_AUTO) return types[settings->type];
    rm_dtype common = conversion->places[0].tensor->dtype;
    for (int i = 0; i < conversion->from_table.n_parameters; i++) {
        const rm_parameter *parameter = &conversion->from_table.parameters[i];
        if (!conversion->places[i].tensor || parameter->n_dims < 2 ||
            parameter->role == RM_ROLE_ROUTER || parameter->role == RM_ROLE_SHARED_SWITCH)
            continue;
        if (conversion->places[i].tensor->dtype != common) return RM_DTYPE_F32;
    }
    bool has_blocks = common == RM_DTYPE_Q8_0 || common == RM_DTYPE_Q4_0;
    bool holds_it =
        common == RM_DTYPE_BF16 || (has_blocks && settings->format == RINGMOE_MODEL_GGUF);
    return holds_it ? common : RM_DTYPE_F32;
}

static ringmoe_status open_source(rm_conversion *conversion)
{
    rm_error *error = conversion->error;
    RM_TRY(rm_config_read(conversion->model, &conversion->from, error));
    RM_TRY(rm_parameter_table_create(&conversion->from, &(rm_placement){0},
                                     &conversion->from_table, error));
    conversion->places =
        calloc((size_t)conversion->from_table.n_parameters + 1, sizeof *conversion->places);
    if (!conversion->places)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its list",
                       conversion->model);
    RM_TRY(rm_weight_source_open(conversion->model, &conversion->source, error));
    return rm_weight_source_match(conversion->source, &conversion->from,
                                  &conversion->from_table, conversion->places, error);
}

ringmoe_status rm_conversion_refuse_tokenizer(const rm_conversion *conversion,
                                              ringmoe_status status)
{
    rm_error why = *conversion->error;
    if (status != RINGMOE_ERROR_FORMAT) return status;
    return rm_fail(conversion->error, status,
                   "%.400s; without_tokenizer (--no-tokenizer) converts the model alone",
                   why.text);
}

static void close_conversion(rm_conversion *conversion)
{
    rm_weight_source_close(&conversion->source);
    rm_parameter_table_free(&conversion->from_table);
    rm_parameter_table_free(&conversion->table);
    free(conversion->places);
    free(conversion->origins);
    free(conversion->tensors);
}

static ringmoe_status convert(ringmoe_context *context, const char *model, const char *out,
                              const ringmoe_convert_settings *settings)
{
    rm_conversion conversion = {.context = context,
                                .settings = settings,
                                .model = model,
                                .out = out,
                                .error = &context->error};
    ringmoe_status status = open_source(&conversion);
    if (status == RINGMOE_OK) conversion.type = choose_type(&conversion);
    if (status == RINGMOE_OK) status = rm_conversion_aim(&conversion);
    if (status == RINGMOE_OK) status = rm_conversion_plan(&conversion);
    if (status == RINGMOE_OK)
        status = settings->format == RINGMOE_MODEL_GGUF ? rm_conversion_to_gguf(&conversion)
                                                        : rm_conversion_to_folder(&conversion);
    close_conversion(&conversion);
    return status;
}

RINGMOE_API ringmoe_status ringmoe_convert(ringmoe_context *context, const char *model,
                                           const char *out,
                                           const ringmoe_convert_settings *settings)
{
    const rm_axis *world = &context->world;
    ringmoe_convert_settings defaults;
    ringmoe_convert_settings_default(&defaults);
    if (!settings) settings = &defaults;
    ringmoe_status found =
        model && *model && out && *out
            ? check_settings(settings, out, &context->error)
            : rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                      "no model or no name for what is to be made; give both");
    RM_TRY(rm_agree(world, found, &context->error));
    RM_TRY(rm_verify_weights(context, model));
    ringmoe_status status =
        world->rank == 0 ? convert(context, model, out, settings) : RINGMOE_OK;
    return rm_agree(world, status, &context->error);
}
