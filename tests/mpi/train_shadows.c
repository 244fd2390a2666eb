/* SPDX-License-Identifier: MIT
 *
 * Copies of hot experts do not change the answer: losses, norms, gradients and weights are
 * those of a run on one rank without them, to the last bit, on every way that rows and
 * gradients take between ranks; also where nearly all tokens go to one expert, and where the
 * choice of copies changes from step to step. Rates that are only noisy do not change it.
 */
#include "train/trainer.h"
#include "train_world.h"

enum { STEPS = 3 };

static int n_ranks;

struct variant {
    ringmoe_precision precision;
    int skewed, reproducible;
};

struct arrangement {
    int pipeline, expert, tensor; /* the rest of the ranks: data */
    const char *schedule;
    int recompute, shadow;
    ringmoe_exchange exchange;
    int ranks_per_node; /* pretended; 0: as it is */
    enum { MEASURED, NOISY, SWINGING } rates;
};

struct outcome {
    struct curve curve;
    int n_parameters;
    ringmoe_parameter_digest gradients[128];
};

/* Experts that 3 ranks can share, too. */
static ringmoe_model_config config_of(void)
{
    ringmoe_model_config config = small_config();
    config.num_local_experts = 12;
    config.num_experts_per_tok = 4;
    config.num_key_value_heads = 4;
    config.hidden_size = 40;
    return config;
}

static void open_world(struct world *world, MPI_Comm comm, const struct variant *variant,
                       const struct arrangement *arrangement)
{
    ringmoe_context_settings settings;
    ringmoe_mesh_dims dims = {.pipeline = arrangement->pipeline,
                              .expert = arrangement->expert,
                              .tensor = arrangement->tensor};
    ringmoe_context_settings_default(&settings);
    settings.n_threads = n_ranks == 2 ? 2 : 1;
    settings.precision = variant->precision;
    settings.exchange = arrangement->exchange;
    settings.ranks_per_node = arrangement->ranks_per_node;
    *world = (struct world){0};
    CHECK(ringmoe_context_create(comm, &settings, &world->context) == RINGMOE_OK);
    CHECK_STATUS(ringmoe_mesh_create(world->context, &dims, 12, &world->mesh), RINGMOE_OK,
                 ringmoe_context_error(world->context));
    CHECK(ringmoe_tokens_synthetic(world->context, 3, 2000, &world->tokens) == RINGMOE_OK);
}

/* Every token chooses expert 1. */
static void skew(ringmoe_model *model, const ringmoe_model_config *config)
{
    rm_real *biases = rm_model_router_bias(model);
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        biases[layer * config->num_local_experts + 1] = 2;
}

/* Rates of which copies are well worth it, or of every other step only. */
static void feed_rates(ringmoe_trainer *trainer, const struct arrangement *arrangement,
                       int step)
{
    static const double noise[STEPS] = {1, 3, 0.4};
    rm_shadow_rates *rates = &trainer->shadowing.rates;
    if (arrangement->rates == MEASURED) return;
    bool dear = arrangement->rates == SWINGING && step % 2 == 0;
    *rates = (rm_shadow_rates){.row = {1e-3 * noise[step], 8},
                               .byte = {1e-9, 8},
                               .copied_byte = {(dear ? 1 : 1e-9) / noise[step], 8}};
}

static void check_copies(const struct variant *variant, const struct arrangement *arrangement,
                         const struct outcome *outcome)
{
    const ringmoe_step_metrics *steps = outcome->curve.steps;
    CHECK(steps[0].shadowed_experts == 0);
    for (int i = 1; i < STEPS; i++)
        if (arrangement->shadow == RINGMOE_SHADOW_ON) CHECK(steps[i].shadowed_experts == 4);
    if (!variant->skewed || arrangement->rates == MEASURED) return;
    CHECK(steps[1].shadowed_experts > 0);
    CHECK((steps[2].shadowed_experts > 0) == (arrangement->rates == NOISY));
}

/* The rate of tokens is not that of tensor sums, gradients and copies. */
static void check_times(const struct world *world, const struct arrangement *arrangement)
{
    ringmoe_comm_times times;
    const rm_shadow_sample *sample = &world->trainer->shadowing.sample;
    ringmoe_context_times(world->context, &times);
    double rest = times.exchange - times.tokens - times.copies;
    CHECK(rest > -1e-9 && (arrangement->tensor == 1 || rest > 1e-6));
    CHECK((times.tokens > 0) == (arrangement->expert > 1));
    CHECK(sample->exchange_seconds == times.tokens);
}

static void run(MPI_Comm comm, const struct variant *variant,
                const struct arrangement *arrangement, struct outcome *outcome)
{
    struct world world;
    ringmoe_model_config config = config_of();
    ringmoe_train_settings settings = small_settings();
    settings.global_batch = 24;
    settings.reproducible = variant->reproducible;
    settings.recompute = arrangement->recompute;
    settings.shadow = arrangement->shadow;
    snprintf(settings.schedule, sizeof settings.schedule, "%s", arrangement->schedule);
    open_world(&world, comm, variant, arrangement);
    CHECK_STATUS(world_train(&world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    rm_model_poison(world.trainer->model);
    if (variant->skewed) skew(world.trainer->model, &config);
    for (int step = 0; step < STEPS; step++) {
        feed_rates(world.trainer, arrangement, step);
        world_run(&world, step, step + 1, &outcome->curve);
    }
    check_times(&world, arrangement);
    outcome->n_parameters = ringmoe_trainer_parameter_count(world.trainer);
    CHECK(outcome->n_parameters <= 128);
    CHECK(ringmoe_trainer_digests(world.trainer, RINGMOE_DIGEST_GRADIENTS,
                                  outcome->gradients) == RINGMOE_OK);
    world_close(&world);
}

static void compare(const struct variant *variant, const struct arrangement *arrangement,
                    const struct outcome *expected)
{
    struct outcome outcome;
    int failures = check_failures;
    run(MPI_COMM_WORLD, variant, arrangement, &outcome);
    check_same_steps(&outcome.curve, &expected->curve, 0, STEPS);
    check_copies(variant, arrangement, &outcome);
    for (int i = 0; i < outcome.n_parameters; i++)
        CHECK(!strcmp(outcome.gradients[i].hash, expected->gradients[i].hash));
    if (check_failures > failures)
        fprintf(
            stderr,
            "  with P %d E %d T %d, schedule %s, recompute %d, shadow %d, rates %d, exchange "
            "%d, %d ranks a node, skewed %d, reproducible %d\n",
            arrangement->pipeline, arrangement->expert, arrangement->tensor,
            arrangement->schedule, arrangement->recompute, arrangement->shadow,
            (int)arrangement->rates, (int)arrangement->exchange, arrangement->ranks_per_node,
            variant->skewed, variant->reproducible);
}

/* All ways of the rows with all experts' ranks there can be; on 4 ranks other axes beside. */
static void compare_all(const struct variant *variant)
{
    const struct arrangement ways[] = {
        {1, n_ranks, 1, "", .shadow = RINGMOE_SHADOW_ON},
        {1, n_ranks, 1, "", .shadow = RINGMOE_SHADOW_AUTO},
        {1, n_ranks, 1, "", .shadow = RINGMOE_SHADOW_AUTO, .rates = NOISY},
        {1, n_ranks, 1, "", .shadow = RINGMOE_SHADOW_AUTO, .rates = SWINGING},
        {1, n_ranks, 1, "zb-h1", .shadow = RINGMOE_SHADOW_ON,
         .exchange = RINGMOE_EXCHANGE_MESSAGES},
        {1, n_ranks, 1, "gpipe", .recompute = RINGMOE_RECOMPUTE_FULL,
         .shadow = RINGMOE_SHADOW_ON, .exchange = RINGMOE_EXCHANGE_MESSAGES},
        {1, n_ranks, 1, "zb-h1", .recompute = RINGMOE_RECOMPUTE_SELECTIVE,
         .shadow = RINGMOE_SHADOW_ON, .ranks_per_node = (n_ranks + 1) / 2},
        {1, n_ranks, 1, "zb-h1", .shadow = RINGMOE_SHADOW_ON, .ranks_per_node = 2,
         .exchange = RINGMOE_EXCHANGE_TWO_LEVEL},
    };
    const struct arrangement of_four[] = {
        {1, 2, 1, "", .shadow = RINGMOE_SHADOW_ON, .recompute = RINGMOE_RECOMPUTE_FULL},
        {2, 2, 1, "zb-h1", .shadow = RINGMOE_SHADOW_ON},
        {2, 2, 1, "1f1b", .shadow = RINGMOE_SHADOW_ON, .ranks_per_node = 1},
    };
    /* The latter: near on one tensor rank, between nodes on the other. */
    const struct arrangement with_tensor[] = {
        {1, 2, 2, "", .shadow = RINGMOE_SHADOW_ON},
        {1, 2, 2, "", .shadow = RINGMOE_SHADOW_ON, .ranks_per_node = 3,
         .exchange = RINGMOE_EXCHANGE_TWO_LEVEL},
    };
    const struct arrangement serial = {1, 1, 1, "", .shadow = RINGMOE_SHADOW_OFF};
    struct outcome expected;
    run(MPI_COMM_SELF, variant, &serial, &expected);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        compare(variant, &ways[i], &expected);
    for (int i = 0; n_ranks == 4 && i < 3; i++) compare(variant, &of_four[i], &expected);
    for (int i = 0; n_ranks == 4 && variant->reproducible && i < 2; i++)
        compare(variant, &with_tensor[i], &expected);
}

int main(int argc, char **argv)
{
    const struct variant variants[] = {{RINGMOE_PRECISION_FP32, 0, 0},
                                       {RINGMOE_PRECISION_FP32, 1, 1},
                                       {RINGMOE_PRECISION_BF16, 1, 0}};
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    for (int i = 0; i < 3; i++) compare_all(&variants[i]);
    return check_finish("train_shadows");
}
