/* SPDX-License-Identifier: MIT
 *
 * The layout does not change the answer: losses, norms, weights and evaluations of every layout
 * of the ranks at hand are those of a run on one rank with one thread, to the last bit.
 */
#include "train_world.h"

#include <math.h>

static int n_ranks;

static void check_evaluation(struct world *world, ringmoe_eval_result expected)
{
    ringmoe_eval_result result;
    CHECK_STATUS(ringmoe_model_evaluate(ringmoe_trainer_model(world->trainer), world->tokens,
                                        12, 2, 13, &result),
                 RINGMOE_OK, ringmoe_context_error(world->context));
    CHECK(result.tokens == 13 * 12 && result.tokens == expected.tokens);
    CHECK(result.loss == expected.loss);
    CHECK(result.perplexity == expected.perplexity);
    CHECK(result.bits_per_byte == expected.bits_per_byte);
}

static void run_alone(ringmoe_precision precision, struct curve *curve,
                      ringmoe_eval_result *evaluation)
{
    struct world alone;
    world_create(&alone, MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1},
                 precision);
    world_run(&alone, 0, CURVE_STEPS, curve);
    CHECK(ringmoe_model_evaluate(ringmoe_trainer_model(alone.trainer), alone.tokens, 12, 2, 13,
                                 evaluation) == RINGMOE_OK);
    world_close(&alone);
}

static void compare_layouts(ringmoe_precision precision)
{
    struct curve expected, curve;
    ringmoe_eval_result evaluation;
    struct layout layouts[MAX_LAYOUTS];
    run_alone(precision, &expected, &evaluation);
    CHECK(fabs(expected.steps[0].loss - log(256)) < 1);
    CHECK(expected.steps[CURVE_STEPS - 1].loss < expected.steps[0].loss - 0.1);
    int n_layouts = layouts_of(n_ranks, layouts);
    for (int i = 0; i < n_layouts; i++) {
        struct world world;
        world_create(&world, MPI_COMM_WORLD, layouts[i], precision);
        world_run(&world, 0, CURVE_STEPS, &curve);
        check_same_steps(&curve, &expected, 0, CURVE_STEPS);
        CHECK(curve.steps[0].step_ms > 0 && curve.steps[0].compute_ms > 0);
        check_evaluation(&world, evaluation);
        world_close(&world);
    }
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    compare_layouts(RINGMOE_PRECISION_FP32);
    compare_layouts(RINGMOE_PRECISION_BF16);
    return check_finish("train_layout");
}
