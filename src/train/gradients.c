/* SPDX-License-Identifier: MIT */
#include "train/gradients.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"

const rm_axis *rm_space_axis(const ringmoe_mesh *mesh, rm_space space)
{
    return space == RM_SPACE_DENSE ? &mesh->dense : &mesh->data;
}

rm_shard_place rm_mesh_shard_place(const ringmoe_mesh *mesh, rm_space space)
{
    const rm_axis *axis = rm_space_axis(mesh, space);
    return (rm_shard_place){space, mesh->expert.rank, axis->rank, axis->size};
}

static void set_shapes(rm_gradients *gradients, const rm_parameter_table *table, int n_leaves)
{
    const ringmoe_mesh *mesh = gradients->mesh;
    int per_source = n_leaves / mesh->dense.size;
    gradients->shapes[RM_SPACE_DENSE] = (rm_tree_shape){
        table->space_elements[RM_SPACE_DENSE], n_leaves, per_source, mesh->dense.rank, 1, 0};
    gradients->shapes[RM_SPACE_EXPERT] =
        (rm_tree_shape){table->space_elements[RM_SPACE_EXPERT], n_leaves, per_source,
                        mesh->data.rank * mesh->expert.size, mesh->expert.size, 0};
}

static ringmoe_status take_memory(rm_gradients *gradients, rm_arena *arena, rm_error *error)
{
    for (int s = 0; s < RM_N_SPACES; s++) {
        if (gradients->shapes[s].n_elements == 0) continue;
        RM_TRY(rm_tree_layout(&gradients->shapes[s], arena, &gradients->trees[s], error));
    }
    gradients->expert_sinks = RM_TAKE(arena, gradients->mesh->expert.size, rm_sink);
    gradients->block_squares = RM_TAKE(arena, gradients->n_model_blocks, double);
    return RINGMOE_OK;
}

ringmoe_status rm_gradients_create(rm_gradients *gradients, const ringmoe_mesh *mesh,
                                   const rm_parameter_table *table, int n_leaves,
                                   rm_error *error)
{
    *gradients = (rm_gradients){.mesh = mesh, .n_model_blocks = rm_model_blocks(table)};
    set_shapes(gradients, table, n_leaves);
    RM_TRY(take_memory(gradients, &gradients->arena, error));
    RM_TRY(rm_arena_reserve(&gradients->arena, gradients->arena.used, error));
    return take_memory(gradients, &gradients->arena, error);
}

void rm_gradients_free(rm_gradients *gradients)
{
    rm_arena_free(&gradients->arena);
    *gradients = (rm_gradients){0};
}

void rm_gradients_begin(rm_gradients *gradients, int step)
{
    if (gradients->trees[RM_SPACE_DENSE])
        rm_tree_begin(gradients->trees[RM_SPACE_DENSE], step, &gradients->dense_sink);
    if (gradients->trees[RM_SPACE_EXPERT])
        rm_tree_begin(gradients->trees[RM_SPACE_EXPERT], step, gradients->expert_sinks);
}

void rm_gradients_end(rm_gradients *gradients)
{
    for (int s = 0; s < RM_N_SPACES; s++)
        if (gradients->trees[s])
            rm_tree_end(gradients->trees[s], &gradients->mesh->context->compute);
}

void rm_gradients_clear(rm_gradients *gradients)
{
    for (int s = 0; s < RM_N_SPACES; s++)
        if (gradients->trees[s]) rm_tree_clear(gradients->trees[s]);
}

static void square_blocks(rm_gradients *gradients, const rm_shard *shard, const rm_real *total)
{
    const rm_compute *compute = &gradients->mesh->context->compute;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 4)
    for (int64_t b = 0; b < shard->n_blocks; b++) {
        const rm_block *block = &shard->blocks[b];
        gradients->block_squares[block->number] = compute->kernels->sum_squares(
            block->n_elements, total + (block->first - shard->first));
    }
}

/* Each block's square is on exactly one rank and 0 on the others, so the sum over ranks is
 * exact in any order. */
static ringmoe_status gather_squares(rm_gradients *gradients, double *norm)
{
    ringmoe_context *context = gradients->mesh->context;
    double start = rm_clock_seconds(), sum = 0;
    RM_TRY(rm_allreduce(&gradients->mesh->dense, gradients->block_squares,
                        (int)gradients->n_model_blocks, MPI_DOUBLE, MPI_SUM, &context->error));
    context->times.wait += rm_clock_seconds() - start;
    for (int64_t b = 0; b < gradients->n_model_blocks; b++) sum += gradients->block_squares[b];
    *norm = sqrt(sum);
    return RINGMOE_OK;
}

ringmoe_status rm_gradients_reduce(rm_gradients *gradients, const rm_shard shards[RM_N_SPACES],
                                   double *norm)
{
    ringmoe_context *context = gradients->mesh->context;
    memset(gradients->block_squares, 0,
           (size_t)gradients->n_model_blocks * sizeof *gradients->block_squares);
    for (int s = 0; s < RM_N_SPACES; s++) {
        rm_tree *tree = gradients->trees[s];
        if (!tree) continue;
        gradients->totals[s] = rm_tree_shard_in_place(tree, shards[s].first);
        RM_TRY(rm_tree_reduce(tree, rm_space_axis(gradients->mesh, s), shards[s].bounds,
                              &context->compute, gradients->totals[s], &context->times,
                              &context->error));
        square_blocks(gradients, &shards[s], gradients->totals[s]);
    }
    return gather_squares(gradients, norm);
}

int64_t rm_gradients_bad_block(const rm_gradients *gradients)
{
    for (int64_t b = 0; b < gradients->n_model_blocks; b++)
        if (!isfinite(gradients->block_squares[b])) return b;
    return -1;
}
