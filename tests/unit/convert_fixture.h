/* SPDX-License-Identifier: MIT
 *
 * What tests of conversions share: a context, folders with models of every family, and models
 * in files compared number by number.
 */
#ifndef RM_CONVERT_FIXTURE_H
#define RM_CONVERT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include <ringmoe/convert.h>

#include "base/random.h"
#include "format/config.h"
#include "model/part_read.h"
#include "model/weight_source.h"
#include "scratch.h"

static const char *golden;
static ringmoe_context *context;

static inline int setup(void **state)
{
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 2;
    return scratch_setup(state) ||
           ringmoe_context_create(MPI_COMM_SELF, &settings, &context) != RINGMOE_OK;
}

static inline int teardown(void **state)
{
    ringmoe_context_destroy(&context);
    return scratch_teardown(state);
}

/* --- models in files --- */

typedef struct opened_model {
    ringmoe_model_config config;
    rm_parameter_table table;
    rm_weight_source *source;
    rm_weight_place *places;
} opened_model;

/* The status and the line of opening a model's files. */
static inline ringmoe_status try_open(const char *path, opened_model *model, rm_error *error)
{
    *model = (opened_model){.source = NULL};
    RM_TRY(rm_config_read(path, &model->config, error));
    RM_TRY(rm_parameter_table_create(&model->config, &(rm_placement){0}, &model->table, error));
    model->places = calloc((size_t)model->table.n_parameters, sizeof *model->places);
    RM_TRY(rm_weight_source_open(path, &model->source, error));
    return rm_weight_source_match(model->source, &model->config, &model->table, model->places,
                                  error);
}

static inline void close_model(opened_model *model)
{
    rm_weight_source_close(&model->source);
    rm_parameter_table_free(&model->table);
    free(model->places);
}

static inline opened_model open_path(const char *path)
{
    rm_error error = {""};
    opened_model model;
    if (try_open(path, &model, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    return model;
}

static inline rm_real *read_values(const opened_model *model, int index)
{
    rm_error error = {""};
    const rm_parameter *parameter = &model->table.parameters[index];
    rm_parameter_part whole = rm_parameter_part_of(parameter, 1, 0);
    rm_real *values = calloc((size_t)parameter->n_elements, sizeof *values);
    rm_compute compute = {.kernels = rm_kernels_best(), .n_threads = 2};
    assert_int_equal(rm_part_read(&compute, &model->places[index], parameter, &whole, 0,
                                  parameter->n_elements, values, &error),
                     RINGMOE_OK);
    return values;
}

/* Both have the same configuration, as far as computing goes, and the same numbers. */
static inline void check_same(const char *left_path, const char *right_path)
{
    opened_model left = open_path(left_path), right = open_path(right_path);
    assert_int_equal(left.config.family, right.config.family);
    assert_true(left.config.rms_norm_eps == right.config.rms_norm_eps);
    assert_true(left.config.rope_theta == right.config.rope_theta);
    assert_int_equal(left.config.rope_type, right.config.rope_type);
    assert_true(left.config.rope_factor == right.config.rope_factor);
    assert_true(left.config.rope_low_factor == right.config.rope_low_factor);
    assert_true(left.config.rope_high_factor == right.config.rope_high_factor);
    assert_int_equal(left.config.rope_original_positions, right.config.rope_original_positions);
    assert_int_equal(left.config.head_dim, right.config.head_dim);
    assert_int_equal(left.config.router_unnormalized, right.config.router_unnormalized);
    assert_int_equal(left.table.n_parameters, right.table.n_parameters);
    for (int i = 0; i < left.table.n_parameters; i++) {
        const rm_parameter *parameter = &left.table.parameters[i];
        assert_string_equal(parameter->name, right.table.parameters[i].name);
        if (parameter->tied) continue;
        rm_real *a = read_values(&left, i), *b = read_values(&right, i);
        for (int64_t e = 0; e < parameter->n_elements; e++)
            if (a[e] != b[e]) fail_msg("%s, element %lld", parameter->name, (long long)e);
        free(a);
        free(b);
    }
    close_model(&left);
    close_model(&right);
}

static inline const char *case_path(const char *name)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", golden, name);
    return path;
}

static inline ringmoe_convert_settings settings_of(ringmoe_model_format format,
                                                   ringmoe_weights type)
{
    ringmoe_convert_settings settings;
    ringmoe_convert_settings_default(&settings);
    settings.format = format;
    settings.type = type;
    return settings;
}

static inline void convert(const char *from, const char *to,
                           const ringmoe_convert_settings *settings)
{
    if (ringmoe_convert(context, from, to, settings) != RINGMOE_OK)
        fail_msg("%s", ringmoe_context_error(context));
}

/* A path under a new name each time. */
static inline const char *fresh(const char *suffix)
{
    static int n;
    char name[64];
    snprintf(name, sizeof name, "made%d%s", n++, suffix);
    return scratch_path(name);
}

/* Each family's model, made so that llama.cpp has everything for it. */
static inline ringmoe_model_config plain_config(int family)
{
    bool is_dense = family == RINGMOE_FAMILY_LLAMA || family == RINGMOE_FAMILY_QWEN3;
    return (ringmoe_model_config){
        .family = family,
        .vocab_size = 40,
        .hidden_size = 32,
        .intermediate_size = is_dense ? 64 : 32,
        .dense_intermediate_size = 64,
        .num_hidden_layers = 2,
        .num_attention_heads = 4,
        .num_key_value_heads = family == RINGMOE_FAMILY_OLMOE ? 4 : 2,
        .head_dim = 8,
        .num_local_experts = is_dense ? 0 : 3,
        .num_experts_per_tok = is_dense ? 0 : 2,
        .max_position_embeddings = 64,
        .rope_theta = 10000,
        .rms_norm_eps = 1e-6,
        .initializer_range = 0.1,
        .qk_norm = rm_family_of(family)->qk_norm,
        .qkv_bias = family == RINGMOE_FAMILY_QWEN2_MOE,
        .router_unnormalized =
            family == RINGMOE_FAMILY_OLMOE || family == RINGMOE_FAMILY_QWEN2_MOE,
        .shared_expert_intermediate_size = family == RINGMOE_FAMILY_QWEN2_MOE ? 64 : 0,
    };
}

/* A folder with random weights; `spoiled` gets an infinite number. */
static inline void write_model(const char *folder, const ringmoe_model_config *config,
                               const char *spoiled)
{
    char path[512];
    rm_error error = {""};
    rm_parameter_table table;
    rm_safetensors_writer *writer;
    rm_tensor_entry entries[128] = {{.dtype = RM_DTYPE_F32}};
    float values[4096];
    mkdir(folder, 0777);
    snprintf(path, sizeof path, "%s/config.json", folder);
    if (rm_config_write(config, path, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    assert_int_equal(rm_parameter_table_create(config, &(rm_placement){0}, &table, &error),
                     RINGMOE_OK);
    assert_true(table.n_parameters <= 128);
    for (int i = 0; i < table.n_parameters; i++) {
        const rm_parameter *p = &table.parameters[i];
        memcpy(entries[i].name, p->name, sizeof p->name);
        entries[i].n_dims = p->n_dims;
        memcpy(entries[i].shape, p->shape, sizeof p->shape);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    assert_int_equal(rm_safetensors_create(path, entries, table.n_parameters, &writer, &error),
                     RINGMOE_OK);
    for (int i = 0; i < table.n_parameters; i++) {
        const rm_parameter *p = &table.parameters[i];
        rm_random_key key = {.seed = 1, .stream = rm_random_stream(p->name)};
        assert_true(p->n_elements <= 4096);
        for (int64_t e = 0; e < p->n_elements; e++)
            values[e] = (float)rm_random_normal(key, (uint64_t)e);
        if (spoiled && !strcmp(p->name, spoiled)) values[7] = INFINITY;
        assert_int_equal(rm_safetensors_append(writer, values, 4 * p->n_elements, &error),
                         RINGMOE_OK);
    }
    assert_int_equal(rm_safetensors_commit(&writer, &error), RINGMOE_OK);
    rm_parameter_table_free(&table);
}

#endif
