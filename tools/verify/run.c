/* SPDX-License-Identifier: MIT
 *
 * The steps in one layout, on a context of the first ranks of the session, as many as the
 * layout has. The other ranks sleep: with more ranks than cores, waiting must not take the time
 * of those that compute.
 */
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "verify.h"

enum { CORPUS_TOKENS = 1 << 14 };

/* What a layout has open. */
typedef struct layout_job {
    MPI_Comm comm;
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_tokens *tokens;
    ringmoe_trainer *trainer;
} layout_job;

static bool allocate(verify_record *record, int n_steps, int n_parameters)
{
    size_t digests = (size_t)n_steps * (size_t)n_parameters;
    record->n_steps = n_steps;
    record->n_parameters = n_parameters;
    record->metrics = calloc((size_t)n_steps, sizeof *record->metrics);
    record->gradients = calloc(digests + 1, sizeof *record->gradients);
    record->weights = calloc(digests + 1, sizeof *record->weights);
    return record->metrics && record->gradients && record->weights;
}

void verify_record_free(verify_record *record)
{
    free(record->metrics);
    free(record->gradients);
    free(record->weights);
    *record = (verify_record){0};
}

/* Before there is a context, a warning of its log says what is wrong. */
static void keep_line(void *user, ringmoe_log_level level, const char *line)
{
    verify_record *record = user;
    if (level == RINGMOE_LOG_WARNING) snprintf(record->text, sizeof record->text, "%s", line);
}

/* Every layout has the session's kernels, so that one rank has those of all. */
static ringmoe_status open_context(tool_session *session, const tool_placement *placement,
                                   const verify_layout *layout, layout_job *job,
                                   verify_record *record)
{
    ringmoe_context_settings settings;
    session_context_settings(session, placement, &settings);
    settings.kernel_level = ringmoe_context_kernel_level(session->context);
    settings.n_threads =
        layout->threads ? layout->threads : ringmoe_context_threads(session->context);
    if (layout->nodes > 0)
        settings.ranks_per_node =
            (verify_layout_ranks(layout) + layout->nodes - 1) / layout->nodes;
    settings.log = keep_line;
    settings.log_user = record;
    return ringmoe_context_create(job->comm, &settings, &job->context);
}

static ringmoe_status open_trainer(const verify_work *work, const verify_layout *layout,
                                   layout_job *job)
{
    ringmoe_train_settings train = work->train;
    snprintf(train.schedule, sizeof train.schedule, "%s", layout->schedule);
    train.chunks = layout->chunks;
    train.recompute = layout->recompute;
    train.reproducible = layout->reproducible;
    train.shadow = layout->shadow ? RINGMOE_SHADOW_ON : RINGMOE_SHADOW_OFF;
    train.seed += layout->seed;
    ringmoe_status status =
        ringmoe_tokens_synthetic(job->context, 0, CORPUS_TOKENS, &job->tokens);
    if (status == RINGMOE_OK)
        status = ringmoe_mesh_create(job->context, &layout->dims,
                                     work->config.num_local_experts, &job->mesh);
    if (status == RINGMOE_OK)
        status = ringmoe_trainer_create(job->mesh, &work->config, &train, job->tokens,
                                        &job->trainer);
    return status;
}

static ringmoe_status take_step(layout_job *job, int step, verify_record *record)
{
    ringmoe_parameter_digest *gradients = record->gradients + step * record->n_parameters;
    ringmoe_parameter_digest *weights = record->weights + step * record->n_parameters;
    ringmoe_status status = ringmoe_trainer_step(job->trainer, &record->metrics[step]);
    if (status == RINGMOE_OK)
        status = ringmoe_trainer_digests(job->trainer, RINGMOE_DIGEST_GRADIENTS, gradients);
    if (status == RINGMOE_OK)
        status = ringmoe_trainer_digests(job->trainer, RINGMOE_DIGEST_WEIGHTS, weights);
    return status;
}

/* What the last step left behind is used too: weights gathered from their shards, copies, and
 * the routers' biases. */
static ringmoe_status evaluate(const verify_work *work, layout_job *job, verify_record *record)
{
    ringmoe_eval_result result;
    ringmoe_status status = ringmoe_model_evaluate(
        ringmoe_trainer_model(job->trainer), job->tokens, work->train.seq_len,
        work->train.microbatch, work->train.global_batch, &result);
    if (status == RINGMOE_OK) record->final_loss = result.loss;
    return status;
}

/* A rank without memory for its record cannot leave the others alone in the steps, so they are
 * asked first. */
static ringmoe_status run_steps(const tool_session *session, const verify_work *work,
                                layout_job *job, verify_record *record)
{
    int has_memory =
        allocate(record, (int)work->train.steps, ringmoe_trainer_parameter_count(job->trainer));
    ringmoe_status status = RINGMOE_OK;
    session_must(session,
                 MPI_Allreduce(MPI_IN_PLACE, &has_memory, 1, MPI_INT, MPI_MIN, job->comm));
    if (!has_memory) {
        snprintf(record->text, sizeof record->text, "no memory for the records of %lld steps",
                 (long long)work->train.steps);
        return RINGMOE_ERROR_MEMORY;
    }
    for (int step = 0; step < record->n_steps && status == RINGMOE_OK; step++)
        status = take_step(job, step, record);
    return status == RINGMOE_OK ? evaluate(work, job, record) : status;
}

static void run_members(tool_session *session, const tool_placement *placement,
                        const verify_work *work, const verify_layout *layout,
                        verify_gradient *gradient, verify_record *record, MPI_Comm comm)
{
    layout_job opened = {.comm = comm}, *job = &opened;
    double start = clock_seconds();
    ringmoe_status status = open_context(session, placement, layout, job, record);
    if (status == RINGMOE_OK) status = open_trainer(work, layout, job);
    if (status == RINGMOE_OK)
        status = gradient ? verify_check_gradient(job->trainer, gradient)
                          : run_steps(session, work, job, record);
    if (status != RINGMOE_OK && job->context && ringmoe_context_error(job->context)[0])
        snprintf(record->text, sizeof record->text, "%s", ringmoe_context_error(job->context));
    record->status = status;
    ringmoe_trainer_destroy(&job->trainer);
    ringmoe_tokens_destroy(&job->tokens);
    ringmoe_mesh_destroy(&job->mesh);
    ringmoe_context_destroy(&job->context);
    record->seconds = clock_seconds() - start;
}

void verify_run(tool_session *session, const tool_placement *placement, const verify_work *work,
                const verify_layout *layout, verify_gradient *gradient, verify_record *record)
{
    MPI_Comm comm;
    bool is_member = session->rank < verify_layout_ranks(layout);
    *record = (verify_record){0};
    session_must(session, MPI_Comm_split(MPI_COMM_WORLD, is_member ? 0 : MPI_UNDEFINED,
                                         session->rank, &comm));
    if (is_member) {
        run_members(session, placement, work, layout, gradient, record, comm);
        MPI_Comm_free(&comm);
    }
    session_share_asleep(session, &record->status, sizeof record->status);
    session_share_asleep(session, record->text, sizeof record->text);
}
