/* SPDX-License-Identifier: MIT
 *
 * `ringmoe train`: opens data, model, mesh and trainer in this order, on every rank alike, and
 * touches the run's folder only when all of them are good.
 */
#include "train.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "interrupt.h"

double train_elapsed(const train_job *job)
{
    return clock_seconds() - job->start;
}

/* Options that contradict each other. Every rank sees the same. */
static int check_options(train_job *job, const option_result *given)
{
    const train_options *options = &job->options;
    const tool_session *session = job->session;
    if (options->out && strlen(options->out) >= RUN_PATH)
        return session_fail(session, EXIT_USAGE,
                            "--out: the name is too long: give a shorter one");
    if (options->resume && !options->out)
        return session_fail(session, EXIT_USAGE, "--resume: give the run's folder with --out");
    if (options_given(&train_option_set, given, "minutes") && options->minutes <= 0)
        return session_fail(session, EXIT_USAGE, "--minutes: give a number above 0");
    return EXIT_DONE;
}

/* On --resume the run's own settings stand behind the command line. Every rank reads them. */
static int take_settings_of_run(train_job *job, option_result *given)
{
    run_folder *run = &job->run;
    int status = EXIT_DONE;
    snprintf(run->path, sizeof run->path, "%s", job->options.out);
    if (!run_exists(run->path))
        snprintf(run->error, sizeof run->error,
                 "--resume: %s holds no run: leave --resume out to start one there", run->path);
    else if (run_read(run) &&
             !options_from_json(&train_option_set, json_object_get(run->record, "settings"),
                                &job->options, given))
        snprintf(run->error, sizeof run->error, "%s", given->error);
    job->resumed = json_incref(run->record);
    if (run->error[0]) status = EXIT_FAILED;
    return session_settle(job->session, status, run->error);
}

/* Rank 0 names the folder; a folder with a run in it is left alone. */
static int choose_folder(train_job *job)
{
    run_folder *run = &job->run;
    int status = EXIT_DONE;
    if (job->session->rank == 0) {
        if (job->options.out)
            snprintf(run->path, sizeof run->path, "%s", job->options.out);
        else if (!run_choose(run, job->options.model))
            status = EXIT_FAILED;
        if (!status && !job->options.resume && run_exists(run->path)) {
            snprintf(run->error, sizeof run->error,
                     "--out %s: holds a run already: add --resume or give another folder",
                     run->path);
            status = EXIT_USAGE;
        }
    }
    session_share(job->session, run->path, sizeof run->path);
    return session_settle(job->session, status, run->error);
}

/* The held-out part: --val, or the end of --data. One shorter than a sequence is none. */
static int open_validation(train_job *job)
{
    const train_options *options = &job->options;
    tool_session *session = job->session;
    int status;
    job->data = job->all;
    if (options->val) {
        status = source_tokens(session, options->val, options->format, job->config.vocab_size,
                               options->train.seed, &job->val_file);
        job->val = job->val_file;
    } else {
        int64_t held_out =
            (int64_t)(options->val_fraction * (double)ringmoe_tokens_count(job->all));
        if (held_out <= options->train.seq_len) return EXIT_DONE;
        status = session_check(session, ringmoe_tokens_split(session->context, job->all,
                                                             options->val_fraction,
                                                             &job->train_part, &job->val_part));
        job->data = job->train_part;
        job->val = job->val_part;
    }
    return status;
}

static int open_data(train_job *job)
{
    const train_options *options = &job->options;
    int status = source_tokens(job->session, options->data, options->format,
                               job->config.vocab_size, options->train.seed, &job->all);
    return status ? status : open_validation(job);
}

static int open_trainer(train_job *job)
{
    char folder[SOURCE_PATH];
    ringmoe_trainer **trainer = &job->trainer;
    int status = session_check(job->session,
                               ringmoe_trainer_create(job->session->mesh, &job->config,
                                                      &job->options.train, job->data, trainer));
    job->saved_step = -1;
    if (status || !job->options.resume) return status;
    if (job->session->rank == 0)
        run_newest_checkpoint(job->run.path, folder, sizeof folder, &job->saved_step);
    session_share(job->session, &job->saved_step, sizeof job->saved_step);
    if (job->saved_step < 0) return EXIT_DONE;
    session_share(job->session, folder, sizeof folder);
    return session_check(job->session, ringmoe_trainer_restore(*trainer, folder));
}

static json_t *layout_to_json(const tool_session *session)
{
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(session->mesh);
    return json_pack("{s:i, s:i, s:i, s:i, s:s}", "ranks", session->size, "ep", dims.expert,
                     "dp", dims.data, "threads", ringmoe_context_threads(session->context),
                     "kernels", ringmoe_context_kernel_level(session->context));
}

/* run.json: what a later reader needs to know, and what --resume takes its settings from. */
static json_t *describe_run(const train_job *job)
{
    char hash[17] = "";
    json_t *record = json_object();
    ringmoe_tokens_hash(job->all, hash);
    json_object_set_new(record, "ringmoe", json_string(ringmoe_version()));
    json_object_set_new(record, "state", json_string("running"));
    json_object_set_new(record, "settings", options_to_json(&train_option_set, &job->options));
    json_object_set_new(record, "data_hash", json_string(hash));
    json_object_set_new(record, "data_tokens", json_integer(ringmoe_tokens_count(job->all)));
    json_object_set_new(record, "parameters",
                        json_integer(ringmoe_model_config_parameters(&job->config)));
    json_object_set_new(record, "active_parameters",
                        json_integer(ringmoe_model_config_active_parameters(&job->config)));
    json_object_set_new(record, "layout", layout_to_json(job->session));
    return record;
}

static int start_folder(train_job *job)
{
    int status = EXIT_DONE;
    if (job->session->rank == 0) {
        int64_t step = ringmoe_trainer_steps_done(job->trainer);
        if (!run_start(&job->run, describe_run(job), step)) status = EXIT_FAILED;
    }
    return session_settle(job->session, status, job->run.error);
}

/* Everything up to the first step. */
static int open_job(train_job *job, option_result *given)
{
    int status = check_options(job, given);
    if (!status && job->options.resume) status = take_settings_of_run(job, given);
    if (!status && !job->options.data)
        status = session_fail(job->session, EXIT_USAGE,
                              "no --data: give a text file, a folder, or the word synthetic");
    if (!status) status = choose_folder(job);
    if (!status) status = session_open(job->session, &job->options.placement);
    if (!status) status = source_config(job->session, job->options.model, &job->config);
    if (!status)
        status = session_layout(job->session, &job->options.placement,
                                job->config.num_local_experts);
    if (!status) status = open_data(job);
    if (!status && job->options.minutes > 0 && !job->options.resume &&
        !options_given(&train_option_set, given, "steps"))
        status = train_budget(job);
    if (!status) status = open_trainer(job);
    if (!status) status = start_folder(job);
    return status;
}

static void close_job(train_job *job)
{
    run_close(&job->run);
    json_decref(job->resumed);
    ringmoe_trainer_destroy(&job->trainer);
    ringmoe_tokens_destroy(&job->train_part);
    ringmoe_tokens_destroy(&job->val_part);
    ringmoe_tokens_destroy(&job->val_file);
    ringmoe_tokens_destroy(&job->all);
}

static int run_job(train_job *job)
{
    bool is_first = job->session->rank == 0;
    if (is_first) train_print_header(job);
    progress_begin(&job->progress, is_first ? job->screen : NULL,
                   ringmoe_trainer_steps_done(job->trainer), job->options.train.steps);
    interrupt_watch();
    int status = train_loop(job);
    progress_end(&job->progress);
    return status ? status : train_finish(job);
}

int command_train(tool_session *session, int argc, char **argv)
{
    train_job job = {.session = session, .val_loss = NAN, .run.metrics = -1};
    option_result given;
    int status;
    train_options_default(&job.options);
    if (!session_parse(session, &train_option_set, argc, argv, &job.options, &given, &status))
        return status;
    job.start = clock_seconds();
    job.screen = job.options.json ? stderr : stdout;
    status = open_job(&job, &given);
    if (!status) {
        status = run_job(&job);
        if (status && session->rank == 0 && job.run.record)
            run_set_state(&job.run, job.interrupted ? "stopped" : "failed");
    }
    close_job(&job);
    return status;
}
