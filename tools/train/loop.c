/* SPDX-License-Identifier: MIT
 *
 * The steps of a run. What to do after each is agreed on, since clocks and signals differ from
 * rank to rank: the clock is rank 0's, a signal counts on whichever rank it comes to.
 */
#include "train.h"

#include <math.h>

#include "interrupt.h"
#include "json_text.h"

static json_t *metrics_to_json(const ringmoe_step_metrics *m, bool has_val, double val_loss)
{
    const struct {
        const char *name;
        double value;
    } reals[] = {{"loss", m->loss},
                 {"grad_norm", m->grad_norm},
                 {"lr", m->lr},
                 {"tokens_per_s", m->tokens_per_s},
                 {"step_ms", m->step_ms},
                 {"compute_ms", m->compute_ms},
                 {"exchange_ms", m->exchange_ms},
                 {"wait_ms", m->wait_ms},
                 {"optimizer_ms", m->optimizer_ms},
                 {"pipeline_wait_ms", m->pipeline_wait_ms},
                 {"load_max_over_mean", m->load_max_over_mean},
                 {"load_cv", m->load_cv},
                 {"balance_loss", m->balance_loss},
                 {"z_loss", m->z_loss}};
    const struct {
        const char *name;
        int64_t value;
    } counts[] = {{"tokens", m->tokens},
                  {"dropped", m->n_dropped},
                  {"dead_experts", m->dead_experts},
                  {"bytes_within_nodes", m->bytes_within_nodes},
                  {"bytes_between_nodes", m->bytes_between_nodes},
                  {"shadowed_experts", m->shadowed_experts}};
    json_t *line = json_object();
    json_object_set_new(line, "step", json_integer(m->step));
    for (size_t i = 0; i < sizeof reals / sizeof reals[0]; i++)
        json_object_set_new(line, reals[i].name, json_number(reals[i].value));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        json_object_set_new(line, counts[i].name, json_integer(counts[i].value));
    if (has_val) json_object_set_new(line, "val_loss", json_number(val_loss));
    return line;
}

static bool is_due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

/* `sequences` of the held-out text; without one, of the text itself. */
static ringmoe_status evaluate(train_job *job, int64_t sequences, double *loss)
{
    const ringmoe_train_settings *train = &job->options.train;
    ringmoe_eval_result result;
    ringmoe_status problem = ringmoe_model_evaluate(
        ringmoe_trainer_model(job->trainer), job->val ? job->val : job->data, train->seq_len,
        train->microbatch, sequences, &result);
    if (problem == RINGMOE_OK) *loss = result.loss;
    return problem;
}

/* A checkpoint of the state in memory, which no loss has confirmed yet unless it has just been
 * validated: a microbatch is enough to see whether it is worth keeping. */
static int save_confirmed(train_job *job, bool is_validated)
{
    double loss;
    ringmoe_status problem =
        is_validated ? RINGMOE_OK : evaluate(job, job->options.train.microbatch, &loss);
    if (problem != RINGMOE_OK) return train_fail(job, problem);
    return train_save_begin(job, is_validated ? job->val_loss : NAN);
}

/* The same where the run ends: what is not saved now is lost. */
static int save_at_end(train_job *job, bool is_validated)
{
    job->saves.is_ending = true;
    int status = save_confirmed(job, is_validated);
    return status ? status : train_save_finish(job);
}

/* Rank 0 appends the step's line. One that cannot be written is kept for later, which is worth
 * a warning when it begins. */
static void record_step(train_job *job, bool has_val)
{
    json_t *line = metrics_to_json(&job->last, has_val, job->val_loss);
    train_load_to_json(job, line);
    train_news_to_json(job, line);
    bool written = run_append(&job->run, line);
    if (!written && !job->saves.metrics_failed)
        train_warn(job, "%s; what cannot be written is kept for later", job->run.error);
    job->saves.metrics_failed = !written;
    json_decref(job->line);
    job->line = line;
}

/* Whether a signal has come to any rank: all ranks return the same. */
static bool is_interrupted(const train_job *job)
{
    if (!session_union(job->session, interrupt_requested())) return false;
    interrupt_accept();
    return true;
}

/* The end of a run that is to go on another time; what it has is saved. */
static int leave(train_job *job)
{
    char where[64] = "before the first step";
    long long saved = (long long)job->saves.step;
    if (saved >= 0) snprintf(where, sizeof where, "and saved after step %lld", saved);
    train_end_progress(job);
    return session_fail(job->session, EXIT_PREEMPTED,
                        "interrupted %s: go on with %s train --resume --out %s", where,
                        job->session->program, job->run.path);
}

static int save_and_leave(train_job *job, bool is_validated)
{
    int status = save_at_end(job, is_validated);
    return status ? status : leave(job);
}

/* Whether --minutes have passed, by rank 0's clock. */
static bool time_is_up(const train_job *job)
{
    int is_up = train_elapsed(job) > 60 * job->options.minutes;
    if (job->options.minutes <= 0) return false;
    session_share(job->session, &is_up, sizeof is_up);
    return is_up;
}

/* Whether the step that was just done is worth a checkpoint. */
static bool wants_save(const train_job *job, bool is_validated)
{
    int64_t every = job->options.save_every;
    bool is_best = is_validated && every > 0 && train_save_is_best(job, job->val_loss);
    return is_best || is_due(job->last.step, every);
}

/* The step's line of metrics is written whether its validation succeeds or not. */
static int conclude_and_save(train_job *job, bool wants_val, bool is_last)
{
    ringmoe_status problem =
        wants_val ? evaluate(job, job->options.eval_sequences, &job->val_loss) : RINGMOE_OK;
    bool is_validated = wants_val && problem == RINGMOE_OK;
    if (job->session->rank == 0) {
        record_step(job, is_validated);
        progress_step(&job->progress, &job->last, job->val_loss);
    }
    if (problem != RINGMOE_OK) return train_fail(job, problem);
    if (is_last) return save_at_end(job, is_validated);
    if (is_interrupted(job)) return save_and_leave(job, is_validated);
    return wants_save(job, is_validated) ? save_confirmed(job, is_validated) : EXIT_DONE;
}

/* One step with all that follows it; *done: the run ends here. */
static int one_step(train_job *job, bool *done)
{
    const train_options *options = &job->options;
    int64_t steps = options->train.steps, tenth = (steps + 9) / 10;
    ringmoe_status problem = ringmoe_trainer_step(job->trainer, &job->last);
    if (problem != RINGMOE_OK) return train_fail(job, problem);
    train_save_prepare(job);
    int status = train_save_poll(job);
    if (status) return status;
    int64_t step = job->last.step;
    *done = step == steps || time_is_up(job);
    bool wants_val =
        job->val && (*done || is_due(step, options->eval_every ? options->eval_every : tenth));
    return conclude_and_save(job, wants_val, *done);
}

int train_loop(train_job *job)
{
    int status = EXIT_DONE;
    bool done = ringmoe_trainer_steps_done(job->trainer) >= job->options.train.steps;
    if (!done && is_interrupted(job)) return leave(job);
    while (!status && !done) status = one_step(job, &done);
    return status;
}
