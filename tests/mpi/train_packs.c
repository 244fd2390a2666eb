/* SPDX-License-Identifier: MIT
 *
 * The packed forms after training steps are those of a fresh packing of all matrices, byte for
 * byte, on every layout; each row was packed once, each weight updated once.
 */
#include <stdlib.h>

#include "model/state.h"
#include "train/trainer.h"
#include "train_world.h"

static int n_ranks;

/* Matrices that are no multiple of a panel, and shards that end within strips. */
static ringmoe_model_config odd_config(void)
{
    ringmoe_model_config config = small_config();
    config.hidden_size = 74;
    config.intermediate_size = 37;
    config.dense_intermediate_size = 331;
    config.head_dim = 6;
    return config;
}

static void *allocate(size_t bytes)
{
    void *memory = calloc(bytes + 1, 1);
    CHECK(memory != NULL);
    return memory;
}

/* Marks what the strips update, by element of a space. */
static void check_updates(const ringmoe_trainer *trainer, rm_space space)
{
    const rm_strips *strips = &trainer->optimizer.strips;
    const rm_shard *shard = &trainer->shards[space];
    char *updates = allocate((size_t)shard->n_elements);
    for (int64_t i = 0; i < strips->n_own; i++) {
        const rm_strip *strip = &strips->own[i];
        if (strip->space != space) continue;
        CHECK(strip->first >= shard->first);
        CHECK(strip->first + strip->n_elements <= shard->first + shard->n_elements);
        for (int64_t e = 0; e < strip->n_elements; e++)
            updates[strip->first - shard->first + e]++;
    }
    for (int64_t e = 0; e < shard->n_elements; e++) CHECK(updates[e] == (e < shard->n_updated));
    free(updates);
}

static void mark_rows(const rm_strip *strips, int64_t n_strips, const rm_matrix *matrix,
                      char *packs)
{
    for (int64_t i = 0; i < n_strips; i++)
        for (int64_t row = 0; strips[i].matrix == matrix && row < strips[i].n_rows; row++)
            packs[strips[i].row + row]++;
}

/* A tied head is packed as a whole, from the embedding's weights. */
static bool is_tied_head(const ringmoe_trainer *trainer, const rm_matrix *matrix)
{
    return matrix == trainer->tied.matrix;
}

static void check_packs(const ringmoe_trainer *trainer)
{
    int n_matrices;
    rm_matrix *const *matrices = rm_model_matrices(trainer->model, &n_matrices);
    const rm_strips *strips = &trainer->optimizer.strips;
    for (int i = 0; i < n_matrices; i++) {
        char *packs = allocate((size_t)matrices[i]->out);
        mark_rows(strips->own, strips->n_own, matrices[i], packs);
        mark_rows(strips->rest, strips->n_rest, matrices[i], packs);
        for (int64_t row = 0; row < matrices[i]->out; row++)
            CHECK(packs[row] == !is_tied_head(trainer, matrices[i]));
        free(packs);
    }
}

static void check_step(struct world *world)
{
    ringmoe_step_metrics metrics;
    CHECK_STATUS(ringmoe_trainer_step(world->trainer, &metrics), RINGMOE_OK,
                 ringmoe_context_error(world->context));
    const rm_arena *arena = &world->trainer->model->packed_arena;
    char *packed = allocate(arena->used);
    memcpy(packed, arena->base, arena->used);
    rm_model_pack(world->trainer->model);
    CHECK(memcmp(packed, arena->base, arena->used) == 0);
    free(packed);
}

static void check_layout(struct layout layout, ringmoe_precision precision, int tied)
{
    ringmoe_model_config config = odd_config();
    ringmoe_train_settings settings = small_settings();
    struct world world;
    config.tie_word_embeddings = tied;
    world_open(&world, MPI_COMM_WORLD, layout, precision);
    CHECK_STATUS(world_train(&world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    for (int space = 0; space < world.trainer->n_spaces; space++)
        check_updates(world.trainer, space);
    check_packs(world.trainer);
    CHECK(n_ranks > 1 || world.trainer->optimizer.strips.n_rest == 0);
    for (int step = 0; step < 2; step++) check_step(&world);
    world_close(&world);
}

int main(int argc, char **argv)
{
    struct layout layouts[MAX_LAYOUTS];
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    for (int i = 0; i < n_layouts; i++) {
        check_layout(layouts[i], RINGMOE_PRECISION_FP32, i % 2);
        check_layout(layouts[i], RINGMOE_PRECISION_BF16, 1 - i % 2);
    }
    return check_finish("train_packs");
}
