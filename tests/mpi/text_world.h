/* SPDX-License-Identifier: MIT
 *
 * A folder with a small model, for several ranks, and texts that are made with it: five prompts
 * of unlike lengths, of which one is ended by its reader.
 */
#ifndef TEXT_WORLD_H
#define TEXT_WORLD_H

#include <ringmoe.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/random.h"
#include "check.h"
#include "format/config.h"
#include "format/families.h"
#include "format/safetensors.h"
#include "../model_families.h"

enum { N_TEXTS = 5, N_NEW = 8, MOST_PROMPT = 19, PATH_BYTES = 256 };

static int rank, size;
static char folder[PATH_BYTES / 2]; /* with a model, of all ranks */
static int32_t words[MOST_PROMPT + N_TEXTS];
static const int64_t lengths[N_TEXTS] = {MOST_PROMPT, 3, 11, 1, 7};

static inline const char *path_of(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%.80s", folder, name);
    return path;
}

/* --- a model's folder ------------------------------------------------------------------------
 */

static inline ringmoe_model_config config_of(int family)
{
    ringmoe_model_config config = {.vocab_size = 256,
                                   .hidden_size = 64,
                                   .intermediate_size = 128,
                                   .dense_intermediate_size = 96,
                                   .num_hidden_layers = 3,
                                   .num_attention_heads = 4,
                                   .num_key_value_heads = 2,
                                   .head_dim = 32,
                                   .num_local_experts = 4,
                                   .num_experts_per_tok = 2,
                                   .max_position_embeddings = 64,
                                   .rope_theta = 1000,
                                   .rms_norm_eps = 1e-5,
                                   .initializer_range = 0.2,
                                   .is_dense_layer = {0, family != RINGMOE_FAMILY_QWEN2_MOE}};
    return family_config(config, family);
}

/* Numbers about 0 for matrices and biases, about 1 for norms. */
static inline void fill(const rm_parameter *parameter, float *values)
{
    rm_random_key key = {.seed = 5, .stream = rm_random_stream(parameter->name)};
    bool is_norm = strstr(parameter->name, "norm") != NULL;
    for (int64_t i = 0; i < parameter->n_elements; i++) {
        float number = (float)rm_random_uniform(key, (uint64_t)i) - 0.5F;
        values[i] = is_norm ? 1 + 0.4F * number : 0.6F * number;
    }
}

/* The second half of the experts comes last, which the last ranks of an expert axis have. */
static inline bool comes_last(const rm_parameter *parameter)
{
    return parameter->expert >= 2;
}

static inline void list_entries(const rm_parameter_table *table, rm_tensor_entry *entries)
{
    int n = 0;
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < table->n_parameters; i++) {
            const rm_parameter *parameter = &table->parameters[i];
            if (comes_last(parameter) != last) continue;
            entries[n] = (rm_tensor_entry){.dtype = RM_DTYPE_F32,
                                           .n_dims = parameter->n_dims,
                                           .shape = {parameter->shape[0], parameter->shape[1]}};
            memcpy(entries[n++].name, parameter->name, sizeof parameter->name);
        }
}

static inline void append_all(const rm_parameter_table *table, rm_safetensors_writer *writer)
{
    rm_error error;
    for (int last = 0; last < 2; last++)
        for (int i = 0; i < table->n_parameters; i++) {
            const rm_parameter *parameter = &table->parameters[i];
            if (comes_last(parameter) != last) continue;
            float *values = calloc((size_t)parameter->n_elements, sizeof *values);
            fill(parameter, values);
            CHECK(rm_safetensors_append(writer, values, parameter->n_elements * 4, &error) ==
                  RINGMOE_OK);
            free(values);
        }
}

/* On rank 0. */
static inline void write_model(const ringmoe_model_config *config)
{
    rm_parameter_table table;
    rm_safetensors_writer *writer;
    rm_error error = {""};
    CHECK(rm_parameter_table_create(config, &(rm_placement){0}, &table, &error) == RINGMOE_OK);
    rm_tensor_entry *entries = calloc((size_t)table.n_parameters, sizeof *entries);
    list_entries(&table, entries);
    CHECK_STATUS(rm_config_write(config, path_of("config.json"), &error), RINGMOE_OK,
                 error.text);
    CHECK_STATUS(rm_safetensors_create(path_of("model.safetensors"), entries,
                                       table.n_parameters, &writer, &error),
                 RINGMOE_OK, error.text);
    append_all(&table, writer);
    CHECK_STATUS(rm_safetensors_commit(&writer, &error), RINGMOE_OK, error.text);
    rm_parameter_table_free(&table);
    free(entries);
}

static inline void make_folder(const ringmoe_model_config *config)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.100s/ringmoe-texts-XXXXXX", base ? base : "/tmp");
    if (rank == 0) {
        CHECK(mkdtemp(folder) != NULL);
        write_model(config);
    }
    MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
}

static inline void remove_folder(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != 0) return;
    CHECK(unlink(path_of("config.json")) == 0);
    CHECK(unlink(path_of("model.safetensors")) == 0);
    CHECK(rmdir(folder) == 0);
}

/* --- texts -----------------------------------------------------------------------------------
 */

struct world {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_model *model;
};

static inline ringmoe_load_settings settings_of(ringmoe_weights weights, int64_t max_sequences)
{
    ringmoe_load_settings settings;
    ringmoe_load_settings_default(&settings);
    settings.weights = weights;
    settings.max_sequences = max_sequences;
    settings.max_tokens = max_sequences == 3 ? 4 : 64;
    settings.reproducible = 1;
    return settings;
}

/* The folder's model, as the command loads it. */
static inline void world_open(struct world *world, MPI_Comm communicator,
                              ringmoe_mesh_dims dims, int n_experts,
                              const ringmoe_load_settings *load)
{
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    CHECK(ringmoe_context_create(communicator, &settings, &world->context) == RINGMOE_OK);
    CHECK_STATUS(ringmoe_mesh_create(world->context, &dims, n_experts, &world->mesh),
                 RINGMOE_OK, ringmoe_context_error(world->context));
    CHECK_STATUS(ringmoe_model_load(world->mesh, folder, load, &world->model), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

static inline void world_close(struct world *world)
{
    ringmoe_model_destroy(&world->model);
    ringmoe_mesh_destroy(&world->mesh);
    ringmoe_context_destroy(&world->context);
}

struct text {
    int32_t tokens[N_NEW];
    int64_t n, stop_at; /* the reader ends it with so many tokens; 0: never */
    ringmoe_text_end end;
};

static inline int keep_token(void *user, int which, int32_t token)
{
    struct text *text = (struct text *)user + which;
    CHECK(text->n < N_NEW);
    text->tokens[text->n++] = token;
    return text->n == text->stop_at ? RINGMOE_TEXT_ENDS : RINGMOE_TEXT_GOES_ON;
}

/* Nothing yet; the third will be ended by its reader. */
static inline void begin_texts(struct text texts[N_TEXTS])
{
    memset(texts, 0, N_TEXTS * sizeof *texts);
    texts[2].stop_at = 4;
}

static inline ringmoe_generate_settings sampling(int32_t stop)
{
    static int32_t stop_tokens[1];
    ringmoe_generate_settings settings;
    ringmoe_generate_settings_default(&settings);
    settings.max_new_tokens = N_NEW;
    settings.seed = 3;
    settings.min_p = 0.02;
    settings.repetition_penalty = 1.2;
    stop_tokens[0] = stop;
    settings.stop_tokens = stop_tokens;
    settings.n_stop_tokens = stop >= 0;
    return settings;
}

/* Prompts [first, first + n), with what came before a failure. */
static inline ringmoe_status make_texts(struct world *world, int first, int n, int32_t stop,
                                        struct text *texts)
{
    ringmoe_prompt prompts[N_TEXTS];
    ringmoe_text_result results[N_TEXTS];
    ringmoe_generate_settings settings = sampling(stop);
    for (int i = 0; i < n; i++)
        prompts[i] = (ringmoe_prompt){.tokens = words + first + i,
                                      .n_tokens = lengths[first + i],
                                      .seed = 100 * (first + i)};
    ringmoe_status status =
        ringmoe_generate(world->model, prompts, n, &settings, keep_token, texts, results, NULL);
    for (int i = 0; i < n; i++) {
        CHECK(results[i].n_new == texts[i].n);
        texts[i].end = results[i].end;
    }
    return status;
}

/* Each alone; then again with a stop token that the first text has, which ends some. */
static inline int32_t make_alone(struct world *world, struct text texts[N_TEXTS])
{
    int32_t stop = -1;
    for (int round = 0; round < 2; round++) {
        begin_texts(texts);
        for (int i = 0; i < N_TEXTS; i++)
            CHECK_STATUS(make_texts(world, i, 1, stop, &texts[i]), RINGMOE_OK,
                         ringmoe_context_error(world->context));
        if (round == 0) stop = texts[0].tokens[N_NEW / 2];
    }
    CHECK(texts[0].end == RINGMOE_END_STOP_TOKEN);
    return stop;
}

static inline void check_same(const struct text texts[N_TEXTS],
                              const struct text expected[N_TEXTS])
{
    for (int i = 0; i < N_TEXTS; i++) {
        CHECK(texts[i].n == expected[i].n && texts[i].end == expected[i].end);
        CHECK(memcmp(texts[i].tokens, expected[i].tokens,
                     (size_t)expected[i].n * sizeof(int32_t)) == 0);
    }
}

/* All together. */
static inline void check_together(struct world *world, int32_t stop,
                                  const struct text expected[N_TEXTS])
{
    struct text texts[N_TEXTS];
    begin_texts(texts);
    CHECK_STATUS(make_texts(world, 0, N_TEXTS, stop, texts), RINGMOE_OK,
                 ringmoe_context_error(world->context));
    check_same(texts, expected);
}

static inline void begin(int *argc, char ***argv)
{
    MPI_Init(argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    for (int i = 0; i < MOST_PROMPT + N_TEXTS; i++) words[i] = (17 * i + i * i) % 256;
}

#endif
