/* SPDX-License-Identifier: MIT
 *
 * What is refused, alike on every rank: settings and data that differ or do not fit, text that
 * is too short, and losses that are no numbers, after which the state is that before the step.
 */
#include "train_world.h"

#include <math.h>

static int n_ranks, rank;

static void check_refused(const ringmoe_model_config *config,
                          const ringmoe_train_settings *settings, ringmoe_status expected,
                          const char *message)
{
    struct world world;
    world_open(&world, MPI_COMM_WORLD,
               (struct layout){.data = n_ranks, .expert = 1, .threads = 1},
               RINGMOE_PRECISION_FP32);
    CHECK_STATUS(world_train(&world, config, settings), expected,
                 ringmoe_context_error(world.context));
    CHECK(world.trainer == NULL);
    if (!strstr(ringmoe_context_error(world.context), message))
        check_report("message", __FILE__, __LINE__, ringmoe_context_error(world.context));
    world_close(&world);
}

static void settings_are_refused(void)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    settings.clip_norm = -1;
    check_refused(&config, &settings, RINGMOE_ERROR_ARGUMENT, "clip_norm is -1");
    settings = small_settings();
    settings.global_batch = 14;
    if (n_ranks > 1) check_refused(&config, &settings, RINGMOE_ERROR_LAYOUT, "7 microbatches");
    settings = small_settings();
    config.vocab_size = 100;
    check_refused(&config, &settings, RINGMOE_ERROR_FORMAT, "below the model's vocab_size");
    config = small_config();
    config.hidden_size = -1;
    check_refused(&config, &settings, RINGMOE_ERROR_ARGUMENT, "hidden_size is -1");
    config = small_config();
    config.max_position_embeddings = 5000;
    settings.seq_len = 2000;
    check_refused(&config, &settings, RINGMOE_ERROR_FORMAT, "has 2000 tokens");
}

static void differing_ranks_are_refused(void)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    if (n_ranks == 1) return;
    if (rank == n_ranks - 1) settings.lr = 0.5;
    check_refused(&config, &settings, RINGMOE_ERROR_MISMATCH, "lr is 0.5 here and 0.01");
    settings = small_settings();
    if (rank == n_ranks - 1) snprintf(settings.schedule, sizeof settings.schedule, "gpipe");
    check_refused(&config, &settings, RINGMOE_ERROR_MISMATCH,
                  "schedule is gpipe here and left open on rank 0");
    settings = small_settings();
    if (rank == 1) settings.chunks = 2;
    check_refused(&config, &settings, RINGMOE_ERROR_MISMATCH, "chunks is 2 here and 0");
    settings = small_settings();
    if (rank == 1) config.is_dense_layer[0] = 1;
    check_refused(&config, &settings, RINGMOE_ERROR_MISMATCH, "layer_kinds");
}

static void differing_data_are_refused(void)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    struct world world;
    if (n_ranks == 1) return;
    world_open(&world, MPI_COMM_WORLD,
               (struct layout){.data = 1, .expert = n_ranks, .threads = 1},
               RINGMOE_PRECISION_FP32);
    ringmoe_tokens_destroy(&world.tokens);
    CHECK(ringmoe_tokens_synthetic(world.context, rank == 1, 2000, &world.tokens) == 0);
    CHECK(world_train(&world, &config, &settings) == RINGMOE_ERROR_MISMATCH);
    CHECK_TEXT(ringmoe_context_error(world.context), "data_hash");
    world_close(&world);
}

static void check_not_evaluated(struct world *world, int64_t seq_len, int64_t microbatch,
                                ringmoe_status expected, const char *message)
{
    ringmoe_eval_result result;
    ringmoe_model *model = ringmoe_trainer_model(world->trainer);
    CHECK_STATUS(ringmoe_model_evaluate(model, world->tokens, seq_len, microbatch, 0, &result),
                 expected, ringmoe_context_error(world->context));
    if (!strstr(ringmoe_context_error(world->context), message))
        check_report(message, __FILE__, __LINE__, ringmoe_context_error(world->context));
}

static void evaluations_are_refused(void)
{
    struct world world;
    world_create(&world, MPI_COMM_WORLD,
                 (struct layout){.data = 1, .expert = n_ranks, .threads = 1},
                 RINGMOE_PRECISION_FP32);
    check_not_evaluated(&world, 0, 1, RINGMOE_ERROR_ARGUMENT, "seq_len is 0");
    check_not_evaluated(&world, 12, 3, RINGMOE_ERROR_ARGUMENT, "it must be 1..2");
    if (n_ranks > 1)
        check_not_evaluated(&world, 10 + rank % 2, 2, RINGMOE_ERROR_MISMATCH, "seq_len");
    ringmoe_tokens_destroy(&world.tokens);
    CHECK(ringmoe_tokens_synthetic(world.context, 1, 12, &world.tokens) == 0);
    check_not_evaluated(&world, 12, 1, RINGMOE_ERROR_FORMAT, "has 12 tokens");
    world_close(&world);
}

/* The rate is so high that the weights after the first step give no finite loss. */
static void numbers_that_overflow_stop_the_run(struct layout layout)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    ringmoe_step_metrics metrics;
    struct world world;
    char before[17], after[17];
    settings.lr = 1e30;
    settings.warmup_steps = 0;
    world_open(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_FP32);
    CHECK_STATUS(world_train(&world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_step(world.trainer, &metrics) == RINGMOE_OK);
    CHECK(ringmoe_trainer_weights_hash(world.trainer, before) == RINGMOE_OK);
    for (int attempt = 0; attempt < 2; attempt++) {
        CHECK(ringmoe_trainer_step(world.trainer, &metrics) == RINGMOE_ERROR_NUMERIC);
        CHECK_TEXT(ringmoe_context_error(world.context), "step 2");
        CHECK_TEXT(ringmoe_context_error(world.context), "layer");
        CHECK(metrics.step == 2 && !isfinite(metrics.loss) && isnan(metrics.grad_norm));
        CHECK(ringmoe_trainer_steps_done(world.trainer) == 1);
        CHECK(ringmoe_trainer_weights_hash(world.trainer, after) == RINGMOE_OK);
        CHECK(!strcmp(before, after));
    }
    check_not_evaluated(&world, 12, 2, RINGMOE_ERROR_NUMERIC, "come from layer");
    world_close(&world);
}

int main(int argc, char **argv)
{
    struct layout layouts[MAX_LAYOUTS];
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    settings_are_refused();
    differing_ranks_are_refused();
    differing_data_are_refused();
    evaluations_are_refused();
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    for (int i = 0; i < n_layouts; i++) numbers_that_overflow_stop_the_run(layouts[i]);
    return check_finish("train_failures");
}
