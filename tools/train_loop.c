/* SPDX-License-Identifier: MIT
 *
 * The steps of a run. What to do after each is decided by rank 0 and told to the others, since
 * clocks and signals differ from rank to rank.
 */
#include "train.h"

#include <math.h>

#include "interrupt.h"

/* What rank 0 decides after a step; the others receive it. */
typedef struct step_decision {
    int failed;      /* the metrics could not be written */
    int interrupted; /* a signal came */
} step_decision;

static json_t *metrics_to_json(const ringmoe_step_metrics *m, bool has_val, double val_loss)
{
    json_t *line =
        json_pack("{s:I, s:f, s:f, s:f, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I}",
                  "step", (json_int_t)m->step, "loss", m->loss, "grad_norm", m->grad_norm, "lr",
                  m->lr, "tokens", (json_int_t)m->tokens, "tokens_per_s", m->tokens_per_s,
                  "step_ms", m->step_ms, "compute_ms", m->compute_ms, "exchange_ms",
                  m->exchange_ms, "wait_ms", m->wait_ms, "optimizer_ms", m->optimizer_ms,
                  "load_max_over_mean", m->load_max_over_mean, "balance_loss", m->balance_loss,
                  "z_loss", m->z_loss, "dropped", (json_int_t)m->n_dropped);
    if (line && has_val) json_object_set_new(line, "val_loss", json_real(val_loss));
    return line;
}

static bool is_due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

static int validate(train_job *job)
{
    const ringmoe_train_settings *train = &job->options.train;
    ringmoe_eval_result result;
    ringmoe_model *model = ringmoe_trainer_model(job->trainer);
    int status = session_check(
        job->session, ringmoe_model_evaluate(model, job->val, train->seq_len, train->microbatch,
                                             job->options.eval_sequences, &result));
    if (!status) job->val_loss = result.loss;
    return status;
}

int train_save(train_job *job)
{
    char folder[SOURCE_PATH];
    int64_t step = ringmoe_trainer_steps_done(job->trainer);
    if (step == job->saved_step) return EXIT_DONE;
    run_checkpoint_path(&job->run, step, folder, sizeof folder);
    int status = session_check(job->session, ringmoe_trainer_save(job->trainer, folder));
    if (!status) job->saved_step = step;
    return status;
}

/* A failed step: the weights are still those of the step before, so they are worth keeping. */
static int fail_step(train_job *job, ringmoe_status problem)
{
    char text[1024];
    snprintf(text, sizeof text, "%s", ringmoe_context_error(job->session->context));
    progress_end(&job->progress);
    job->progress.out = NULL;
    if (problem != RINGMOE_ERROR_NUMERIC) return session_check(job->session, problem);
    int status = train_save(job);
    if (status) return status;
    return session_fail(job->session, EXIT_FAILED,
                        "%s; the state after step %lld is kept in %s/checkpoints", text,
                        (long long)job->saved_step, job->run.path);
}

/* Rank 0 writes the metrics and decides; all ranks return the same. */
static step_decision conclude_step(train_job *job, bool has_val)
{
    step_decision decision = {0};
    if (job->session->rank == 0) {
        json_t *line = metrics_to_json(&job->last, has_val, job->val_loss);
        decision.failed = !line || !run_append(&job->run, line);
        decision.interrupted = interrupt_requested();
        json_decref(line);
        progress_step(&job->progress, &job->last, job->val_loss);
    }
    session_share(job->session, &decision, sizeof decision);
    return decision;
}

static int stop_interrupted(train_job *job)
{
    int status = train_save(job);
    job->interrupted = true;
    progress_end(&job->progress);
    job->progress.out = NULL;
    if (status) return status;
    return session_fail(job->session, EXIT_FAILED,
                        "interrupted and saved after step %lld: go on with %s train "
                        "--resume --out %s",
                        (long long)job->saved_step, job->session->program, job->run.path);
}

/* Whether --minutes have passed, by rank 0's clock. */
static bool time_is_up(const train_job *job)
{
    int is_up = train_elapsed(job) > 60 * job->options.minutes;
    if (job->options.minutes <= 0) return false;
    session_share(job->session, &is_up, sizeof is_up);
    return is_up;
}

/* One step with all that follows it; *done: the run ends here. */
static int one_step(train_job *job, bool *done)
{
    const train_options *options = &job->options;
    int64_t steps = options->train.steps, tenth = (steps + 9) / 10;
    ringmoe_status problem = ringmoe_trainer_step(job->trainer, &job->last);
    if (problem != RINGMOE_OK) return fail_step(job, problem);
    int64_t step = job->last.step;
    *done = step == steps || time_is_up(job);
    bool has_val =
        job->val && (*done || is_due(step, options->eval_every ? options->eval_every : tenth));
    int status = has_val ? validate(job) : EXIT_DONE;
    if (status) return status;
    step_decision decision = conclude_step(job, has_val);
    if (decision.failed) return session_fail(job->session, EXIT_FAILED, "%s", job->run.error);
    if (decision.interrupted) return stop_interrupted(job);
    return *done || is_due(step, options->save_every) ? train_save(job) : EXIT_DONE;
}

int train_loop(train_job *job)
{
    int status = EXIT_DONE;
    bool done = ringmoe_trainer_steps_done(job->trainer) >= job->options.train.steps;
    while (!status && !done) status = one_step(job, &done);
    return status;
}
