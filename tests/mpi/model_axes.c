/* SPDX-License-Identifier: MIT
 *
 * A model whose matrices are spread over the tensor axis, or whose layers are spread over the
 * pipeline axis, against the same model on one rank, in all families. Over the tensor axis
 * losses, gradients and logits are close, and with `reproducible` the same to the bit; over the
 * pipeline axis evaluation and generation are the same to the bit in any case.
 */
#include <math.h>

#include "placed_model.h"

enum { CAPACITY = 16 };

/* One pass, in two halves where the model was made for that. */
static void train(placed_model *placed, bool split)
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_batch batch = make_batch(0, tokens, targets);
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
    ringmoe_model_config config = placed_config(family, tied);
    ringmoe_mesh_dims dims = {1, 1, 1, n_ranks};
    placed_model spread = place_model(MPI_COMM_WORLD, &dims, precision, &config, settings);
    placed_model alone = place_model(MPI_COMM_SELF, NULL, precision, &config, settings);
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
    make_batch(0, tokens, targets);
    decode_run(placed, &cache, tokens, (rm_decode_run){0, 0, 5, true}, logits);
    decode_run(placed, &cache, tokens, (rm_decode_run){0, 5, 1, true}, logits);
    rm_arena_free(&arena);
}

static void check_inference(ringmoe_mesh_dims dims, int family, rm_model_settings settings)
{
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_batch batch = make_batch(0, tokens, targets);
    rm_real logits[VOCAB], expected[VOCAB];
    ringmoe_model_config config = placed_config(family, 1);
    placed_model spread =
        place_model(MPI_COMM_WORLD, &dims, RINGMOE_PRECISION_FP32, &config, settings);
    placed_model alone =
        place_model(MPI_COMM_SELF, NULL, RINGMOE_PRECISION_FP32, &config, settings);
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
    ringmoe_model_config config = placed_config(RINGMOE_FAMILY_MIXTRAL, 0);
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
