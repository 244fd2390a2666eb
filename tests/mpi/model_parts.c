/* SPDX-License-Identifier: MIT
 *
 * Every layout of the ranks over the four axes begins with the same model, drawn or loaded: a
 * rank's parts are those rows or columns of the one-rank model, at odd offsets too.
 */
#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "train_world.h"

#include "model/parts.h"

static int n_ranks, rank;
static char folder[128];

static ringmoe_model_config odd_config(bool tied)
{
    ringmoe_model_config config = small_config();
    config.intermediate_size = 42; /* halves of 21 columns: odd offsets in every other row */
    config.dense_intermediate_size = 82;
    config.tie_word_embeddings = tied;
    return config;
}

/* A model with initial weights. */
static void draw(struct world *world, const ringmoe_model_config *config, ringmoe_model **model)
{
    rm_model_settings settings = {.use = RM_MODEL_INFERENCE, .max_tokens = 8};
    CHECK_STATUS(rm_model_create(world->mesh, config, &settings, model), RINGMOE_OK,
                 ringmoe_context_error(world->context));
    rm_model_initialize(*model, 17);
    CHECK(rm_model_tie_head(*model) == RINGMOE_OK);
}

/* This rank's part of a parameter, of which `whole` has every element. */
static void check_part(const ringmoe_mesh *mesh, const rm_parameter *parameter,
                       const rm_real *own, const rm_real *whole)
{
    rm_parameter_part part =
        rm_parameter_part_of(parameter, mesh->tensor.size, mesh->tensor.rank);
    int64_t different = 0;
    for (int64_t at = 0; at < part.n_elements; at++) {
        int64_t row = part.first_row + at / part.n_columns;
        int64_t column = part.first_column + at % part.n_columns;
        different += own[at] != whole[row * parameter->shape[1] + column];
    }
    if (different) check_report("same values", __FILE__, __LINE__, parameter->name);
}

static void check_model(const ringmoe_mesh *mesh, const ringmoe_model *model,
                        const ringmoe_model *whole)
{
    const rm_parameter_table *table = rm_model_parameters(model);
    const rm_parameter_table *all = rm_model_parameters(whole);
    int64_t n_held = 0;
    CHECK(table->n_parameters == all->n_parameters);
    for (int i = 0; i < table->n_parameters; i++) {
        if (!rm_model_holds(model, &table->parameters[i])) continue;
        check_part(mesh, &table->parameters[i], rm_model_weights(model, &table->parameters[i]),
                   rm_model_weights(whole, &all->parameters[i]));
        n_held++;
    }
    CHECK(n_held > 0);
}

static void check_layout(struct layout layout, bool tied)
{
    struct world world, alone;
    ringmoe_model *model, *whole;
    bool changes;
    ringmoe_model_config config = odd_config(tied);
    world_open(&alone, MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1},
               RINGMOE_PRECISION_FP32);
    world_open(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_FP32);
    draw(&alone, &config, &whole);
    draw(&world, &config, &model);
    check_model(world.mesh, model, whole);
    ringmoe_model_destroy(&model);
    ringmoe_model_destroy(&whole);

    draw(&alone, &config, &whole);
    draw(&world, &config, &model);
    CHECK_STATUS(rm_model_read_weights(whole, folder, &changes), RINGMOE_OK,
                 ringmoe_context_error(alone.context));
    CHECK(rm_model_tie_head(whole) == RINGMOE_OK);
    CHECK_STATUS(rm_model_read_weights(model, folder, &changes), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(rm_model_tie_head(model) == RINGMOE_OK);
    check_model(world.mesh, model, whole);
    ringmoe_model_destroy(&model);
    ringmoe_model_destroy(&whole);
    world_close(&world);
    world_close(&alone);
}

/* One rank alone writes what all of them load. */
static void write_folder(bool tied)
{
    struct world alone;
    ringmoe_model_config config = odd_config(tied);
    ringmoe_train_settings settings = small_settings();
    if (rank == 0) {
        world_open(&alone, MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1},
                   RINGMOE_PRECISION_FP32);
        CHECK_STATUS(world_train(&alone, &config, &settings), RINGMOE_OK,
                     ringmoe_context_error(alone.context));
        CHECK_STATUS(ringmoe_trainer_step(alone.trainer, NULL), RINGMOE_OK,
                     ringmoe_context_error(alone.context));
        CHECK_STATUS(ringmoe_trainer_save(alone.trainer, folder), RINGMOE_OK,
                     ringmoe_context_error(alone.context));
        world_close(&alone);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

/* Whatever its files are called. */
static void remove_folder(void)
{
    char path[sizeof folder + NAME_MAX + 2];
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != 0) return;
    DIR *open_folder = opendir(folder);
    if (!open_folder) {
        check_report("opendir", __FILE__, __LINE__, folder);
        return;
    }
    for (struct dirent *entry; (entry = readdir(open_folder));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        CHECK(unlink(path) == 0);
    }
    closedir(open_folder);
    CHECK(rmdir(folder) == 0);
}

int main(int argc, char **argv)
{
    const char *base = getenv("TMPDIR");
    struct layout layouts[MAX_LAYOUTS];
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    snprintf(folder, sizeof folder, "%s/ringmoe-parts-XXXXXX", base ? base : "/tmp");
    if (rank == 0 && !mkdtemp(folder)) check_report("mkdtemp", __FILE__, __LINE__, folder);
    MPI_Bcast(folder, sizeof folder, MPI_CHAR, 0, MPI_COMM_WORLD);
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    for (int tied = 0; tied < 2; tied++) {
        write_folder(tied);
        for (int i = 0; i < n_layouts; i++) check_layout(layouts[i], tied);
    }
    remove_folder();
    return check_finish("model_parts");
}
