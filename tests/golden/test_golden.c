/* SPDX-License-Identifier: MIT
 *
 * The whole model and optimizer against transformers' models in PyTorch (make_golden.py): the
 * logits as generation makes them from the loaded folder, every gradient of the first step, the
 * losses and gradient norms of some AdamW steps, and the weights after them. The stored results
 * were computed in double, so what is measured is the error of fp32 here. A tensor's error is
 * |a - b| / |b| in the Euclidean norm.
 *
 * usage: test_golden FOLDER...   with the cases' folders
 */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringmoe.h>

#include "format/config.h"
#include "format/safetensors.h"
#include "train/optimizer.h"
#include "train/tied.h"

/* Of every error, relative; those seen are about a tenth of it. */
static const double limit = 1e-5;

/* Of a logit, absolute. */
static const double logits_limit = 1e-4;

static int failures;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "failed: %s: %s\n", what, why);
    failures++;
}

static void check(ringmoe_status status, const char *what, const rm_error *error)
{
    if (status == RINGMOE_OK) return;
    fprintf(stderr, "cannot %s: %s\n", what, error->text);
    exit(1);
}

/* A model of one rank and what trains it, put together as a trainer does. */
struct run {
    const char *folder;
    json_t *expected;
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    rm_shard shards[RM_N_KINDS];
    rm_gradients gradients;
    rm_tied tied;
    rm_optimizer optimizer;
    ringmoe_train_settings settings;
    int64_t n_sequences, seq_len;
};

/* Parameters that have tensors: a tied head has none. */
static int n_tensors(const struct run *run)
{
    const rm_parameter_table *table = rm_model_parameters(run->model);
    return table->n_parameters - (rm_table_tied_head(table) != NULL);
}

static rm_safetensors *open_file(const struct run *run, const char *name)
{
    rm_safetensors *file;
    char *path = rm_path_join(run->folder, name);
    check(rm_safetensors_open(path, &file, &run->context->error), "open tensors",
          &run->context->error);
    if (rm_safetensors_count(file) != n_tensors(run))
        fail(path, "has not as many tensors as the model");
    free(path);
    return file;
}

static const rm_tensor *find(const rm_safetensors *file, const rm_parameter *parameter)
{
    const rm_tensor *tensor = rm_safetensors_find(file, parameter->name);
    if (tensor && tensor->n_elements == parameter->n_elements) return tensor;
    fprintf(stderr, "tensor %s is missing or misshapen\n", parameter->name);
    exit(1);
}

static void load_weights(struct run *run)
{
    const rm_parameter_table *table = rm_model_parameters(run->model);
    rm_safetensors *file = open_file(run, "model.safetensors");
    for (int i = 0; i < n_tensors(run); i++) {
        const rm_parameter *parameter = &table->parameters[i];
        rm_tensor_read(rm_kernels_best(), find(file, parameter), 0, parameter->n_elements,
                       rm_model_space(run->model, parameter->space) + parameter->offset);
    }
    rm_safetensors_close(&file);
    check(rm_model_tie_head(run->model), "tie the head", &run->context->error);
    rm_model_pack(run->model);
}

static double number(const json_t *object, const char *key)
{
    const json_t *found = json_object_get(object, key);
    if (!json_is_number(found)) fail(key, "is missing in expected.json");
    return json_number_value(found);
}

static void read_settings(struct run *run)
{
    const json_t *adamw = json_object_get(run->expected, "adamw");
    ringmoe_train_settings_default(&run->settings);
    run->settings.lr = number(adamw, "lr");
    run->settings.lr_min_ratio = 1;
    run->settings.warmup_steps = 0;
    run->settings.beta1 = number(adamw, "beta1");
    run->settings.beta2 = number(adamw, "beta2");
    run->settings.epsilon = number(adamw, "epsilon");
    run->settings.weight_decay = number(adamw, "weight_decay");
    run->settings.clip_norm = number(adamw, "clip_norm");
    run->n_sequences = (int64_t)number(run->expected, "sequences");
    run->seq_len = (int64_t)number(run->expected, "seq_len");
}

static void create(struct run *run, const char *folder)
{
    rm_error error = {""};
    ringmoe_model_config config;
    *run = (struct run){.folder = folder};
    char *path = rm_path_join(folder, "expected.json");
    run->expected = json_load_file(path, 0, NULL);
    free(path);
    if (!run->expected) fail(folder, "has no readable expected.json");
    read_settings(run);
    path = rm_path_join(folder, "config.json");
    check(rm_config_read(path, &config, &error), "read config.json", &error);
    free(path);
    ringmoe_context_create(MPI_COMM_SELF, NULL, &run->context);
    rm_error *last = &run->context->error;
    check(ringmoe_mesh_create(run->context, NULL, config.num_local_experts, &run->mesh),
          "make a mesh", last);
    rm_model_settings settings = {.use = RM_MODEL_TRAINING,
                                  .max_tokens = run->n_sequences * run->seq_len};
    check(rm_model_create(run->mesh, &config, &settings, &run->model), "make a model", last);
    const rm_parameter_table *table = rm_model_parameters(run->model);
    for (int kind = 0; kind < RM_N_KINDS; kind++)
        check(rm_shard_create(&run->shards[kind], table,
                              rm_mesh_shard_place(run->mesh, 0, (rm_kind)kind, false), last),
              "make shards", last);
    check(rm_gradients_create(&run->gradients, run->mesh, table, run->shards, RM_N_KINDS, 1,
                              last),
          "make gradients", last);
    check(rm_tied_create(&run->tied, run->model, 1, false, last), "make a tied head", last);
    check(rm_optimizer_create(&run->optimizer, run->model, run->shards, last),
          "make an optimizer", last);
    load_weights(run);
}

static void destroy(struct run *run)
{
    rm_optimizer_free(&run->optimizer);
    rm_tied_free(&run->tied);
    rm_gradients_free(&run->gradients);
    for (int s = 0; s < RM_N_KINDS; s++) rm_shard_free(&run->shards[s]);
    ringmoe_model_destroy(&run->model);
    ringmoe_mesh_destroy(&run->mesh);
    ringmoe_context_destroy(&run->context);
    json_decref(run->expected);
}

/* The gradients of one step's sequences, each of which has one token more than seq_len. */
static void train_pass(struct run *run, const json_t *step, rm_pass_result *result,
                       double *norm)
{
    int64_t n = run->n_sequences * run->seq_len;
    int32_t *tokens = calloc((size_t)(2 * n), sizeof *tokens), *targets = tokens + n;
    int64_t n_counts =
        RINGMOE_MAX_LAYERS * (int64_t)ringmoe_model_get_config(run->model)->num_local_experts;
    int64_t *counts = calloc((size_t)n_counts, sizeof *counts);
    const json_t *sequences = json_object_get(step, "tokens");
    for (int64_t i = 0; i < n; i++) {
        const json_t *row = json_array_get(sequences, (size_t)(i / run->seq_len));
        size_t at = (size_t)(i % run->seq_len);
        tokens[i] = (int32_t)json_integer_value(json_array_get(row, at));
        targets[i] = (int32_t)json_integer_value(json_array_get(row, at + 1));
    }
    rm_batch batch = {.tokens = tokens,
                      .targets = targets,
                      .n_sequences = run->n_sequences,
                      .seq_len = run->seq_len,
                      .scale = 1};
    rm_error *error = &run->context->error;
    rm_gradients_begin(&run->gradients, 0, 0);
    check(rm_model_train_pass(run->model, &batch, run->gradients.dense_sink,
                              run->gradients.expert_sinks, NULL, counts, result),
          "train", error);
    check(rm_gradients_end(&run->gradients, 0, 0), "start a reduction", error);
    check(rm_gradients_finish(&run->gradients), "reduce gradients", error);
    check(rm_tied_add_totals(&run->tied, run->model, &run->gradients), "add a tied head",
          error);
    check(rm_gradients_norm(&run->gradients, norm), "take the norm", error);
    free(tokens);
    free(counts);
}

static void compare_number(const char *what, int step, double value, double expected,
                           double *worst)
{
    double error = fabs(value - expected);
    if (expected != 0) error /= fabs(expected);
    if (!(error <= *worst)) *worst = error;
    if (error <= limit) return;
    fprintf(stderr, "failed: step %d: %s is %.9g, not %.9g\n", step, what, value, expected);
    failures++;
}

static double relative_error(const rm_real *values, const rm_tensor *tensor)
{
    double difference = 0, size = 0;
    for (int64_t i = 0; i < tensor->n_elements; i++) {
        rm_real expected;
        rm_tensor_read(rm_kernels_best(), tensor, i, 1, &expected);
        difference += ((double)values[i] - expected) * ((double)values[i] - expected);
        size += (double)expected * expected;
    }
    return sqrt(difference / size);
}

/* All tensors of a file with spaces of the model's layout; tells the worst by name. */
static void compare_tensors(const struct run *run, const char *name, rm_real *const *spaces)
{
    const rm_parameter_table *table = rm_model_parameters(run->model);
    rm_safetensors *file = open_file(run, name);
    const char *worst_name = "";
    double worst = -1;
    for (int i = 0; i < n_tensors(run); i++) {
        const rm_parameter *parameter = &table->parameters[i];
        double error =
            relative_error(spaces[parameter->space] + parameter->offset, find(file, parameter));
        if (error <= worst || isnan(worst)) continue;
        worst = error;
        worst_name = parameter->name;
    }
    printf("  %-22s worst error %.2g of %s (limit %g)\n", name, worst, worst_name, limit);
    if (!(worst <= limit)) fail(name, worst_name);
    rm_safetensors_close(&file);
}

/* --- logits --- */

enum { PROMPT = 5 };

/* A prompt of a few tokens in one pass, then the others one by one. */
static void compare_logits(const struct run *run, ringmoe_model *model, const rm_tensor *stored)
{
    rm_error *error = &run->context->error;
    int64_t vocab = ringmoe_model_get_config(model)->vocab_size;
    const json_t *step = json_array_get(json_object_get(run->expected, "steps"), 0);
    const json_t *row = json_array_get(json_object_get(step, "tokens"), 0);
    rm_real *logits = calloc((size_t)(2 * vocab), sizeof *logits), *expected = logits + vocab;
    double worst = 0;
    rm_arena arena = {0};
    rm_kv_cache cache;
    rm_kv_cache_layout(&cache, model, 1, run->seq_len, &arena);
    check(rm_arena_reserve(&arena, arena.used, error), "reserve a cache", error);
    rm_kv_cache_layout(&cache, model, 1, run->seq_len, &arena);
    for (int64_t past = 0, n; past < run->seq_len; past += n) {
        int32_t tokens[PROMPT];
        n = past == 0 ? PROMPT : 1;
        for (int64_t i = 0; i < n; i++)
            tokens[i] = (int32_t)json_integer_value(json_array_get(row, (size_t)(past + i)));
        rm_decode_run text = {.n_past = past, .n_new = n, .wants_logits = true};
        rm_decode_batch batch = {.cache = &cache,
                                 .runs = &text,
                                 .n_runs = 1,
                                 .tokens = tokens,
                                 .generated = past > 0};
        check(rm_model_decode(model, &batch, logits), "decode", error);
        rm_tensor_read(rm_kernels_best(), stored, (past + n - 1) * vocab, vocab, expected);
        for (int64_t i = 0; i < vocab; i++)
            worst = fmax(worst, fabs((double)logits[i] - (double)expected[i]));
    }
    printf("  logits                 worst error %.2g (limit %g)\n", worst, logits_limit);
    if (!(worst <= logits_limit)) fail(run->folder, "has other logits");
    rm_arena_free(&arena);
    free(logits);
}

static void load_and_compare_logits(const struct run *run)
{
    rm_safetensors *file;
    ringmoe_model *model;
    char *path = rm_path_join(run->folder, "logits.safetensors");
    check(rm_safetensors_open(path, &file, &run->context->error), "open logits",
          &run->context->error);
    const rm_tensor *stored = rm_safetensors_find(file, "logits");
    check(ringmoe_model_load(run->mesh, run->folder, NULL, &model), "load the folder",
          &run->context->error);
    if (stored &&
        stored->n_elements == run->seq_len * ringmoe_model_get_config(model)->vocab_size)
        compare_logits(run, model, stored);
    else
        fail(path, "has no logits of a sequence");
    ringmoe_model_destroy(&model);
    rm_safetensors_close(&file);
    free(path);
}

static void compare_case(const char *folder)
{
    struct run run;
    create(&run, folder);
    printf("%s\n", folder);
    load_and_compare_logits(&run);
    const json_t *steps = json_object_get(run.expected, "steps");
    double worst = 0;
    if (json_array_size(steps) < 2) fail(folder, "has no steps");
    for (int i = 0; i < (int)json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, (size_t)i);
        rm_pass_result result;
        double norm;
        train_pass(&run, step, &result, &norm);
        compare_number("loss", i, result.loss, number(step, "cross_entropy"), &worst);
        compare_number("balance", i, result.balance_loss, number(step, "balance_loss"), &worst);
        compare_number("z", i, result.z_loss, number(step, "z_loss"), &worst);
        compare_number("grad_norm", i, norm, number(step, "grad_norm"), &worst);
        if (i == 0) compare_tensors(&run, "gradients.safetensors", run.gradients.totals);
        rm_optimizer_update(&run.optimizer, &run.settings, i + 1,
                            rm_clip_factor(norm, run.settings.clip_norm), &run.gradients,
                            run.shards, run.model);
        check(rm_tied_copy_weights(&run.tied, run.model), "copy a tied head",
              &run.context->error);
        rm_model_pack(run.model);
    }
    printf("  losses and norms       worst error %.2g (limit %g)\n", worst, limit);
    rm_real *const weights[] = {rm_model_space(run.model, RM_KIND_DENSE),
                                rm_model_space(run.model, RM_KIND_EXPERT)};
    compare_tensors(&run, "after.safetensors", weights);
    destroy(&run);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    if (argc < 2) fail("usage", "give the folders of the cases");
    for (int i = 1; i < argc; i++) compare_case(argv[i]);
    MPI_Finalize();
    printf("%s\n", failures ? "FAILED" : "passed");
    return failures ? 1 : 0;
}
