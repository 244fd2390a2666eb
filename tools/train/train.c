/* SPDX-License-Identifier: MIT
 *
 * `ringmoe train`: opens data, model, mesh and trainer in this order, on every rank alike, and
 * touches the run's folder only when all of them are good.
 */
#include "train.h"

#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

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
    if (options->resume == RESUME_RUN && !options->out)
        return session_fail(session, EXIT_USAGE, "--resume: give the run's folder with --out");
    if (options->resume == RESUME_WEIGHTS && !options_given(&train_option_set, given, "model"))
        return session_fail(session, EXIT_USAGE,
                            "--resume=weights: give the folder with the weights as --model: a "
                            "run, a checkpoint or a Hugging Face folder");
    if (options_given(&train_option_set, given, "minutes") && options->minutes <= 0)
        return session_fail(session, EXIT_USAGE, "--minutes: give a number above 0");
    return EXIT_DONE;
}

/* A run's own checkpoint is easily taken for the run. */
static void explain_no_run(run_folder *run)
{
    char name[RUN_PATH + 64];
    snprintf(name, sizeof name, "%s/manifest.json", run->path);
    bool is_checkpoint = access(name, F_OK) == 0;
    snprintf(run->error, sizeof run->error, "--resume: %s %s", run->path,
             is_checkpoint ? "is a checkpoint: give the folder of its run"
                           : "holds no run: leave --resume out to start one there");
}

/* On --resume the run's own settings stand behind the command line. Every rank reads them. */
static int take_settings_of_run(train_job *job, option_result *given)
{
    run_folder *run = &job->run;
    int status = EXIT_DONE;
    snprintf(run->path, sizeof run->path, "%s", job->options.out);
    if (!run_exists(run->path))
        explain_no_run(run);
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
        bool is_new = job->options.resume != RESUME_RUN;
        if (!status && is_new && run_is_taken(run->path)) {
            snprintf(run->error, sizeof run->error,
                     "--out %s: holds a run already: %sgive another folder", run->path,
                     job->options.resume == RESUME_OFF ? "add --resume or " : "");
            status = EXIT_USAGE;
        }
    }
    session_share(job->session, run->path, sizeof run->path);
    return session_settle(job->session, status, run->error);
}

/* A text to validate on that somebody asked for and that is shorter than a sequence. */
static int refuse_validation(const train_job *job, const char *option, int64_t n_tokens)
{
    long long needed = (long long)job->options.train.seq_len + 1;
    return session_fail(job->session, EXIT_FAILED,
                        "--%s: %lld tokens to validate on, where --seq-len and the last target "
                        "take %lld: give more text or a smaller --seq-len",
                        option, (long long)n_tokens, needed);
}

static int open_text(const train_job *job, const char *path, ringmoe_tokens **tokens)
{
    return source_tokens(job->session,
                         &(source_text){.path = path,
                                        .format = job->options.format,
                                        .vocab_size = job->config.vocab_size,
                                        .seed = job->options.train.seed,
                                        .tokenizer = job->tokenizer},
                         tokens);
}

/* The file of --val. */
static int open_validation_file(train_job *job)
{
    const train_options *options = &job->options;
    int status = open_text(job, options->val, &job->val_file);
    job->val = job->val_file;
    if (!status && ringmoe_tokens_count(job->val) <= options->train.seq_len)
        return refuse_validation(job, "val", ringmoe_tokens_count(job->val));
    return status;
}

/* The end of --data. One shorter than a sequence is none, unless it was asked for. */
static int split_validation(train_job *job, bool is_asked_for)
{
    const train_options *options = &job->options;
    double fraction = options->val_fraction;
    int64_t held_out = (int64_t)(fraction * (double)ringmoe_tokens_count(job->all));
    if (held_out <= options->train.seq_len && is_asked_for && fraction > 0)
        return refuse_validation(job, "val-fraction", held_out);
    if (held_out <= options->train.seq_len) return EXIT_DONE;
    int status = session_check(job->session,
                               ringmoe_tokens_split(job->session->context, job->all, fraction,
                                                    &job->train_part, &job->val_part));
    job->data = job->train_part;
    job->val = job->val_part;
    return status;
}

/* Where the model names no id, its tokenizer may. */
static void name_id(ringmoe_token_ids *ids, int id)
{
    if (ids->n == 0 && id >= 0) *ids = (ringmoe_token_ids){1, {id}};
}

/* What checkpoints say of their tokenizer. */
static void name_ids(const ringmoe_tokenizer *tokenizer, ringmoe_model_config *config)
{
    name_id(&config->bos_token_id, ringmoe_tokenizer_bos(tokenizer));
    name_id(&config->eos_token_id, ringmoe_tokenizer_eos(tokenizer));
    name_id(&config->pad_token_id, ringmoe_tokenizer_padding(tokenizer));
}

/* That of --tokenizer, whose ids a preset takes as its vocabulary; or the one that the model
 * brings, since its text is no text of bytes. */
static int open_tokenizer(train_job *job)
{
    const train_options *options = &job->options;
    char model[SOURCE_PATH];
    bool has_weights;
    int status = source_find(job->session, options->model, model, &has_weights);
    job->leaves_weights = has_weights && options->resume == RESUME_OFF;
    bool is_preset = !model[0],
         is_own = !options->tokenizer && has_weights && strcmp(options->data, "synthetic") != 0;
    int most = is_preset ? INT_MAX : job->config.vocab_size;
    if (!status && options->tokenizer)
        status = source_tokenizer(job->session, options->tokenizer, most, &job->tokenizer);
    else if (!status && is_own)
        status = source_own_tokenizer(job->session, model, most, &job->tokenizer);
    if (!status && is_preset && job->tokenizer)
        job->config.vocab_size = ringmoe_tokenizer_vocab_size(job->tokenizer);
    if (!status && job->tokenizer) name_ids(job->tokenizer, &job->config);
    return status;
}

static int open_data(train_job *job, const option_result *given)
{
    const train_options *options = &job->options;
    int status = open_text(job, options->data, &job->all);
    job->data = job->all;
    if (status) return status;
    if (options->val) return open_validation_file(job);
    return split_validation(job, options_given(&train_option_set, given, "val-fraction"));
}

static int open_trainer(train_job *job)
{
    int status = session_check(
        job->session, ringmoe_trainer_create(job->session->mesh, &job->config,
                                             &job->options.train, job->data, &job->trainer));
    if (status) return status;
    ringmoe_trainer_set_tokenizer(job->trainer, job->tokenizer);
    return train_resume(job);
}

static int start_folder(train_job *job)
{
    int status = EXIT_DONE;
    if (job->session->rank == 0) {
        int64_t step = ringmoe_trainer_steps_done(job->trainer);
        if (!run_start(&job->run, train_describe(job), step)) status = EXIT_FAILED;
    }
    status = session_settle(job->session, status, job->run.error);
    return status ? status : train_resume_folder(job);
}

/* Everything up to the first step. */
static int open_job(train_job *job, option_result *given)
{
    int status = check_options(job, given);
    if (!status && job->options.resume == RESUME_RUN) status = take_settings_of_run(job, given);
    if (!status && !job->options.data)
        status = session_fail(job->session, EXIT_USAGE,
                              "no --data: give a text file, a folder, or the word synthetic");
    if (!status)
        status = session_execution(job->session, &job->options.execution, &job->options.train);
    if (!status) status = choose_folder(job);
    if (!status) status = session_open(job->session, &job->options.placement);
    if (!status) status = source_config(job->session, job->options.model, &job->config);
    if (!status) status = open_tokenizer(job);
    if (!status)
        status = session_layout(job->session, &job->options.placement,
                                job->config.num_local_experts);
    if (!status) status = open_data(job, given);
    if (!status) status = train_check_memory(job);
    if (!status && job->options.minutes > 0 && job->options.resume != RESUME_RUN &&
        !options_given(&train_option_set, given, "steps"))
        status = train_budget(job);
    if (job->options.save_every < 0)
        job->options.save_every = (job->options.train.steps + 9) / 10;
    if (!status) status = open_trainer(job);
    if (!status) status = start_folder(job);
    return status;
}

static void close_job(train_job *job)
{
    run_close(&job->run);
    json_decref(job->resumed);
    json_decref(job->line);
    json_decref(job->news);
    ringmoe_trainer_destroy(&job->trainer);
    ringmoe_tokens_destroy(&job->train_part);
    ringmoe_tokens_destroy(&job->val_part);
    ringmoe_tokens_destroy(&job->val_file);
    ringmoe_tokens_destroy(&job->all);
    ringmoe_tokenizer_destroy(&job->tokenizer);
}

/* Of experts by tokens in one step, if a capacity may drop some; 0: none are dropped. */
static int64_t choices_a_step(const train_job *job)
{
    const ringmoe_model_config *config = &job->config;
    const ringmoe_train_settings *train = &job->options.train;
    int64_t layers = 0;
    if (config->capacity_factor <= 0 || config->num_local_experts == 0) return 0;
    for (int i = 0; i < config->num_hidden_layers; i++) layers += !config->is_dense_layer[i];
    return layers * train->global_batch * train->seq_len * config->num_experts_per_tok;
}

static int run_job(train_job *job)
{
    bool is_first = job->session->rank == 0;
    if (is_first) train_print_header(job);
    progress_begin(&job->progress, is_first ? job->screen : NULL,
                   ringmoe_trainer_steps_done(job->trainer), job->options.train.steps,
                   choices_a_step(job));
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
        if (status && !job.finished && session->rank == 0 && job.run.record)
            run_set_state(&job.run, status == EXIT_PREEMPTED ? "preempted" : "failed");
    }
    close_job(&job);
    return status;
}
