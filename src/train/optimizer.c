/* SPDX-License-Identifier: MIT */
#include "train/optimizer.h"

#include <math.h>

#include "base/clock.h"
#include "train/schedule.h"

static void take_memory(rm_optimizer *optimizer, const rm_shard shards[RM_N_SPACES],
                        rm_arena *arena)
{
    for (int s = 0; s < RM_N_SPACES; s++) {
        optimizer->moments1[s] = RM_TAKE(arena, shards[s].n_elements, rm_real);
        optimizer->moments2[s] = RM_TAKE(arena, shards[s].n_elements, rm_real);
    }
}

ringmoe_status rm_optimizer_create(rm_optimizer *optimizer, const rm_shard shards[RM_N_SPACES],
                                   rm_error *error)
{
    *optimizer = (rm_optimizer){0};
    take_memory(optimizer, shards, &optimizer->arena);
    RM_TRY(rm_arena_reserve(&optimizer->arena, optimizer->arena.used, error));
    take_memory(optimizer, shards, &optimizer->arena);
    return RINGMOE_OK;
}

void rm_optimizer_free(rm_optimizer *optimizer)
{
    rm_arena_free(&optimizer->arena);
    *optimizer = (rm_optimizer){0};
}

double rm_clip_factor(double norm, double clip_norm)
{
    return clip_norm > 0 && norm > clip_norm ? clip_norm / norm : 1;
}

static rm_adamw scalars_of_step(const ringmoe_train_settings *settings, int64_t step,
                                double gradient_scale)
{
    return (rm_adamw){
        .gradient_scale = (rm_real)gradient_scale,
        .beta1 = (rm_real)settings->beta1,
        .beta2 = (rm_real)settings->beta2,
        .learning_rate = (rm_real)rm_learning_rate(settings, step),
        .weight_decay = (rm_real)settings->weight_decay,
        .correction1 = (rm_real)(1 / (1 - pow(settings->beta1, (double)step))),
        .correction2 = (rm_real)(1 / (1 - pow(settings->beta2, (double)step))),
        .epsilon = (rm_real)settings->epsilon,
    };
}

void rm_optimizer_update(rm_optimizer *optimizer, const ringmoe_train_settings *settings,
                         int64_t step, double gradient_scale, const rm_gradients *gradients,
                         const rm_shard shards[RM_N_SPACES], const ringmoe_model *model)
{
    const rm_compute *compute = &gradients->mesh->context->compute;
    rm_adamw decaying = scalars_of_step(settings, step, gradient_scale), plain = decaying;
    plain.weight_decay = 0;
    for (int s = 0; s < RM_N_SPACES; s++) {
        const rm_shard *shard = &shards[s];
        rm_real *weights = rm_model_space(model, s);
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic, 4)
        for (int64_t b = 0; b < shard->n_blocks; b++) {
            const rm_block *block = &shard->blocks[b];
            int64_t at = block->first - shard->first;
            compute->kernels->adamw(block->n_elements,
                                    block->parameter->decay ? &decaying : &plain,
                                    gradients->totals[s] + at, weights + block->first,
                                    optimizer->moments1[s] + at, optimizer->moments2[s] + at);
        }
    }
}

ringmoe_status rm_weights_gather(const ringmoe_model *model, const rm_shard shards[RM_N_SPACES])
{
    const ringmoe_mesh *mesh = rm_model_mesh(model);
    ringmoe_context *context = mesh->context;
    double start = rm_clock_seconds();
    for (int s = 0; s < RM_N_SPACES; s++)
        RM_TRY(rm_allgather_parts(rm_space_axis(mesh, s), rm_model_space(model, s),
                                  shards[s].bounds, RM_MPI_REAL, &context->error));
    context->times.exchange += rm_clock_seconds() - start;
    return RINGMOE_OK;
}
