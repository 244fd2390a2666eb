/* SPDX-License-Identifier: MIT
 *
 * The layout does not change the answer: losses, norms, weights and evaluations of every layout
 * of the ranks at hand, with every schedule and recomputation, are those of a run on one rank
 * with one thread, to the last bit; over the tensor axis with `reproducible`, and closely
 * without. All activations are NaN before the first step.
 */
#include "train/trainer.h"
#include "train_world.h"

#include <math.h>

enum { STEPS = 3 };

static int n_ranks;

/* What does decide the answer: a run alone for each of these is what others are compared with.
 */
struct variant {
    ringmoe_precision precision;
    int tied, reproducible;
};

/* The rest. */
struct arrangement {
    struct layout layout;
    const char *schedule;
    int chunks, recompute;
};

struct outcome {
    struct curve curve;
    ringmoe_eval_result evaluation;
};

/* Five layers, two of them dense, which no number of stages divides. */
static ringmoe_model_config config_of(const struct variant *variant)
{
    ringmoe_model_config config = small_config();
    config.num_hidden_layers = 5;
    config.is_dense_layer[4] = 1;
    config.num_attention_heads = 8;
    config.num_key_value_heads = 4;
    config.head_dim = 8;
    config.hidden_size = 40;
    config.tie_word_embeddings = variant->tied;
    return config;
}

static ringmoe_train_settings settings_of(const struct variant *variant,
                                          const struct arrangement *arrangement)
{
    ringmoe_train_settings settings = small_settings();
    if (n_ranks % 3 == 0) settings.global_batch = 24;
    settings.reproducible = variant->reproducible;
    settings.chunks = arrangement->chunks;
    settings.recompute = arrangement->recompute;
    snprintf(settings.schedule, sizeof settings.schedule, "%s", arrangement->schedule);
    return settings;
}

static void run(MPI_Comm comm, const struct variant *variant,
                const struct arrangement *arrangement, struct outcome *outcome)
{
    struct world world;
    ringmoe_model_config config = config_of(variant);
    ringmoe_train_settings settings = settings_of(variant, arrangement);
    world_open(&world, comm, arrangement->layout, variant->precision);
    CHECK_STATUS(world_train(&world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    rm_model_poison(world.trainer->model);
    world_run(&world, 0, STEPS, &outcome->curve);
    CHECK_STATUS(ringmoe_model_evaluate(ringmoe_trainer_model(world.trainer), world.tokens, 12,
                                        2, 13, &outcome->evaluation),
                 RINGMOE_OK, ringmoe_context_error(world.context));
    world_close(&world);
}

static void check_same(const struct outcome *outcome, const struct outcome *expected)
{
    const ringmoe_eval_result *a = &outcome->evaluation, *b = &expected->evaluation;
    check_same_steps(&outcome->curve, &expected->curve, 0, STEPS);
    CHECK(a->tokens == 13 * 12 && a->tokens == b->tokens);
    CHECK(a->loss == b->loss);
    CHECK(a->perplexity == b->perplexity);
    CHECK(a->bits_per_byte == b->bits_per_byte);
}

static void check_close(const struct outcome *outcome, const struct outcome *expected)
{
    for (int i = 0; i < STEPS; i++) {
        const ringmoe_step_metrics *a = &outcome->curve.steps[i];
        const ringmoe_step_metrics *b = &expected->curve.steps[i];
        CHECK(fabs(a->loss - b->loss) < 2e-3 * b->loss);
        CHECK(fabs(a->grad_norm - b->grad_norm) < 2e-2 * b->grad_norm);
    }
    CHECK(fabs(outcome->evaluation.loss - expected->evaluation.loss) < 1e-2);
}

/* A line that tells which arrangement went wrong. */
static void report(const struct variant *variant, const struct arrangement *arrangement,
                   int failures)
{
    const struct layout *layout = &arrangement->layout;
    if (check_failures > failures)
        fprintf(stderr,
                "  with P %d D %d E %d T %d, %d threads, schedule %s, %d chunks, recompute %d, "
                "tied %d, reproducible %d, %d ranks a node\n",
                layout->pipeline, layout->data, layout->expert, layout->tensor, layout->threads,
                arrangement->schedule, arrangement->chunks, arrangement->recompute,
                variant->tied, variant->reproducible, layout->ranks_per_node);
}

static void compare(const struct variant *variant, const struct arrangement *arrangement,
                    const struct outcome *expected)
{
    struct outcome outcome;
    int failures = check_failures;
    run(MPI_COMM_WORLD, variant, arrangement, &outcome);
    if (arrangement->layout.tensor == 1 || variant->reproducible)
        check_same(&outcome, expected);
    else
        check_close(&outcome, expected);
    report(variant, arrangement, failures);
}

/* The schedules that a layout is tried with: all of them where there is a pipeline. */
static int arrangements_of(struct layout layout, int number, struct arrangement *arrangements)
{
    static const struct arrangement kinds[] = {
        {.schedule = "", .recompute = RINGMOE_RECOMPUTE_NONE},
        {.schedule = "zb-h1", .recompute = RINGMOE_RECOMPUTE_SELECTIVE},
        {.schedule = "gpipe", .recompute = RINGMOE_RECOMPUTE_FULL},
        {.schedule = "interleaved", .chunks = 2, .recompute = RINGMOE_RECOMPUTE_NONE},
        {.schedule = "1f1b", .chunks = 3, .recompute = RINGMOE_RECOMPUTE_SELECTIVE},
        {.schedule = "zb-h1", .chunks = 2, .recompute = RINGMOE_RECOMPUTE_FULL},
    };
    enum { KINDS = sizeof kinds / sizeof kinds[0] };
    bool all = n_ranks <= 4 && layout.pipeline == n_ranks;
    int n = all ? KINDS : layout.pipeline > 1 && n_ranks <= 4 ? 2 : 1;
    for (int i = 0; i < n; i++) {
        arrangements[i] = kinds[(number + i) % KINDS];
        arrangements[i].layout = layout;
    }
    return n;
}

static void compare_layout(const struct variant *variant, struct layout layout, int number,
                           const struct outcome *expected)
{
    struct arrangement arrangements[8];
    int n = arrangements_of(layout, number, arrangements);
    for (int i = 0; i < n; i++) compare(variant, &arrangements[i], expected);
}

/* Nodes that end within a tensor group, whose ranks then reach other experts in different ways.
 */
static void compare_cut_groups(const struct variant *variant, struct layout layout, int number,
                               const struct outcome *expected)
{
    if (layout.tensor == 1 || layout.expert == 1) return;
    layout.ranks_per_node = layout.tensor + 1;
    compare_layout(variant, layout, number, expected);
}

/* Every way to split the ranks that four experts and four groups of heads allow. Layouts with a
 * tensor axis are compared by `reproducible`; without it only those that have nothing else. */
static void compare_layouts(const struct variant *variant)
{
    struct arrangement serial = {
        .layout = {.data = 1, .expert = 1, .threads = 1, .pipeline = 1, .tensor = 1},
        .schedule = ""};
    struct outcome expected;
    int number = 0;
    run(MPI_COMM_SELF, variant, &serial, &expected);
    CHECK(fabs(expected.curve.steps[0].loss - log(256)) < 1);
    CHECK(expected.curve.steps[STEPS - 1].loss < expected.curve.steps[0].loss - 0.05);
    for (int pipeline = 1; pipeline <= n_ranks; pipeline++)
        for (int tensor = 1; tensor <= 4; tensor *= 2)
            for (int expert = 1; expert <= 4; expert *= 2) {
                if (n_ranks % (pipeline * tensor * expert)) continue;
                int data = n_ranks / (pipeline * tensor * expert);
                if (!variant->reproducible && tensor > 1 && tensor < n_ranks) continue;
                if (variant->reproducible && tensor == 1 && n_ranks > 1) continue;
                struct layout layout = {data,     expert, n_ranks < 4 ? 1 + number % 2 : 1,
                                        pipeline, tensor, 0};
                compare_layout(variant, layout, number, &expected);
                compare_cut_groups(variant, layout, number, &expected);
                number++;
            }
}

int main(int argc, char **argv)
{
    const struct variant variants[] = {{RINGMOE_PRECISION_FP32, 0, 0},
                                       {RINGMOE_PRECISION_FP32, 1, 1},
                                       {RINGMOE_PRECISION_BF16, 1, 0},
                                       {RINGMOE_PRECISION_BF16, 0, 1}};
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    int n_variants = n_ranks > 2 ? 2 : 4;
    for (int i = 0; i < n_variants; i++) compare_layouts(&variants[i]);
    return check_finish("train_layout");
}
