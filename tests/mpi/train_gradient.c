/* SPDX-License-Identifier: MIT
 *
 * The gradient check on every layout: gradients are those of the loss, of the whole model and
 * of each kind of parameter, the weights stay what they were, and the numbers are the same on
 * one rank. What a step tells beside its metrics is checked along with it.
 */
#include "train/trainer.h"
#include "train_world.h"

#include <math.h>

static int n_ranks;

/* Every token goes to every expert: the loss jumps where one changes its experts. */
static ringmoe_model_config config_of_test(void)
{
    ringmoe_model_config config = small_config();
    config.tie_word_embeddings = 1;
    config.num_experts_per_tok = config.num_local_experts;
    config.capacity_factor = 0;
    config.router_bias_rate = 0;
    config.router_aux_loss_coef = 0.05;
    return config;
}

/* The gradient's and the losses' slope along a direction. */
struct slope {
    double from_gradient, from_losses;
};

static struct slope slope_of(struct world *world, int parameter, ringmoe_direction direction,
                             double step)
{
    struct slope slope = {0};
    CHECK_STATUS(ringmoe_trainer_check_gradient(world->trainer, parameter, direction, step,
                                                &slope.from_gradient, &slope.from_losses),
                 RINGMOE_OK, ringmoe_context_error(world->context));
    return slope;
}

/* Of the whole model and of a few parameters of each kind, along the gradient and along signs
 * that have nothing to do with it: there a part that is missing from the gradient shows. */
enum { STRIDE = 7, MOST_SLOPES = 64 };

static int64_t count_elements(const struct world *world, int parameter)
{
    const rm_parameter_table *table = rm_model_parameters(world->trainer->model);
    int64_t n = 0;
    for (int i = 0; i < table->n_parameters; i++)
        if ((parameter < 0 || i == parameter) && !table->parameters[i].tied)
            n += table->parameters[i].n_elements;
    return n;
}

static void check_slope(const struct slope *slope, double limit, const char *what,
                        int parameter)
{
    double difference = fabs(slope->from_gradient - slope->from_losses);
    if (difference > limit)
        fprintf(stderr, "parameter %d, along %s: %g by the gradient, %g by the losses\n",
                parameter, what, slope->from_gradient, slope->from_losses);
    CHECK(difference <= limit);
}

static int check_slopes(struct world *world, struct slope slopes[MOST_SLOPES])
{
    int n = 0, n_parameters = ringmoe_trainer_parameter_count(world->trainer);
    for (int parameter = -1; parameter < n_parameters && n < MOST_SLOPES;
         parameter += STRIDE, n += 2) {
        double root = sqrt((double)count_elements(world, parameter)), way = 1e-3 * root;
        slopes[n] = slope_of(world, parameter, RINGMOE_DIRECTION_GRADIENT, 2e-2);
        slopes[n + 1] = slope_of(world, parameter, RINGMOE_DIRECTION_SIGNS, way);
        double length = slopes[n].from_gradient;
        CHECK(length > 0);
        check_slope(&slopes[n], 0.05 * length + 2e-3, "itself", parameter);
        check_slope(&slopes[n + 1], 0.1 * length / root + 1e-6 / way, "signs", parameter);
    }
    return n;
}

static void check_telemetry(struct world *world, const ringmoe_step_metrics *metrics)
{
    double wait_ms[64], worst = 0;
    ringmoe_layer_load load;
    const ringmoe_model_config *config = ringmoe_model_get_config(world->trainer->model);
    int n_layers = config->num_hidden_layers;
    int64_t choices = config->num_experts_per_tok * metrics->tokens;
    for (int layer = 0; layer < n_layers; layer++) {
        CHECK(ringmoe_trainer_layer_load(world->trainer, layer, &load) == RINGMOE_OK);
        CHECK(load.n_tokens == (layer == 1 ? 0 : choices));
        if (load.max_over_mean > worst) worst = load.max_over_mean;
    }
    CHECK(worst == metrics->load_max_over_mean);
    CHECK(ringmoe_trainer_layer_load(world->trainer, n_layers, &load) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK(ringmoe_trainer_waits(world->trainer, wait_ms) == RINGMOE_OK);
    int size;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    CHECK(wait_ms[0] >= 0);
    CHECK(ringmoe_trainer_optimizer_bytes(world->trainer) > 0);
}

/* Back in the program a rank is in no pass, and may take as long as it likes. */
static void check_outside(const struct world *world)
{
    CHECK(world->context->progress.here.operation == RM_OPERATION_NONE);
}

static void check_layout(MPI_Comm comm, struct layout layout, struct slope slopes[MOST_SLOPES],
                         int *n_slopes)
{
    struct world world;
    ringmoe_model_config config = config_of_test();
    ringmoe_train_settings settings = small_settings();
    ringmoe_step_metrics metrics;
    char before[17], after[17];
    world_open(&world, comm, layout, RINGMOE_PRECISION_FP32);
    settings.reproducible = layout.tensor > 1;
    if (n_ranks % 3 == 0) settings.global_batch = 24;
    CHECK_STATUS(world_train(&world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    check_outside(&world);
    CHECK(ringmoe_trainer_step(world.trainer, &metrics) == RINGMOE_OK);
    check_outside(&world);
    check_telemetry(&world, &metrics);
    CHECK(ringmoe_trainer_weights_hash(world.trainer, before) == RINGMOE_OK);
    *n_slopes = check_slopes(&world, slopes);
    check_outside(&world);
    CHECK(ringmoe_trainer_weights_hash(world.trainer, after) == RINGMOE_OK);
    CHECK(!strcmp(before, after));
    CHECK(ringmoe_trainer_steps_done(world.trainer) == 1);
    world_close(&world);
}

static void refusals(void)
{
    struct world world;
    double number;
    world_create(&world, MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1},
                 RINGMOE_PRECISION_FP32);
    const ringmoe_direction itself = RINGMOE_DIRECTION_GRADIENT;
    CHECK(ringmoe_trainer_check_gradient(world.trainer, -2, itself, 1, &number, &number) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK_TEXT(ringmoe_context_error(world.context), "the parameter must be -1..");
    CHECK(ringmoe_trainer_check_gradient(world.trainer, 0, itself, 0, &number, &number) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK(ringmoe_trainer_check_gradient(world.trainer, 0, itself, 1, NULL, &number) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK(ringmoe_trainer_check_gradient(world.trainer, 0, (ringmoe_direction)2, 1, &number,
                                         &number) == RINGMOE_ERROR_ARGUMENT);
    world_close(&world);
}

/* Ranks that ask for different things are told so. */
static void check_mismatches(struct layout layout)
{
    struct world world;
    double number;
    static ringmoe_parameter_digest digests[128];
    world_create(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_FP32);
    CHECK(ringmoe_trainer_step(world.trainer, NULL) == RINGMOE_OK);
    int odd = ringmoe_context_rank(world.context) == n_ranks - 1;
    CHECK(ringmoe_trainer_check_gradient(world.trainer, odd, RINGMOE_DIRECTION_SIGNS, 1e-2,
                                         &number, &number) == RINGMOE_ERROR_MISMATCH);
    CHECK_TEXT(ringmoe_context_error(world.context), "give all ranks the same");
    CHECK(ringmoe_trainer_check_gradient(world.trainer, 0, (ringmoe_direction)odd, 1e-2,
                                         &number, &number) == RINGMOE_ERROR_MISMATCH);
    CHECK(ringmoe_trainer_check_gradient(world.trainer, 0, RINGMOE_DIRECTION_SIGNS,
                                         odd ? 1e-2 : 2e-2, &number,
                                         &number) == RINGMOE_ERROR_MISMATCH);
    CHECK(ringmoe_trainer_digests(world.trainer, (ringmoe_digest_kind)odd, digests) ==
          RINGMOE_ERROR_MISMATCH);
    world_close(&world);
}

int main(int argc, char **argv)
{
    struct slope expected[MOST_SLOPES], slopes[MOST_SLOPES];
    struct layout layouts[MAX_LAYOUTS];
    int n_expected, n_slopes;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    refusals();
    check_layout(MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1}, expected,
                 &n_expected);
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    if (n_ranks > 1) check_mismatches(layouts[0]);
    for (int i = 0; i < n_layouts; i++) {
        check_layout(MPI_COMM_WORLD, layouts[i], slopes, &n_slopes);
        CHECK(n_slopes == n_expected);
        if (layouts[i].tensor > 1) continue;
        for (int s = 0; s < n_slopes; s++) {
            CHECK(slopes[s].from_gradient == expected[s].from_gradient);
            CHECK(slopes[s].from_losses == expected[s].from_losses);
        }
    }
    return check_finish("train_gradient");
}
