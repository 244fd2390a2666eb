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

/* --- weights handed round --- */

enum { GATHER_TAG = 700, PIECE_ELEMENTS = 1 << 24 };

/* Elements of a rank's part from `offset` on that travel in one message. */
static int piece_of(const rm_shard *shard, int rank, int64_t offset)
{
    int64_t left = shard->updated_bounds[rank + 1] - shard->updated_bounds[rank] - offset;
    if (left <= 0) return 0;
    return left < PIECE_ELEMENTS ? (int)left : PIECE_ELEMENTS;
}

/* What a turn has under way: receives first. */
typedef struct gather_turn {
    const ringmoe_model *model;
    const rm_shard *shards;
    int64_t offset; /* within each part */
    int distance;   /* to the rank that gets this one's parts */
    MPI_Request requests[2 * RM_MAX_SPACES];
    int n_receives, n_requests, code;
} gather_turn;

/* The part of a space that the rank `distance` below has. */
static void receive_part(gather_turn *turn, const rm_axis *axis, int space)
{
    if (turn->distance >= axis->size || turn->code != MPI_SUCCESS) return;
    const rm_shard *shard = &turn->shards[space];
    int from = (axis->rank - turn->distance + axis->size) % axis->size;
    int n = piece_of(shard, from, turn->offset);
    if (n == 0) return;
    turn->code = MPI_Irecv(
        rm_model_space(turn->model, space) + shard->updated_bounds[from] + turn->offset, n,
        RM_MPI_REAL, from, GATHER_TAG + space, axis->comm, &turn->requests[turn->n_requests]);
    if (turn->code == MPI_SUCCESS) turn->n_receives = ++turn->n_requests;
}

/* This rank's part to the rank `distance` above. */
static void send_part(gather_turn *turn, const rm_axis *axis, int space)
{
    if (turn->distance >= axis->size || turn->code != MPI_SUCCESS) return;
    const rm_shard *shard = &turn->shards[space];
    int to = (axis->rank + turn->distance) % axis->size;
    int n = piece_of(shard, axis->rank, turn->offset);
    if (n == 0) return;
    turn->code = MPI_Isend(rm_model_space(turn->model, space) + shard->first + turn->offset, n,
                           RM_MPI_REAL, to, GATHER_TAG + space, axis->comm,
                           &turn->requests[turn->n_requests]);
    if (turn->code == MPI_SUCCESS) turn->n_requests++;
}

/* One turn of all spaces together, so that a rank waits once for all. */
static ringmoe_status run_turn(gather_turn *turn)
{
    const ringmoe_mesh *mesh = rm_model_mesh(turn->model);
    ringmoe_context *context = mesh->context;
    int n_spaces = rm_model_spaces(turn->model);
    for (int s = 0; s < n_spaces; s++)
        receive_part(turn, rm_kind_axis(mesh, turn->shards[s].place.kind), s);
    for (int s = 0; s < n_spaces; s++)
        send_part(turn, rm_kind_axis(mesh, turn->shards[s].place.kind), s);
    if (turn->code == MPI_SUCCESS)
        return rm_wait_all(&context->world, turn->n_requests, turn->requests,
                           "gathering weights", &context->error);
    rm_abandon_receives(&context->world, turn->n_receives, turn->requests);
    rm_abandon(turn->n_requests - turn->n_receives, turn->requests + turn->n_receives);
    return rm_mpi_check(turn->code, "gathering weights", &context->error);
}

static int64_t longest_part(const rm_shard *shards, int n_spaces)
{
    int64_t longest = 0;
    for (int s = 0; s < n_spaces; s++)
        for (int rank = 0; rank < shards[s].place.axis_size; rank++) {
            int64_t n = shards[s].updated_bounds[rank + 1] - shards[s].updated_bounds[rank];
            if (n > longest) longest = n;
        }
    return longest;
}

ringmoe_status rm_weights_gather(const ringmoe_model *model, const rm_shard *shards)
{
    const ringmoe_mesh *mesh = rm_model_mesh(model);
    int64_t longest = longest_part(shards, rm_model_spaces(model));
    double start = rm_clock_seconds();
    for (int64_t offset = 0; offset < longest; offset += PIECE_ELEMENTS)
        for (int distance = 1; distance < mesh->dense.size; distance++)
            RM_TRY(run_turn(&(gather_turn){.model = model,
                                           .shards = shards,
                                           .offset = offset,
                                           .distance = distance,
                                           .code = MPI_SUCCESS}));
    mesh->context->times.exchange += rm_clock_seconds() - start;
    return RINGMOE_OK;
}

int64_t rm_weights_gathered_bytes(const ringmoe_model *model, const rm_shard *shards)
{
    int64_t n = 0;
    for (int s = 0; s < rm_model_spaces(model); s++) {
        const rm_shard *shard = &shards[s];
        n += shard->updated_bounds[shard->place.axis_size] - shard->updated_bounds[0] -
             shard->n_updated;
    }
    return n * (int64_t)sizeof(rm_real);
}
