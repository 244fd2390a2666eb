/* SPDX-License-Identifier: MIT */
#include "train/gradients.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

static rm_tree_shape shape_of(const rm_gradients *gradients, int space, int n_leaves)
{
    const ringmoe_mesh *mesh = gradients->mesh;
    const rm_shard *shard = &gradients->shards[space];
    bool dense = shard->place.kind == RM_KIND_DENSE;
    return (rm_tree_shape){
        .n_elements = shard->bounds[shard->place.axis_size],
        .n_leaves = n_leaves,
        .leaves_per_source = n_leaves / mesh->dense.size,
        .first_source = dense ? mesh->dense.rank : mesh->data.rank * mesh->expert.size,
        .n_sources = dense ? 1 : mesh->expert.size,
        .number = space,
    };
}

static int64_t n_gathered(const rm_gradients *gradients)
{
    return gradients->n_model_blocks +
           (int64_t)gradients->mesh->context->world.size * RM_N_RANK_FIGURES;
}

static ringmoe_status take_memory(rm_gradients *gradients, int n_leaves, rm_error *error)
{
    rm_arena *arena = &gradients->arena;
    for (int s = 0; s < gradients->n_spaces; s++) {
        rm_tree_shape shape = shape_of(gradients, s, n_leaves);
        if (shape.n_elements == 0) continue;
        RM_TRY(rm_tree_layout(&shape, arena, &gradients->trees[s], error));
    }
    gradients->expert_sinks = RM_TAKE(arena, gradients->mesh->expert.size, rm_sink);
    gradients->block_squares = RM_TAKE(arena, n_gathered(gradients), double);
    return RINGMOE_OK;
}

ringmoe_status rm_gradients_create(rm_gradients *gradients, const ringmoe_mesh *mesh,
                                   const rm_parameter_table *table, const rm_shard *shards,
                                   int n_spaces, int n_leaves, rm_error *error)
{
    int n_slices = shards[0].place.n_slices;
    *gradients = (rm_gradients){.mesh = mesh,
                                .shards = shards,
                                .n_spaces = n_spaces,
                                .n_slices = n_slices,
                                .n_steps = n_leaves / mesh->dense.size,
                                .n_model_blocks = rm_model_blocks(table, n_slices)};
    RM_TRY(take_memory(gradients, n_leaves, error));
    RM_TRY(rm_arena_reserve(&gradients->arena, gradients->arena.used, error));
    RM_TRY(take_memory(gradients, n_leaves, error));
    gradients->figures = gradients->block_squares + gradients->n_model_blocks;
    return RINGMOE_OK;
}

void rm_gradients_free(rm_gradients *gradients)
{
    rm_gradients_clear(gradients);
    rm_arena_free(&gradients->arena);
    *gradients = (rm_gradients){0};
}

void rm_gradients_begin(rm_gradients *gradients, int chunk, int step)
{
    rm_tree *const *trees = gradients->trees + chunk * RM_N_KINDS;
    gradients->totals[chunk * RM_N_KINDS + RM_KIND_DENSE] = NULL;
    gradients->totals[chunk * RM_N_KINDS + RM_KIND_EXPERT] = NULL;
    if (trees[RM_KIND_DENSE]) rm_tree_begin(trees[RM_KIND_DENSE], step, &gradients->dense_sink);
    if (trees[RM_KIND_EXPERT])
        rm_tree_begin(trees[RM_KIND_EXPERT], step, gradients->expert_sinks);
}

static ringmoe_status start_reduction(rm_gradients *gradients, int space)
{
    ringmoe_context *context = gradients->mesh->context;
    const rm_shard *shard = &gradients->shards[space];
    rm_tree *tree = gradients->trees[space];
    gradients->totals[space] = rm_tree_shard_in_place(tree, shard->first);
    return rm_tree_reduce_start(tree, rm_kind_axis(gradients->mesh, shard->place.kind),
                                shard->bounds, &context->compute, gradients->totals[space],
                                &context->error);
}

ringmoe_status rm_gradients_end(rm_gradients *gradients, int chunk, int step)
{
    for (int kind = 0; kind < RM_N_KINDS; kind++) {
        int space = chunk * RM_N_KINDS + kind;
        if (!gradients->trees[space]) continue;
        rm_tree_end(gradients->trees[space], &gradients->mesh->context->compute);
        if (step == gradients->n_steps - 1) RM_TRY(start_reduction(gradients, space));
    }
    return RINGMOE_OK;
}

/* Every reduction is waited for, whatever became of another one. */
ringmoe_status rm_gradients_finish(rm_gradients *gradients)
{
    ringmoe_status first = RINGMOE_OK;
    for (int s = 0; s < gradients->n_spaces; s++) {
        if (!gradients->trees[s]) continue;
        rm_error *error = first == RINGMOE_OK ? &gradients->mesh->context->error : NULL;
        ringmoe_status status =
            rm_tree_reduce_finish(gradients->trees[s], &gradients->mesh->context->times, error);
        if (first == RINGMOE_OK) first = status;
    }
    return first;
}

void rm_gradients_clear(rm_gradients *gradients)
{
    for (int s = 0; s < gradients->n_spaces; s++) {
        gradients->totals[s] = NULL;
        if (gradients->trees[s]) rm_tree_clear(gradients->trees[s]);
    }
}

static double square_of_block(const rm_kernels *kernels, const rm_block *block,
                              const rm_real *values)
{
    double sum = 0;
    for (int64_t row = 0; row < block->n_rows; row++)
        sum += kernels->sum_squares(block->row_elements, values + row * block->stride);
    return sum;
}

static void square_blocks(rm_gradients *gradients, const rm_shard *shard, const rm_real *total)
{
    const rm_compute *compute = &gradients->mesh->context->compute;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 4)
    for (int64_t b = 0; b < shard->n_blocks; b++) {
        const rm_block *block = &shard->blocks[b];
        if (block->counts)
            gradients->block_squares[block->number] =
                square_of_block(compute->kernels, block, total + (block->first - shard->first));
    }
}

/* Each block's square and each rank's figures are on one rank and 0 on the others, so the sums
 * over ranks are exact in any order. */
ringmoe_status rm_gradients_norm(rm_gradients *gradients, double *norm)
{
    ringmoe_context *context = gradients->mesh->context;
    const rm_axis *world = &context->world;
    int rank = world->rank;
    double own[RM_N_RANK_FIGURES], sum = 0;
    memcpy(own, gradients->figures, sizeof own);
    memset(gradients->block_squares, 0,
           (size_t)n_gathered(gradients) * sizeof *gradients->block_squares);
    memcpy(gradients->figures + rank * RM_N_RANK_FIGURES, own, sizeof own);
    for (int s = 0; s < gradients->n_spaces; s++)
        if (gradients->trees[s])
            square_blocks(gradients, &gradients->shards[s], gradients->totals[s]);
    double start = rm_clock_seconds();
    RM_TRY(rm_allreduce(world, gradients->block_squares, (int)n_gathered(gradients), MPI_DOUBLE,
                        MPI_SUM, &context->error));
    context->times.wait += rm_clock_seconds() - start;
    for (int64_t b = 0; b < gradients->n_model_blocks; b++) sum += gradients->block_squares[b];
    *norm = sqrt(sum);
    return RINGMOE_OK;
}

int64_t rm_gradients_bad_block(const rm_gradients *gradients)
{
    for (int64_t b = 0; b < gradients->n_model_blocks; b++)
        if (!isfinite(gradients->block_squares[b])) return b;
    return -1;
}

double rm_gradients_squares(const rm_gradients *gradients, const rm_parameter_table *table,
                            int parameter)
{
    double sum = 0;
    int64_t last = rm_first_block(table, gradients->n_slices, parameter + 1);
    for (int64_t b = rm_first_block(table, gradients->n_slices, parameter); b < last; b++)
        sum += gradients->block_squares[b];
    return sum;
}
