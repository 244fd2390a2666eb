/* SPDX-License-Identifier: MIT
 *
 * The steps of a run. What to do after each is decided by rank 0 and told to the others, since
 * clocks and signals differ from rank to rank.
 */
#include "train.h"

#include "interrupt.h"
#include "json_text.h"

/* What rank 0 decides after a step; the others receive it. */
typedef struct step_decision {
    int failed;      /* the metrics could not be written */
    int interrupted; /* a signal came */
} step_decision;

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
    return problem == RINGMOE_OK ? train_save(job) : train_fail(job, problem);
}

/* Rank 0 writes the metrics and decides; all ranks return the same. */
static step_decision conclude_step(train_job *job, bool has_val)
{
    step_decision decision = {0};
    if (job->session->rank == 0) {
        json_t *line = metrics_to_json(&job->last, has_val, job->val_loss);
        train_load_to_json(job, line);
        decision.failed = !line || !run_append(&job->run, line);
        decision.interrupted = interrupt_requested();
        json_decref(line);
        progress_step(&job->progress, &job->last, job->val_loss);
    }
    session_share(job->session, &decision, sizeof decision);
    return decision;
}

static int stop_interrupted(train_job *job, bool is_validated)
{
    int status = save_confirmed(job, is_validated);
    job->interrupted = true;
    train_end_progress(job);
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

/* The step's line of metrics is written whether its validation succeeds or not. */
static int conclude_and_save(train_job *job, bool wants_val, bool is_last)
{
    ringmoe_status problem =
        wants_val ? evaluate(job, job->options.eval_sequences, &job->val_loss) : RINGMOE_OK;
    bool is_validated = wants_val && problem == RINGMOE_OK;
    step_decision decision = conclude_step(job, is_validated);
    if (decision.failed) return session_fail(job->session, EXIT_FAILED, "%s", job->run.error);
    if (problem != RINGMOE_OK) return train_fail(job, problem);
    if (decision.interrupted && !is_last) return stop_interrupted(job, is_validated);
    return is_last || is_due(job->last.step, job->options.save_every)
               ? save_confirmed(job, is_validated)
               : EXIT_DONE;
}

/* One step with all that follows it; *done: the run ends here. */
static int one_step(train_job *job, bool *done)
{
    const train_options *options = &job->options;
    int64_t steps = options->train.steps, tenth = (steps + 9) / 10;
    ringmoe_status problem = ringmoe_trainer_step(job->trainer, &job->last);
    if (problem != RINGMOE_OK) return train_fail(job, problem);
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
    while (!status && !done) status = one_step(job, &done);
    return status;
}
