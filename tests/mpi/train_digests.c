/* SPDX-License-Identifier: MIT
 *
 * Digests of each parameter's weights and gradients: the same on every layout as on one rank,
 * and what they say of a parameter is true.
 */
#include <math.h>
#include <stdlib.h>

#include "train_world.h"

#include "train/trainer.h"

enum { MOST_PARAMETERS = 128 };

/* Of a run of one step. */
struct digests {
    int n;
    ringmoe_parameter_digest weights[MOST_PARAMETERS], gradients[MOST_PARAMETERS];
};

static void open_run(struct world *world, MPI_Comm comm, struct layout layout, bool tied)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    config.tie_word_embeddings = tied;
    settings.reproducible = true;
    world_open(world, comm, layout, RINGMOE_PRECISION_FP32);
    CHECK_STATUS(world_train(world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

static void take_digests(struct world *world, struct digests *digests)
{
    digests->n = ringmoe_trainer_parameter_count(world->trainer);
    CHECK(digests->n > 0 && digests->n <= MOST_PARAMETERS);
    CHECK(ringmoe_trainer_digests(world->trainer, RINGMOE_DIGEST_GRADIENTS,
                                  digests->gradients) == RINGMOE_ERROR_STATE);
    CHECK_STATUS(ringmoe_trainer_step(world->trainer, NULL), RINGMOE_OK,
                 ringmoe_context_error(world->context));
    CHECK_STATUS(
        ringmoe_trainer_digests(world->trainer, RINGMOE_DIGEST_WEIGHTS, digests->weights),
        RINGMOE_OK, ringmoe_context_error(world->context));
    CHECK_STATUS(
        ringmoe_trainer_digests(world->trainer, RINGMOE_DIGEST_GRADIENTS, digests->gradients),
        RINGMOE_OK, ringmoe_context_error(world->context));
}

static void check_same(const ringmoe_parameter_digest *a, const ringmoe_parameter_digest *b)
{
    bool same = !strcmp(a->name, b->name) && !strcmp(a->hash, b->hash) &&
                a->n_elements == b->n_elements && a->norm == b->norm &&
                a->projection == b->projection;
    if (!same) check_report("same digest", __FILE__, __LINE__, a->name);
}

/* A one-rank model has each parameter whole. */
static void check_norms(const struct world *alone, const struct digests *digests)
{
    const ringmoe_model *model = alone->trainer->model;
    const rm_parameter_table *table = rm_model_parameters(model);
    int at = 0;
    double all = 0;
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (parameter->tied) continue;
        const rm_real *values = rm_model_weights(model, parameter);
        double sum = 0;
        for (int64_t e = 0; e < parameter->n_elements; e++)
            sum += (double)values[e] * (double)values[e];
        CHECK(!strcmp(digests->weights[at].name, parameter->name));
        CHECK(fabs(digests->weights[at].norm - sqrt(sum)) <= 1e-12 * sqrt(sum));
        CHECK(fabs(digests->weights[at].projection) <=
              sqrt(sum * (double)parameter->n_elements));
        all += digests->gradients[at].norm * digests->gradients[at].norm;
        at++;
    }
    CHECK(at == digests->n && isfinite(all) && all > 0);
}

/* One weight changed in one bit changes its parameter's hash, and no other. */
static void check_sensitivity(struct world *alone, const struct digests *digests)
{
    static ringmoe_parameter_digest changed[MOST_PARAMETERS];
    const rm_parameter *second = &rm_model_parameters(alone->trainer->model)->parameters[1];
    rm_real *values = rm_model_weights(alone->trainer->model, second);
    uint32_t bits;
    memcpy(&bits, &values[3], sizeof bits);
    bits ^= 1;
    memcpy(&values[3], &bits, sizeof bits);
    CHECK(ringmoe_trainer_digests(alone->trainer, RINGMOE_DIGEST_WEIGHTS, changed) ==
          RINGMOE_OK);
    for (int i = 0; i < digests->n; i++)
        CHECK((strcmp(changed[i].hash, digests->weights[i].hash) != 0) == (i == 1));
}

static void compare_layouts(bool tied)
{
    static struct digests expected, found;
    struct layout layouts[MAX_LAYOUTS];
    struct world world;
    int n_ranks;
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    open_run(&world, MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1},
             tied);
    take_digests(&world, &expected);
    check_norms(&world, &expected);
    check_sensitivity(&world, &expected);
    world_close(&world);
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    for (int i = 0; i < n_layouts; i++) {
        open_run(&world, MPI_COMM_WORLD, layouts[i], tied);
        take_digests(&world, &found);
        CHECK(found.n == expected.n);
        for (int p = 0; p < expected.n; p++) {
            check_same(&found.weights[p], &expected.weights[p]);
            check_same(&found.gradients[p], &expected.gradients[p]);
        }
        world_close(&world);
    }
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    compare_layouts(true);
    compare_layouts(false);
    return check_finish("train_digests");
}
