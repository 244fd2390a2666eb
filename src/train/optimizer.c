/* SPDX-License-Identifier: MIT */
#include "train/optimizer.h"

#include <math.h>

#include "base/clock.h"
#include "train/schedule.h"

static void take_memory(rm_optimizer *optimizer, const rm_shard *shards, int n_spaces,
                        rm_arena *arena)
{
    for (int s = 0; s < n_spaces; s++) {
        optimizer->moments1[s] = RM_TAKE(arena, shards[s].n_updated, rm_real);
        optimizer->moments2[s] = RM_TAKE(arena, shards[s].n_updated, rm_real);
    }
}

static ringmoe_status create(rm_optimizer *optimizer, const ringmoe_model *model,
                             const rm_shard *shards, rm_error *error)
{
    int n_spaces = rm_model_spaces(model);
    take_memory(optimizer, shards, n_spaces, &optimizer->arena);
    RM_TRY(rm_arena_reserve(&optimizer->arena, optimizer->arena.used, error));
    take_memory(optimizer, shards, n_spaces, &optimizer->arena);
    return rm_strips_create(&optimizer->strips, model, shards, error);
}

ringmoe_status rm_optimizer_create(rm_optimizer *optimizer, const ringmoe_model *model,
                                   const rm_shard *shards, rm_error *error)
{
    *optimizer = (rm_optimizer){0};
    ringmoe_status status = create(optimizer, model, shards, error);
    if (status != RINGMOE_OK) rm_optimizer_free(optimizer);
    return status;
}

void rm_optimizer_free(rm_optimizer *optimizer)
{
    rm_strips_free(&optimizer->strips);
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
                         const rm_shard *shards, const ringmoe_model *model)
{
    const rm_compute *compute = &gradients->mesh->context->compute;
    rm_adamw decaying = scalars_of_step(settings, step, gradient_scale), plain = decaying;
    plain.weight_decay = 0;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t i = 0; i < optimizer->strips.n_own; i++) {
        const rm_strip *strip = &optimizer->strips.own[i];
        rm_space space = strip->space;
        int64_t at = strip->first - shards[space].first;
        compute->kernels->adamw(
            strip->n_elements, strip->decay ? &decaying : &plain, gradients->totals[space] + at,
            rm_model_space(model, space) + strip->first, optimizer->moments1[space] + at,
            optimizer->moments2[space] + at);
        if (strip->matrix)
            rm_matrix_pack_rows(compute, strip->matrix, strip->row, strip->n_rows);
    }
}

void rm_optimizer_pack_rest(const rm_optimizer *optimizer, const ringmoe_model *model)
{
    const rm_compute *compute = &rm_model_mesh(model)->context->compute;
#pragma omp parallel for num_threads(compute->n_threads) schedule(dynamic)
    for (int64_t i = 0; i < optimizer->strips.n_rest; i++) {
        const rm_strip *strip = &optimizer->strips.rest[i];
        rm_matrix_pack_rows(compute, strip->matrix, strip->row, strip->n_rows);
    }
}

ringmoe_status rm_weights_gather(const ringmoe_model *model, const rm_shard *shards)
{
    const ringmoe_mesh *mesh = rm_model_mesh(model);
    ringmoe_context *context = mesh->context;
    double start = rm_clock_seconds();
    for (int s = 0; s < rm_model_spaces(model); s++)
        RM_TRY(rm_allgather_parts(rm_kind_axis(mesh, shards[s].place.kind),
                                  rm_model_space(model, s), shards[s].updated_bounds,
                                  RM_MPI_REAL, &context->error));
    context->times.exchange += rm_clock_seconds() - start;
    return RINGMOE_OK;
}
