/* SPDX-License-Identifier: MIT
 *
 * A model whose experts are spread over the ranks against the same model on one rank: the same
 * loss and the same gradients to the bit, for each rank's microbatch; and a folder written by
 * one rank is read by all, each its part.
 */
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "format/config.h"
#include "format/safetensors.h"
#include "model/model.h"

enum { VOCAB = 40, N_EXPERTS = 4, LENGTH = 33, SEQUENCES = 2, TOKENS = LENGTH * SEQUENCES };
enum { MAX_RANKS = 4, MAX_PARAMETERS = 64 };

static ringmoe_model_config make_config(void)
{
    return (ringmoe_model_config){.vocab_size = VOCAB,
                                  .hidden_size = 32,
                                  .intermediate_size = 24,
                                  .dense_intermediate_size = 48,
                                  .num_hidden_layers = 3,
                                  .num_attention_heads = 4,
                                  .num_key_value_heads = 2,
                                  .head_dim = 8,
                                  .num_local_experts = N_EXPERTS,
                                  .num_experts_per_tok = 2,
                                  .max_position_embeddings = 64,
                                  .tie_word_embeddings = 1,
                                  .rope_theta = 1000,
                                  .rms_norm_eps = 1e-5,
                                  .initializer_range = 0.1,
                                  .router_aux_loss_coef = 0.01,
                                  .router_jitter_noise = 0.1,
                                  .is_dense_layer = {0, 1}};
}

/* A model over a communicator with its own context, and what one training pass gave. */
typedef struct placed_model {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    rm_real *dense, *experts; /* the second: [source ranks][expert space] */
    rm_pass_result result;
} placed_model;

static placed_model place_model(MPI_Comm communicator, ringmoe_precision precision)
{
    placed_model placed = {0};
    ringmoe_context_settings settings;
    ringmoe_model_config config = make_config();
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    settings.precision = precision;
    CHECK(ringmoe_context_create(communicator, &settings, &placed.context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(placed.context, NULL, N_EXPERTS, &placed.mesh) == RINGMOE_OK);
    CHECK_STATUS(rm_model_create(placed.mesh, &config,
                                 &(rm_model_settings){
                                     .use = RM_MODEL_TRAINING, .max_tokens = TOKENS, .seed = 5},
                                 &placed.model),
                 RINGMOE_OK, ringmoe_context_error(placed.context));
    rm_model_initialize(placed.model, 11);
    CHECK(rm_model_tie_head(placed.model) == RINGMOE_OK);
    rm_model_pack(placed.model);
    const rm_parameter_table *table = rm_model_parameters(placed.model);
    size_t n_experts = (size_t)table->space_elements[RM_KIND_EXPERT];
    placed.dense = calloc((size_t)table->space_elements[RM_KIND_DENSE], sizeof(rm_real));
    placed.experts = calloc(n_experts * (size_t)placed.mesh->expert.size, sizeof(rm_real));
    return placed;
}

static void remove_model(placed_model *placed)
{
    ringmoe_model_destroy(&placed->model);
    ringmoe_mesh_destroy(&placed->mesh);
    ringmoe_context_destroy(&placed->context);
    free(placed->dense), free(placed->experts);
}

static void fill_batch(int microbatch, int32_t *tokens, int32_t *targets)
{
    uint64_t state = (uint64_t)microbatch + 17;
    for (int t = 0; t < TOKENS; t++) {
        tokens[t] = (int32_t)(check_random(&state) % VOCAB);
        targets[t] = (int32_t)(check_random(&state) % VOCAB);
    }
}

static void train(placed_model *placed, int microbatch)
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_sink experts[MAX_RANKS], dense = {.data = placed->dense};
    int64_t n = rm_model_parameters(placed->model)->space_elements[RM_KIND_EXPERT];
    for (int source = 0; source < placed->mesh->expert.size; source++)
        experts[source] = (rm_sink){.data = placed->experts + source * n};
    fill_batch(microbatch, tokens, targets);
    rm_batch batch = {.tokens = tokens,
                      .targets = targets,
                      .n_sequences = SEQUENCES,
                      .seq_len = LENGTH,
                      .global_microbatch = microbatch,
                      .scale = (rm_real)0.25};
    CHECK_STATUS(
        rm_model_train_pass(placed->model, &batch, dense, experts, NULL, NULL, &placed->result),
        RINGMOE_OK, ringmoe_context_error(placed->context));
}

/* This rank's experts' gradients from microbatch `source` in both places. */
static void check_experts(const placed_model *spread, const placed_model *alone, int source)
{
    const rm_parameter_table *table = rm_model_parameters(spread->model);
    const rm_parameter_table *whole = rm_model_parameters(alone->model);
    int64_t n = table->space_elements[RM_KIND_EXPERT];
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *p = &table->parameters[i];
        if (p->space != RM_KIND_EXPERT || !rm_model_holds(spread->model, p)) continue;
        CHECK(!memcmp(spread->experts + source * n + p->offset,
                      alone->experts + whole->parameters[i].offset,
                      (size_t)p->n_elements * sizeof(rm_real)));
    }
}

static void check_training(ringmoe_precision precision)
{
    placed_model spread = place_model(MPI_COMM_WORLD, precision);
    placed_model alone = place_model(MPI_COMM_SELF, precision);
    int rank = spread.mesh->expert.rank;
    train(&spread, rank);
    for (int source = 0; source < spread.mesh->expert.size; source++) {
        train(&alone, source);
        check_experts(&spread, &alone, source);
        if (source != rank) continue;
        int64_t n = rm_model_parameters(alone.model)->space_elements[RM_KIND_DENSE];
        CHECK(spread.result.loss == alone.result.loss);
        CHECK(spread.result.balance_loss == alone.result.balance_loss);
        CHECK(!memcmp(spread.dense, alone.dense, (size_t)n * sizeof(rm_real)));
    }
    remove_model(&spread);
    remove_model(&alone);
}

/* --- loading
 * ---------------------------------------------------------------------------------- */

static void write_folder(const placed_model *alone, const char *folder)
{
    const rm_parameter_table *table = rm_model_parameters(alone->model);
    rm_tensor_entry entries[MAX_PARAMETERS] = {0};
    rm_safetensors_writer *writer;
    rm_error error = {""};
    char path[64];
    int n_stored = table->n_parameters - (rm_table_tied_head(table) != NULL);
    for (int i = 0; i < n_stored; i++) {
        const rm_parameter *p = &table->parameters[i];
        entries[i].n_dims = p->n_dims;
        memcpy(entries[i].name, p->name, sizeof p->name);
        memcpy(entries[i].shape, p->shape, sizeof p->shape);
    }
    snprintf(path, sizeof path, "%s/config.json", folder);
    CHECK(rm_config_write(ringmoe_model_get_config(alone->model), path, &error) == RINGMOE_OK);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    CHECK_STATUS(rm_safetensors_create(path, entries, n_stored, &writer, &error), RINGMOE_OK,
                 error.text);
    for (int i = 0; i < n_stored; i++) {
        const rm_parameter *p = &table->parameters[i];
        CHECK(rm_safetensors_append(writer, rm_model_space(alone->model, p->space) + p->offset,
                                    p->n_elements * (int64_t)sizeof(rm_real),
                                    &error) == RINGMOE_OK);
    }
    CHECK(rm_safetensors_commit(&writer, &error) == RINGMOE_OK);
}

static void remove_file(const char *folder, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    CHECK(remove(path) == 0);
}

static double evaluate(ringmoe_model *model)
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_pass_result result;
    fill_batch(3, tokens, targets);
    rm_batch batch = {
        .tokens = tokens, .targets = targets, .n_sequences = SEQUENCES, .seq_len = LENGTH};
    CHECK(rm_model_eval_pass(model, &batch, &result) == RINGMOE_OK);
    return result.loss;
}

static void check_loading(void)
{
    char folder[] = "/tmp/ringmoe-layout-XXXXXX";
    placed_model spread = place_model(MPI_COMM_WORLD, RINGMOE_PRECISION_FP32);
    placed_model alone = place_model(MPI_COMM_SELF, RINGMOE_PRECISION_FP32);
    int rank = spread.mesh->dense.rank;
    if (rank == 0) {
        CHECK(mkdtemp(folder) != NULL);
        write_folder(&alone, folder);
    }
    MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    ringmoe_model_destroy(&spread.model);
    CHECK_STATUS(ringmoe_model_load(spread.mesh, folder, NULL, &spread.model), RINGMOE_OK,
                 ringmoe_context_error(spread.context));
    if (spread.model) CHECK(evaluate(spread.model) == evaluate(alone.model));
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) remove_file(folder, "model.safetensors");
    MPI_Barrier(MPI_COMM_WORLD);
    ringmoe_model_destroy(&spread.model);
    CHECK(ringmoe_model_load(spread.mesh, folder, NULL, &spread.model) == RINGMOE_ERROR_FILE);
    CHECK_TEXT(ringmoe_context_error(spread.context), "model.safetensors");
    if (rank == 0) {
        remove_file(folder, "config.json");
        CHECK(rmdir(folder) == 0);
    }
    remove_model(&spread);
    remove_model(&alone);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    check_training(RINGMOE_PRECISION_FP32);
    check_training(RINGMOE_PRECISION_BF16);
    check_loading();
    return check_finish("model_layout");
}
