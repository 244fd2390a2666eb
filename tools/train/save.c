/* SPDX-License-Identifier: MIT
 *
 * Checkpoints of a run, written beside training. While training can go on, a save that fails is
 * a warning, on the screen and in the metrics; when the run ends, what is not on the disk is
 * lost, and that is a failure. Of a checkpoint that is complete first `best`, then `latest` is
 * told, and then what --keep has no room for goes away.
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "json_text.h"
#include "train.h"

/* --- news ----------------------------------------------------------------------------------
 */

static json_t *news_list(train_job *job, const char *key)
{
    if (!job->news) job->news = json_object();
    json_t *list = json_object_get(job->news, key);
    if (list) return list;
    json_object_set_new(job->news, key, json_array());
    return json_object_get(job->news, key);
}

void train_warn(train_job *job, const char *format, ...)
{
    char text[2 * RUN_PATH];
    va_list arguments;
    if (job->session->rank != 0) return;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    progress_clear(&job->progress);
    fprintf(stderr, "ringmoe train: warning: %s\n", text);
    json_array_append_new(news_list(job, "warnings"), json_string(text));
}

static void tell_save(train_job *job, const ringmoe_save_result *result)
{
    json_t *save =
        json_pack("{s:I, s:I, s:o, s:o}", "checkpoint", (json_int_t)result->step, "bytes",
                  (json_int_t)result->bytes, "seconds", json_number(result->seconds),
                  "stalled_seconds", json_number(result->stalled_seconds));
    if (job->session->rank == 0)
        json_array_append_new(news_list(job, "saves"), save);
    else
        json_decref(save);
}

void train_news_to_json(train_job *job, json_t *line)
{
    const char *key;
    json_t *list;
    json_object_foreach(job->news, key, list)
    {
        json_t *before = json_object_get(line, key);
        if (before)
            json_array_extend(before, list);
        else
            json_object_set(line, key, list);
    }
    json_decref(job->news);
    job->news = NULL;
}

/* --- what becomes of a save ----------------------------------------------------------------
 */

/* Training can go on after these, and a later save may do better. */
static bool is_only_the_saves(ringmoe_status problem)
{
    return problem == RINGMOE_ERROR_FILE || problem == RINGMOE_ERROR_MEMORY;
}

/* Rank 0 points the links, each on its own, and removes what is old. A best one that could not
 * be told before is told now. */
static void publish(train_job *job)
{
    train_saves *saves = &job->saves;
    run_folder *run = &job->run;
    char problem[sizeof run->error] = "";
    bool best_told = run_tell_best(run, saves->best_step, saves->best_loss);
    if (!best_told) memcpy(problem, run->error, sizeof problem);
    bool pointed = run_point(run, RUN_LATEST, saves->step);
    if (!pointed) memcpy(problem, run->error, sizeof problem);
    if (problem[0] && !saves->links_failed) train_warn(job, "%s", problem);
    saves->links_failed = problem[0] != '\0';
    if (pointed) run_keep_checkpoints(run, saves->step, job->options.keep, saves->best_step);
}

static void conclude_save(train_job *job, const ringmoe_save_result *result)
{
    train_saves *saves = &job->saves;
    bool is_best = train_save_is_best(job, saves->pending_loss);
    saves->step = saves->pending_step;
    saves->failure[0] = '\0';
    if (is_best) {
        saves->best_step = saves->step;
        saves->best_loss = saves->pending_loss;
    }
    tell_save(job, result);
    if (job->session->rank == 0) publish(job);
}

/* At the end the screen has it as what it is then, a failure. */
static void warn_of_failure(train_job *job)
{
    const train_saves *saves = &job->saves;
    char text[sizeof saves->failure + 64];
    snprintf(text, sizeof text, "step %lld: not saved: %s", (long long)saves->pending_step,
             saves->failure);
    if (!saves->is_ending)
        train_warn(job, "%s", text);
    else if (job->session->rank == 0)
        json_array_append_new(news_list(job, "warnings"), json_string(text));
}

/* A failure that training survives is said and remembered. */
static int take_failure(train_job *job, ringmoe_status problem)
{
    train_saves *saves = &job->saves;
    if (!is_only_the_saves(problem)) return session_check(job->session, problem);
    snprintf(saves->failure, sizeof saves->failure, "%s",
             ringmoe_context_error(job->session->context));
    warn_of_failure(job);
    return EXIT_DONE;
}

static int poll(train_job *job, int wait)
{
    int done = 0;
    ringmoe_save_result result;
    if (!job->saves.is_under_way) return EXIT_DONE;
    ringmoe_status problem = ringmoe_trainer_save_poll(job->trainer, wait, &done, &result);
    if (problem == RINGMOE_OK && !done) return EXIT_DONE;
    job->saves.is_under_way = false;
    if (problem != RINGMOE_OK) return take_failure(job, problem);
    conclude_save(job, &result);
    return EXIT_DONE;
}

int train_save_poll(train_job *job)
{
    return poll(job, 0);
}

/* --- beginning -----------------------------------------------------------------------------
 */

bool train_save_is_best(const train_job *job, double val_loss)
{
    const train_saves *saves = &job->saves;
    bool is_beaten = saves->is_under_way && saves->pending_loss <= val_loss;
    return isfinite(val_loss) && val_loss < saves->best_loss && !is_beaten;
}

/* Half of what this rank has resident, of which no more is taken than it has to write, if there
 * is memory for it. */
static int64_t choose_buffer(const train_job *job)
{
    ringmoe_memory_plan plan;
    ringmoe_machine machine;
    if (job->options.save_async == SAVE_ASYNC_OFF || !train_plan_memory(job, &plan)) return 0;
    int64_t half = plan.total / 2;
    if (job->options.save_async == SAVE_ASYNC_ON) return half;
    ringmoe_machine_describe(&machine);
    int64_t quarter = machine.memory_free_bytes / 4 / job->session->node_size;
    int64_t fits = half < quarter ? half : quarter;
    return fits < half / 8 ? 0 : fits;
}

/* A buffer that the system refuses is halved so often; then saves stand in the way. All ranks
 * have the same answers. */
enum { BUFFER_TRIES = 5 };

/* Whether some save of the run is beside training that goes on. */
static bool has_saves_beside(const train_job *job)
{
    int64_t every = job->options.save_every;
    int64_t left = job->options.train.steps - ringmoe_trainer_steps_done(job->trainer);
    return job->options.save_async != SAVE_ASYNC_OFF && every > 0 && left > 0;
}

void train_save_prepare(train_job *job)
{
    train_saves *saves = &job->saves;
    if (saves->buffer_bytes >= 0 || !has_saves_beside(job)) return;
    saves->buffer_bytes = choose_buffer(job);
    for (int tries = 0; tries < BUFFER_TRIES; tries++) {
        const ringmoe_save_settings settings = {.buffer_bytes = saves->buffer_bytes};
        ringmoe_status problem = ringmoe_trainer_save_reserve(job->trainer, &settings);
        if (problem != RINGMOE_ERROR_MEMORY) return;
        saves->buffer_bytes /= 2;
    }
    saves->buffer_bytes = 0;
}

/* A folder that somebody has removed, or a disk that is gone, is not made anew. */
static bool has_folder(train_job *job)
{
    int is_there = job->session->rank != 0 || run_is_there(&job->run);
    session_share(job->session, &is_there, sizeof is_there);
    if (is_there) return true;
    snprintf(job->saves.failure, sizeof job->saves.failure, "%s", job->run.error);
    warn_of_failure(job);
    return false;
}

static int start(train_job *job)
{
    char folder[SOURCE_PATH];
    train_saves *saves = &job->saves;
    if (saves->buffer_bytes < 0) saves->buffer_bytes = 0; /* nothing is trained beside it */
    const ringmoe_save_settings settings = {.buffer_bytes = saves->buffer_bytes};
    run_checkpoint_path(&job->run, saves->pending_step, folder, sizeof folder);
    ringmoe_status problem = ringmoe_trainer_save_start(job->trainer, folder, &settings);
    if (problem != RINGMOE_OK) return take_failure(job, problem);
    saves->is_under_way = true;
    return poll(job, job->options.save_async == SAVE_ASYNC_OFF);
}

int train_save_begin(train_job *job, double val_loss)
{
    train_saves *saves = &job->saves;
    int64_t step = ringmoe_trainer_steps_done(job->trainer);
    bool is_begun = saves->is_under_way && saves->pending_step == step;
    if (step == saves->step || is_begun) return EXIT_DONE;
    int status = poll(job, 1);
    if (status) return status;
    saves->pending_step = step;
    saves->pending_loss = val_loss;
    return has_folder(job) ? start(job) : EXIT_DONE;
}

/* --- the end -------------------------------------------------------------------------------
 */

/* What happened since the newest line of metrics goes into it, as there will be no other. */
static void tell_last_news(train_job *job)
{
    if (!job->news || !job->line) return;
    train_news_to_json(job, job->line);
    run_amend(&job->run, job->line);
}

/* What a run that ends now loses, if anything. */
static bool describe_loss(train_job *job, char *text, size_t size)
{
    const train_saves *saves = &job->saves;
    const run_folder *run = &job->run;
    bool flushed = run_flush(&job->run);
    long long lines = run->waiting_lines + run->lost_lines;
    char kept[64] = "no checkpoint had been made before";
    int used = 0;
    text[0] = '\0';
    if (saves->step >= 0)
        snprintf(kept, sizeof kept, "the newest checkpoint is of step %lld",
                 (long long)saves->step);
    if (saves->failure[0])
        used = snprintf(text, size, "step %lld: not saved: %s; %s",
                        (long long)saves->pending_step, saves->failure, kept);
    if (lines > 0 && used < (int)size)
        snprintf(text + used, size - (size_t)used, "%slost: %lld line%s of metrics.jsonl%s%s",
                 used ? "; " : "", lines, lines > 1 ? "s" : "", flushed ? "" : ": ",
                 flushed ? "" : run->error);
    return saves->failure[0] || lines > 0;
}

int train_save_finish(train_job *job)
{
    char text[3 * RUN_PATH] = "";
    int status = poll(job, 1), loses = 0;
    if (status) return status;
    if (job->session->rank == 0) tell_last_news(job);
    if (job->session->rank == 0) loses = describe_loss(job, text, sizeof text);
    return session_settle(job->session, loses ? EXIT_FAILED : EXIT_DONE, text);
}
