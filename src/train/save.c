/* SPDX-License-Identifier: MIT
 *
 * The start of a save, looking after it, and its end.
 */
#include "train/save.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "train/trainer.h"
#include "train/transfer.h"

/* What the ranks say of their streams; the lowest word counts. */
enum { HAS_FAILED = 0, IS_WRITING = 1, HAS_WRITTEN = 2 };

/* --- start ---------------------------------------------------------------------------------
 */

static void *copy_of(const void *values, int64_t n, size_t size)
{
    void *copy = calloc((size_t)n + 1, size);
    if (copy) memcpy(copy, values, (size_t)n * size);
    return copy;
}

/* What of the state is not in the tensors, as it is now. */
static ringmoe_status note_state(const ringmoe_trainer *trainer, rm_state *state,
                                 rm_error *error)
{
    const rm_compute *compute = &trainer->mesh->context->compute;
    const rm_real *biases = rm_model_router_bias(trainer->model);
    bool has_counts = ringmoe_model_get_config(trainer->model)->router_balance_global;
    int64_t n = rm_measures_counts(&trainer->measures);
    *state = (rm_state){
        .step = trainer->steps_done,
        .samples_seen = trainer->steps_done * trainer->settings.global_batch,
        .recipe = trainer->recipe,
        .layout = ringmoe_mesh_get_dims(trainer->mesh),
        .threads = compute->n_threads,
    };
    memccpy(state->kernel_level, compute->kernels->level, 0, sizeof state->kernel_level - 1);
    rm_recipe_write_layout(&state->layout_settings, &trainer->settings);
    if (has_counts) state->n_balance_counts = n;
    if (biases) state->n_router_biases = n;
    if (has_counts)
        state->balance_counts = copy_of(trainer->measures.last_counts, n, sizeof(int64_t));
    if (biases) state->router_biases = copy_of(biases, n, sizeof *biases);
    if ((state->balance_counts || !has_counts) && (state->router_biases || !biases))
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld counts or router biases",
                   (long long)n);
}

/* This rank's part of the preparations, and rank 0's folder. */
static ringmoe_status prepare(ringmoe_trainer *trainer, const char *folder,
                              int64_t buffer_bytes, rm_error *error)
{
    rm_save *save = &trainer->save;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(trainer->mesh);
    int rank = trainer->mesh->context->world.rank;
    RM_TRY(rm_folder_names_init(&save->names, folder, error));
    RM_TRY(note_state(trainer, &save->state, error));
    RM_TRY(rm_writers_create(&save->writers, table, &dims, error));
    RM_TRY(rm_output_plan(&save->output, table, &save->writers, rank, save->names.temporary,
                          error));
    RM_TRY(rm_output_reserve(&save->output, &save->ring, buffer_bytes, error));
    return rank == 0 ? rm_folder_open(&save->names, error) : RINGMOE_OK;
}

static void write_header(const rm_save *save, int file)
{
    const rm_output *output = &save->output;
    if (output->stream)
        rm_stream_write(output->stream, output->headers[file], output->header_bytes[file], 1);
}

static ringmoe_status collect_all(const rm_save *save, const ringmoe_trainer *trainer,
                                  rm_collector *collector)
{
    RM_TRY(rm_sharers_exchange(&collector->sharers, &trainer->mesh->context->error));
    write_header(save, 0);
    for (int i = 0; i < save->writers.n_written; i++)
        RM_TRY(rm_collect_weights(collector, save->writers.order[i]));
    RM_TRY(rm_collect_rest(collector));
    write_header(save, 1);
    for (int i = 0; i < save->writers.n_written; i++)
        RM_TRY(rm_collect_moments(collector, save->writers.order[i]));
    return rm_collect_rest(collector);
}

/* Everything into the rings. Collective. */
static ringmoe_status hand_over(ringmoe_trainer *trainer)
{
    rm_save *save = &trainer->save;
    const rm_axis *world = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    rm_collector collector = {0};
    ringmoe_status status = rm_output_start(&save->output, &save->ring, error);
    if (status == RINGMOE_OK)
        status =
            rm_collector_init(&collector, trainer, &save->writers, save->output.stream, error);
    status = rm_agree(world, status, error);
    if (status == RINGMOE_OK) status = collect_all(save, trainer, &collector);
    rm_collector_free(&collector);
    if (status != RINGMOE_OK && save->output.stream) rm_stream_stop(save->output.stream);
    return rm_agree(world, status, error);
}

/* --- end -----------------------------------------------------------------------------------
 */

/* The ring and the tokenizer are kept. */
static void forget(rm_save *save)
{
    rm_output_close(&save->output);
    rm_writers_free(&save->writers);
    rm_state_free(&save->state);
    rm_folder_names_free(&save->names);
    *save = (rm_save){.ring = save->ring, .tokenizer = save->tokenizer};
}

/* When the last rank has stopped writing, the temporary folder goes. Collective. */
static void give_up(rm_save *save, const ringmoe_mesh *mesh)
{
    const rm_axis *world = &mesh->context->world;
    rm_stream_close(&save->output.stream);
    rm_barrier(world, NULL);
    if (world->rank == 0 && save->names.temporary) rm_folder_abandon(&save->names);
    forget(save);
}

void rm_save_free(rm_save *save, const ringmoe_mesh *mesh)
{
    if (save->is_under_way) give_up(save, mesh);
    rm_arena_free(&save->ring);
}

/* The worst of all ranks' words on their streams. Collective. */
static ringmoe_status ask_all(const rm_save *save, const rm_axis *world, int *word,
                              rm_error *error)
{
    rm_stream *stream = save->output.stream;
    *word = HAS_WRITTEN;
    if (stream && rm_stream_has_failed(stream))
        *word = HAS_FAILED;
    else if (stream && !rm_stream_has_ended(stream))
        *word = IS_WRITING;
    return rm_allreduce(world, word, 1, MPI_INT, MPI_MIN, error);
}

static void wait_for_stream(const rm_save *save, const rm_axis *world)
{
    if (!save->output.stream) return;
    rm_stream_hurry(save->output.stream);
    rm_waiting waiting = rm_wait_begin(world, world->rank, "writing a checkpoint");
    int64_t written = 0;
    while (!rm_stream_has_ended(save->output.stream)) {
        int64_t now = rm_stream_written(save->output.stream);
        if (now != written) rm_progress_tick(world->progress);
        written = now;
        rm_wait_idle(&waiting);
    }
    rm_wait_end(&waiting);
}

/* All streams have ended. Collective; a failure is everyone's. */
static ringmoe_status conclude(ringmoe_trainer *trainer, ringmoe_save_result *result)
{
    rm_save *save = &trainer->save;
    const ringmoe_mesh *mesh = trainer->mesh;
    const rm_axis *world = &mesh->context->world;
    rm_error *error = &mesh->context->error;
    ringmoe_status status = RINGMOE_OK;
    if (save->output.stream) {
        rm_stream_stop(save->output.stream);
        status = rm_stream_join(save->output.stream, error);
    }
    RM_TRY(rm_agree(world, status, error));
    *result = (ringmoe_save_result){.step = save->state.step};
    RM_TRY(rm_save_publish(save, mesh, rm_model_parameters(trainer->model),
                           ringmoe_model_get_config(trainer->model), &result->bytes));
    result->seconds = rm_clock_seconds() - save->started;
    return RINGMOE_OK;
}

/* Training has stood still since `since`. */
static void count_stall(rm_save *save, double since)
{
    save->stalled += rm_clock_seconds() - since;
}

void rm_save_keep_values(rm_save *save, const ringmoe_mesh *mesh)
{
    if (!save->output.stream) return;
    double since = rm_clock_seconds();
    rm_stream_end_loans(save->output.stream, mesh->context->compute.n_threads);
    count_stall(save, since);
}

static ringmoe_status slowest(const rm_axis *world, ringmoe_save_result *result,
                              rm_error *error)
{
    double seconds[] = {result->seconds, result->stalled_seconds};
    RM_TRY(rm_allreduce(world, seconds, 2, MPI_DOUBLE, MPI_MAX, error));
    result->seconds = seconds[0];
    result->stalled_seconds = seconds[1];
    return RINGMOE_OK;
}

static ringmoe_status end(ringmoe_trainer *trainer, double since, ringmoe_save_result *result)
{
    rm_save *save = &trainer->save;
    ringmoe_save_result found;
    ringmoe_status status = conclude(trainer, &found);
    if (status != RINGMOE_OK) {
        give_up(save, trainer->mesh);
        return status;
    }
    count_stall(save, since);
    found.stalled_seconds = save->stalled;
    forget(save);
    rm_error *error = &trainer->mesh->context->error;
    RM_TRY(slowest(&trainer->mesh->context->world, &found, error));
    if (result) *result = found;
    return RINGMOE_OK;
}

/* --- the public calls ----------------------------------------------------------------------
 */

static void tell_place(const ringmoe_trainer *trainer)
{
    rm_progress_at(&trainer->mesh->context->progress,
                   (rm_label){.step = trainer->steps_done,
                              .layer = -1,
                              .operation = RM_OPERATION_CHECKPOINT});
}

static ringmoe_status check_arguments(const ringmoe_trainer *trainer, const char *folder,
                                      const ringmoe_save_settings *settings, rm_error *error)
{
    if (trainer->save.is_under_way)
        return rm_fail(error, RINGMOE_ERROR_STATE,
                       "%s: the save of step %lld is still under way; wait for it first",
                       folder ? folder : "a checkpoint", (long long)trainer->save.state.step);
    if (!settings || settings->buffer_bytes < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a save needs settings with a buffer of at least 0 bytes");
    return rm_trainer_check_whole(trainer);
}

ringmoe_status ringmoe_trainer_save_start(ringmoe_trainer *trainer, const char *folder,
                                          const ringmoe_save_settings *settings)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    rm_save *save = &trainer->save;
    const rm_axis *world = &trainer->mesh->context->world;
    rm_error *error = &trainer->mesh->context->error;
    double since = rm_clock_seconds();
    tell_place(trainer);
    RM_TRY(rm_agree(world, check_arguments(trainer, folder, settings, error), error));
    save->is_under_way = true;
    save->started = since;
    save->stalled = 0;
    ringmoe_status status =
        rm_agree(world, prepare(trainer, folder, settings->buffer_bytes, error), error);
    if (status == RINGMOE_OK) status = hand_over(trainer);
    if (status != RINGMOE_OK) give_up(save, trainer->mesh);
    count_stall(save, since);
    return status;
}

ringmoe_status ringmoe_trainer_save_poll(ringmoe_trainer *trainer, int wait, int *done,
                                         ringmoe_save_result *result)
{
    if (done) *done = 1;
    if (!trainer || !done) return RINGMOE_ERROR_ARGUMENT;
    rm_save *save = &trainer->save;
    const rm_axis *world = &trainer->mesh->context->world;
    double since = rm_clock_seconds();
    int word = HAS_WRITTEN;
    if (!save->is_under_way) return RINGMOE_OK;
    tell_place(trainer);
    if (wait) wait_for_stream(save, world);
    ringmoe_status status = ask_all(save, world, &word, &trainer->mesh->context->error);
    if (status == RINGMOE_OK && word == IS_WRITING) {
        *done = 0;
        count_stall(save, since);
        return RINGMOE_OK;
    }
    if (status == RINGMOE_OK) return end(trainer, since, result);
    give_up(save, trainer->mesh);
    return status;
}

ringmoe_status ringmoe_trainer_save(ringmoe_trainer *trainer, const char *folder)
{
    const ringmoe_save_settings settings = {.buffer_bytes = 0};
    int done;
    RM_TRY(ringmoe_trainer_save_start(trainer, folder, &settings));
    return ringmoe_trainer_save_poll(trainer, 1, &done, NULL);
}

int64_t ringmoe_trainer_checkpoint_bytes(const ringmoe_trainer *trainer)
{
    if (!trainer) return 0;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    int64_t n = 0;
    for (int i = 0; i < table->n_parameters; i++)
        if (!table->parameters[i].tied) n += table->parameters[i].n_elements;
    return n * (1 + RM_TENSORS_MOST) * (int64_t)sizeof(rm_real);
}

void ringmoe_trainer_set_tokenizer(ringmoe_trainer *trainer, ringmoe_tokenizer *tokenizer)
{
    trainer->save.tokenizer = tokenizer;
}
