/* SPDX-License-Identifier: MIT
 *
 * A model whose matrices are spread over the tensor axis, or whose layers are spread over the
 * pipeline axis, against the same model on one rank, in all families. Over the tensor axis
 * losses, gradients and logits are close, and with `reproducible` the same to the bit; over the
 * pipeline axis evaluation and generation are the same to the bit in any case.
 */
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "../model_families.h"

enum { VOCAB = 41, N_EXPERTS = 4, LENGTH = 29, SEQUENCES = 2, TOKENS = LENGTH * SEQUENCES };
enum { N_LAYERS = 3, CAPACITY = 16 };

static ringmoe_model_config make_config(int family, int tied)
{
    ringmoe_model_config config = {.vocab_size = VOCAB,
                                   .hidden_size = 32,
                                   .intermediate_size = 26,
                                   .dense_intermediate_size = 46,
                                   .num_hidden_layers = N_LAYERS,
                                   .num_attention_heads = 8,
                                   .num_key_value_heads = 4,
                                   .head_dim = 8,
                                   .num_local_experts = N_EXPERTS,
                                   .num_experts_per_tok = 2,
                                   .max_position_embeddings = 64,
                                   .tie_word_embeddings = tied,
                                   .rope_theta = 1000,
                                   .rms_norm_eps = 1e-5,
                                   .initializer_range = 0.1,
                                   .router_aux_loss_coef = 0.01,
                                   .router_jitter_noise = 0.1,
                                   .is_dense_layer = {0, 1}};
    return family_config(config, family);
}

/* A model over a communicator with its own context, and what one training pass gave. */
typedef struct placed_model {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    rm_real *gradients[RM_N_KINDS];
    rm_pass_result result;
} placed_model;

static placed_model place_model(MPI_Comm communicator, ringmoe_mesh_dims dims,
                                ringmoe_precision precision, int family, int tied,
                                rm_model_settings wanted)
{
    placed_model placed = {0};
    ringmoe_context_settings settings;
    ringmoe_model_config config = make_config(family, tied);
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    settings.precision = precision;
    wanted.max_tokens = TOKENS;
    wanted.seed = 5;
    CHECK(ringmoe_context_create(communicator, &settings, &placed.context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(placed.context, &dims, N_EXPERTS, &placed.mesh) == RINGMOE_OK);
    CHECK_STATUS(rm_model_create(placed.mesh, &config, &wanted, &placed.model), RINGMOE_OK,
                 ringmoe_context_error(placed.context));
    rm_model_initialize(placed.model, 11);
    family_shake(placed.model);
    CHECK(rm_model_tie_head(placed.model) == RINGMOE_OK);
    rm_model_pack(placed.model);
    rm_model_poison(placed.model);
    for (int kind = 0; kind < RM_N_KINDS; kind++)
        placed.gradients[kind] =
            calloc((size_t)rm_model_space_elements(placed.model, kind) + 1, sizeof(rm_real));
    return placed;
}

static void remove_model(placed_model *placed)
{
    ringmoe_model_destroy(&placed->model);
    ringmoe_mesh_destroy(&placed->mesh);
    ringmoe_context_destroy(&placed->context);
    for (int kind = 0; kind < RM_N_KINDS; kind++) free(placed->gradients[kind]);
}

static rm_batch make_batch(int32_t tokens[TOKENS], int32_t targets[TOKENS])
{
    uint64_t state = 17;
    for (int t = 0; t < TOKENS; t++) {
        tokens[t] = (int32_t)(check_random(&state) % VOCAB);
        targets[t] = (int32_t)(check_random(&state) % VOCAB);
    }
    return (rm_batch){.tokens = tokens,
                      .targets = targets,
                      .n_sequences = SEQUENCES,
                      .seq_len = LENGTH,
                      .scale = (rm_real)0.25};
}

/* One pass, in two halves where the model was made for that. */
static void train(placed_model *placed, bool split)
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_batch batch = make_batch(tokens, targets);
    rm_sink dense = {placed->gradients[RM_KIND_DENSE], false};
    rm_sink experts = {placed->gradients[RM_KIND_EXPERT], false};
    ringmoe_stage_call call = {.operation = RINGMOE_STAGE_FORWARD};
    CHECK_STATUS(
        rm_model_forward_stage(placed->model, &batch, &call, NULL, NULL, &placed->result),
        RINGMOE_OK, ringmoe_context_error(placed->context));
    call.operation = split ? RINGMOE_STAGE_BACKWARD_INPUT : RINGMOE_STAGE_BACKWARD;
    CHECK_STATUS(rm_model_backward_stage(placed->model, &batch, &call, dense, &experts, NULL),
                 RINGMOE_OK, ringmoe_context_error(placed->context));
    call.operation = RINGMOE_STAGE_BACKWARD_WEIGHT;
    if (split)
        CHECK_STATUS(
            rm_model_backward_stage(placed->model, &batch, &call, dense, &experts, NULL),
            RINGMOE_OK, ringmoe_context_error(placed->context));
}

/* --- the tensor axis --- */

/* The largest difference from the whole gradient, as a share of its largest value. */
static double difference(const placed_model *spread, const placed_model *alone, int index)
{
    const ringmoe_mesh *mesh = spread->mesh;
    const rm_parameter *p = &rm_model_parameters(spread->model)->parameters[index];
    const rm_parameter *q = &rm_model_parameters(alone->model)->parameters[index];
    const rm_real *own = spread->gradients[p->kind] + p->offset;
    const rm_real *whole = alone->gradients[q->kind] + q->offset;
    rm_parameter_part part = rm_parameter_part_of(p, mesh->tensor.size, mesh->tensor.rank);
    double most = 0, largest = 1e-30;
    for (int64_t i = 0; i < q->n_elements; i++)
        if (fabs((double)whole[i]) > largest) largest = fabs((double)whole[i]);
    for (int64_t at = 0; at < part.n_elements; at++) {
        int64_t row = part.first_row + at / part.n_columns;
        int64_t column = part.first_column + at % part.n_columns;
        double apart = fabs((double)own[at] - (double)whole[row * p->shape[1] + column]);
        if (!(apart <= most)) most = apart;
    }
    return most / largest;
}

static void check_tensor(ringmoe_precision precision, int family, rm_model_settings settings,
                         int tied)
{
    int n_ranks;
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    double allowed = precision == RINGMOE_PRECISION_FP32 ? 1e-4 : 0.05;
    if (settings.reproducible) allowed = 0;
    settings.use = RM_MODEL_TRAINING;
    placed_model spread = place_model(MPI_COMM_WORLD, (ringmoe_mesh_dims){1, 1, 1, n_ranks},
                                      precision, family, tied, settings);
    placed_model alone = place_model(MPI_COMM_SELF, (ringmoe_mesh_dims){1, 1, 1, 1}, precision,
                                     family, tied, settings);
    train(&spread, settings.split_backward);
    train(&alone, settings.split_backward);
    CHECK(fabs(spread.result.loss - alone.result.loss) <= allowed * alone.result.loss);
    const rm_parameter_table *table = rm_model_parameters(spread.model);
    for (int i = 0; i < table->n_parameters; i++)
        if (!(difference(&spread, &alone, i) <= allowed))
            check_report("close gradients", __FILE__, __LINE__, table->parameters[i].name);
    remove_model(&spread);
    remove_model(&alone);
}

/* --- evaluation and generation --- */

static void decode_run(const placed_model *placed, rm_kv_cache *cache, const int32_t *tokens,
                       rm_decode_run run, rm_real logits[VOCAB])
{
    rm_decode_batch batch = {cache, &run, 1, tokens + run.n_past, run.n_past > 0};
    CHECK(rm_model_decode(placed->model, &batch, logits) == RINGMOE_OK);
}

/* A prompt of 5 tokens, then one more. */
static void decode(const placed_model *placed, rm_real logits[VOCAB])
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_arena arena = {0};
    rm_kv_cache cache;
    rm_error error;
    rm_kv_cache_layout(&cache, placed->model, 1, CAPACITY, &arena);
    CHECK(rm_arena_reserve(&arena, arena.used, &error) == RINGMOE_OK);
    rm_kv_cache_layout(&cache, placed->model, 1, CAPACITY, &arena);
    make_batch(tokens, targets);
    decode_run(placed, &cache, tokens, (rm_decode_run){0, 0, 5, true}, logits);
    decode_run(placed, &cache, tokens, (rm_decode_run){0, 5, 1, true}, logits);
    rm_arena_free(&arena);
}

static void check_inference(ringmoe_mesh_dims dims, int family, rm_model_settings settings)
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_batch batch = make_batch(tokens, targets);
    rm_real logits[VOCAB], expected[VOCAB];
    placed_model spread =
        place_model(MPI_COMM_WORLD, dims, RINGMOE_PRECISION_FP32, family, 1, settings);
    placed_model alone = place_model(MPI_COMM_SELF, (ringmoe_mesh_dims){1, 1, 1, 1},
                                     RINGMOE_PRECISION_FP32, family, 1, settings);
    CHECK(rm_model_eval_pass(spread.model, &batch, &spread.result) == RINGMOE_OK);
    CHECK(rm_model_eval_pass(alone.model, &batch, &alone.result) == RINGMOE_OK);
    CHECK(spread.result.loss == alone.result.loss);
    CHECK(spread.result.balance_loss == alone.result.balance_loss);
    CHECK(spread.result.first_bad_layer == -1);
    decode(&spread, logits);
    decode(&alone, expected);
    CHECK(!memcmp(logits, expected, sizeof logits));
    remove_model(&spread);
    remove_model(&alone);
}

static void check_refusals(void)
{
    int n_ranks;
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    ringmoe_model_config config = make_config(RINGMOE_FAMILY_MIXTRAL, 0);
    rm_model_settings settings = {.max_tokens = 8};
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    ringmoe_mesh_dims dims = {1, 1, 1, n_ranks};
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(context, &dims, N_EXPERTS, &mesh) == RINGMOE_OK);
    CHECK(rm_model_create(mesh, &config, &settings, &model) == RINGMOE_ERROR_LAYOUT);
    CHECK_TEXT(ringmoe_context_error(context), "key-value heads");
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
}

int main(int argc, char **argv)
{
    int n_ranks;
    rm_model_settings plain = {0}, reproducible = {.reproducible = true};
    rm_model_settings split = {.reproducible = true, .split_backward = true};
    rm_model_settings full = {.reproducible = true, .recompute = RINGMOE_RECOMPUTE_FULL};
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    check_inference((ringmoe_mesh_dims){n_ranks, 1, 1, 1}, RINGMOE_FAMILY_MIXTRAL, plain);
    if (n_ranks == 3) {
        check_refusals();
        return check_finish("model_axes");
    }
    for (int family = RINGMOE_FAMILY_MIXTRAL; rm_family_of(family); family++) {
        check_tensor(RINGMOE_PRECISION_FP32, family, plain, 0);
        check_tensor(RINGMOE_PRECISION_FP32, family, split, 1);
        check_inference((ringmoe_mesh_dims){1, 1, 1, n_ranks}, family, reproducible);
    }
    check_tensor(RINGMOE_PRECISION_FP32, RINGMOE_FAMILY_MIXTRAL, reproducible, 1);
    check_tensor(RINGMOE_PRECISION_BF16, RINGMOE_FAMILY_QWEN3_MOE, reproducible, 0);
    check_tensor(RINGMOE_PRECISION_FP32, RINGMOE_FAMILY_OLMOE, full, 0);
    return check_finish("model_axes");
}
