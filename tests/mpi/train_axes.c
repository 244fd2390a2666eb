/* SPDX-License-Identifier: MIT
 *
 * All four axes at once, P 2 x D 2 x E 2 x T 2, with the schedules and recomputations that
 * differ most: losses, norms, weights of one rank, to the last bit. (Every layout of up to 8
 * ranks, and so every pair and every three axes, is in train_layout.c.)
 */
#include "train/trainer.h"
#include "train_world.h"

enum { STEPS = 2 };

struct way {
    const char *schedule;
    int chunks;
    ringmoe_recompute recompute;
};

/* Four layers, two of them in each stage. */
static void run(MPI_Comm comm, struct layout layout, const struct way *way, struct curve *curve)
{
    struct world world;
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    config.num_hidden_layers = 4;
    config.tie_word_embeddings = 1;
    settings.reproducible = 1;
    settings.chunks = way->chunks;
    settings.recompute = way->recompute;
    snprintf(settings.schedule, sizeof settings.schedule, "%s", way->schedule);
    world_open(&world, comm, layout, RINGMOE_PRECISION_FP32);
    CHECK_STATUS(world_train(&world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    rm_model_poison(world.trainer->model);
    world_run(&world, 0, STEPS, curve);
    world_close(&world);
}

int main(int argc, char **argv)
{
    const struct way serial = {.schedule = ""};
    const struct way ways[] = {{"1f1b", 1, RINGMOE_RECOMPUTE_NONE},
                               {"zb-h1", 2, RINGMOE_RECOMPUTE_SELECTIVE}};
    const struct layout alone = {1, 1, 1, 1, 1, 0}, all = {2, 2, 1, 2, 2, 0};
    struct curve expected, found;
    int n_ranks;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    CHECK(n_ranks == 16);
    run(MPI_COMM_SELF, alone, &serial, &expected);
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        run(MPI_COMM_WORLD, all, &ways[i], &found);
        check_same_steps(&found, &expected, 0, STEPS);
    }
    return check_finish("train_axes");
}
