/* SPDX-License-Identifier: MIT
 *
 * The whole model's gradients against differences, on any number of ranks that divides the
 * experts: dense and MoE layers, tied and untied heads, auxiliary losses, recomputation, a
 * split backward pass, all families. Each rank has a microbatch of its own; the loss is the sum
 * over ranks, so a dense parameter's gradient is the sum of the ranks' sinks, and an expert's
 * the sum of its holder's sinks for all source ranks.
 */
#include <string.h>

#include "difference.h"
#include "../model_families.h"

enum { SEQUENCES = 2, LENGTH = 7, TOKENS = SEQUENCES * LENGTH, VOCAB = 11, SAMPLES = 3 };

static ringmoe_context *context;
static ringmoe_mesh *mesh;

static ringmoe_model_config small_config(int tied, int family)
{
    ringmoe_model_config config = {.vocab_size = VOCAB,
                                   .hidden_size = 12,
                                   .intermediate_size = 10,
                                   .dense_intermediate_size = 14,
                                   .num_hidden_layers = 3,
                                   .num_attention_heads = 4,
                                   .num_key_value_heads = 2,
                                   .head_dim = 6,
                                   .num_local_experts = 4,
                                   .num_experts_per_tok = 2,
                                   .max_position_embeddings = 16,
                                   .tie_word_embeddings = tied,
                                   .rope_theta = 100,
                                   .rms_norm_eps = 1e-5,
                                   .initializer_range = 0.3,
                                   .router_aux_loss_coef = 0.1,
                                   .router_z_loss_coef = 0.05,
                                   .is_dense_layer = {1}};
    return family_config(config, family);
}

/* One model, this rank's microbatch, and the sinks of its gradients. */
typedef struct model_case {
    ringmoe_model *model;
    bool split; /* its backward pass comes in two halves */
    int32_t tokens[TOKENS], targets[TOKENS];
    rm_batch batch;
    rm_real *dense, *experts; /* the second: one expert space for each source rank */
    rm_sink expert_sinks[16];
} model_case;

static void set_sinks(model_case *c, bool add)
{
    int64_t n = rm_model_parameters(c->model)->space_elements[RM_KIND_EXPERT];
    for (int source = 0; source < mesh->expert.size; source++)
        c->expert_sinks[source] = (rm_sink){.data = c->experts + source * n, .add = add};
}

static void open_case(model_case *c, int family, int tied, bool split,
                      ringmoe_recompute recompute)
{
    ringmoe_model_config config = small_config(tied, family);
    rm_model_settings settings = {.use = RM_MODEL_TRAINING,
                                  .max_tokens = TOKENS,
                                  .split_backward = split,
                                  .recompute = recompute};
    assert_int_equal(rm_model_create(mesh, &config, &settings, &c->model), RINGMOE_OK);
    c->split = split;
    rm_model_initialize(c->model, 7);
    family_shake(c->model);
    assert_int_equal(rm_model_tie_head(c->model), RINGMOE_OK);
    rm_model_pack(c->model);
    for (int t = 0; t < TOKENS; t++) {
        c->tokens[t] = (int32_t)((t * t + 3 * t + 5 * context->world.rank) % VOCAB);
        c->targets[t] = (int32_t)((t * 7 + context->world.rank) % VOCAB);
    }
    c->batch = (rm_batch){.tokens = c->tokens,
                          .targets = c->targets,
                          .n_sequences = SEQUENCES,
                          .seq_len = LENGTH,
                          .global_microbatch = context->world.rank,
                          .scale = (rm_real)1 / (rm_real)context->world.size};
    const rm_parameter_table *table = rm_model_parameters(c->model);
    c->dense = random_values(table->space_elements[RM_KIND_DENSE], 1, 1);
    c->experts = random_values(table->space_elements[RM_KIND_EXPERT] * mesh->expert.size, 1, 1);
}

static void close_case(model_case *c)
{
    ringmoe_model_destroy(&c->model);
    free(c->dense), free(c->experts);
}

static double total_loss(void *user)
{
    model_case *c = user;
    rm_pass_result result;
    assert_int_equal(rm_model_tie_head(c->model), RINGMOE_OK);
    rm_model_pack(c->model);
    assert_int_equal(rm_model_eval_pass(c->model, &c->batch, &result), RINGMOE_OK);
    double loss = result.loss + 0.1 * result.balance_loss + 0.05 * result.z_loss;
    loss *= c->batch.scale;
    MPI_Allreduce(MPI_IN_PLACE, &loss, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return loss;
}

static void backward_half(model_case *c, ringmoe_stage_operation half, rm_sink dense)
{
    ringmoe_stage_call call = {.operation = half};
    assert_int_equal(
        rm_model_backward_stage(c->model, &c->batch, &call, dense, c->expert_sinks, NULL),
        RINGMOE_OK);
}

static void train_pass(model_case *c, bool add, rm_pass_result *result)
{
    int64_t counts[3 * 4] = {0}, sums[3] = {0};
    ringmoe_stage_call forward = {.operation = RINGMOE_STAGE_FORWARD};
    rm_sink dense = {.data = c->dense, .add = add};
    set_sinks(c, add);
    if (c->split) {
        assert_int_equal(
            rm_model_forward_stage(c->model, &c->batch, &forward, NULL, counts, result),
            RINGMOE_OK);
        backward_half(c, RINGMOE_STAGE_BACKWARD_INPUT, dense);
        backward_half(c, RINGMOE_STAGE_BACKWARD_WEIGHT, dense);
    } else
        assert_int_equal(rm_model_train_pass(c->model, &c->batch, dense, c->expert_sinks, NULL,
                                             counts, result),
                         RINGMOE_OK);
    int n_chosen = ringmoe_model_get_config(c->model)->num_experts_per_tok;
    for (int i = 0; i < 12; i++) sums[i / 4] += counts[i];
    assert_int_equal(sums[0], 0);
    assert_int_equal(sums[1], n_chosen * TOKENS);
    assert_int_equal(sums[2], n_chosen * TOKENS);
    assert_int_equal(result->first_bad_layer, -1);
}

/* The gradient of the parameter's element i from this rank's sinks. */
static double own_gradient(const model_case *c, const rm_parameter *parameter, int64_t i)
{
    int64_t n_experts = rm_model_space_elements(c->model, RM_KIND_EXPERT);
    double gradient = 0;
    if (parameter->kind == RM_KIND_DENSE) return c->dense[parameter->offset + i];
    if (!rm_model_holds(c->model, parameter)) return 0;
    for (int source = 0; source < mesh->expert.size; source++)
        gradient += c->experts[source * n_experts + parameter->offset + i];
    return gradient;
}

/* Summed over ranks. The gradient of a tied head belongs to the embedding's. */
static double element_gradient(const model_case *c, const rm_parameter *parameter, int64_t i)
{
    const rm_parameter_table *table = rm_model_parameters(c->model);
    const rm_parameter *head = rm_table_tied_head(table);
    double gradient = own_gradient(c, parameter, i);
    if (head && parameter == table->parameters) gradient += own_gradient(c, head, i);
    MPI_Allreduce(MPI_IN_PLACE, &gradient, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
    return gradient;
}

/* Every rank moves the same elements, in its own copy if it holds the parameter. */
static void check_parameter(model_case *c, const rm_parameter *parameter)
{
    rm_real moved[SAMPLES], gradient;
    bool held = rm_model_holds(c->model, parameter);
    rm_real *values = rm_model_weights(c->model, parameter);
    for (int sample = 0; sample < SAMPLES; sample++) {
        int64_t i = (parameter->n_elements - 1) * sample / (SAMPLES - 1);
        gradient = element_gradient(c, parameter, i);
        check_gradient(parameter->name, total_loss, c, held ? values + i : moved, 1, &gradient,
                       1);
    }
}

static void check_gradients(int family, int tied, bool split, ringmoe_recompute recompute)
{
    model_case c;
    rm_pass_result trained, evaluated;
    open_case(&c, family, tied, split, recompute);
    train_pass(&c, false, &trained);
    assert_int_equal(rm_model_eval_pass(c.model, &c.batch, &evaluated), RINGMOE_OK);
    assert_true(trained.loss == evaluated.loss);
    if (rm_family_of(family)->has_experts)
        assert_true(trained.balance_loss >= 0.5 && trained.z_loss > 0);
    const rm_parameter_table *table = rm_model_parameters(c.model);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        /* On several ranks one layer of each family is enough. */
        if (family != RINGMOE_FAMILY_MIXTRAL && mesh->expert.size > 1 && parameter->layer != 1)
            continue;
        if (!parameter->tied) check_parameter(&c, parameter);
    }
    close_case(&c);
}

static void test_untied(void **state)
{
    check_gradients(RINGMOE_FAMILY_MIXTRAL, 0, false, RINGMOE_RECOMPUTE_NONE);
}

static void test_tied(void **state)
{
    check_gradients(RINGMOE_FAMILY_MIXTRAL, 1, false, RINGMOE_RECOMPUTE_NONE);
}

static void test_recomputed(void **state)
{
    check_gradients(RINGMOE_FAMILY_MIXTRAL, 1, false, RINGMOE_RECOMPUTE_FULL);
}

static void test_split(void **state)
{
    check_gradients(RINGMOE_FAMILY_MIXTRAL, 1, true, RINGMOE_RECOMPUTE_SELECTIVE);
}

static void test_families(void **state)
{
    for (int family = RINGMOE_FAMILY_OLMOE; rm_family_of(family); family++) {
        check_gradients(family, 0, false, RINGMOE_RECOMPUTE_FULL);
        check_gradients(family, 1, true, RINGMOE_RECOMPUTE_SELECTIVE);
    }
}

/* A second pass that adds doubles every element exactly, so each is added to once. */
static void test_sinks_add_once(void **state)
{
    model_case c;
    rm_pass_result result;
    open_case(&c, RINGMOE_FAMILY_QWEN2_MOE, 1, false, RINGMOE_RECOMPUTE_NONE);
    const rm_parameter_table *table = rm_model_parameters(c.model);
    int64_t n_dense = table->space_elements[RM_KIND_DENSE];
    int64_t n_experts = table->space_elements[RM_KIND_EXPERT] * mesh->expert.size;
    train_pass(&c, false, &result);
    rm_real *dense = random_values(n_dense, 1, 1), *experts = random_values(n_experts, 1, 1);
    memcpy(dense, c.dense, (size_t)n_dense * sizeof *dense);
    memcpy(experts, c.experts, (size_t)n_experts * sizeof *experts);
    train_pass(&c, true, &result);
    for (int64_t i = 0; i < n_dense; i++) assert_true(c.dense[i] == 2 * dense[i]);
    for (int64_t i = 0; i < n_experts; i++) assert_true(c.experts[i] == 2 * experts[i]);
    free(dense), free(experts);
    close_case(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untied),         cmocka_unit_test(test_tied),
        cmocka_unit_test(test_recomputed),     cmocka_unit_test(test_split),
        cmocka_unit_test(test_sinks_add_once), cmocka_unit_test(test_families),
    };
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    MPI_Init(&argc, &argv);
    int failed = ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) != RINGMOE_OK ||
                 ringmoe_mesh_create(context, NULL, 4, &mesh) != RINGMOE_OK;
    if (!failed) failed = cmocka_run_group_tests(tests, NULL, NULL);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
    MPI_Finalize();
    return failed;
}
