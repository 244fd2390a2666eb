/* SPDX-License-Identifier: MIT
 *
 * Where a run begins: at step 0; at step 0 with the weights of another model
 * (--resume=weights); or where it stopped (--resume), with the newest of its checkpoints that
 * is whole. Rank 0 looks at folders and tells the others.
 */
#include <math.h>
#include <string.h>

#include "train.h"

/* --- weights alone ---------------------------------------------------------------------------
 */

static int load_weights(train_job *job)
{
    return session_check(job->session,
                         ringmoe_trainer_load_weights(job->trainer, job->weights));
}

static int begin_with_weights(train_job *job)
{
    int status = source_weights(job->session, job->options.model, job->weights);
    return status ? status : load_weights(job);
}

/* A run that has no checkpoint begins as it did the first time. */
static int begin_again(train_job *job)
{
    const json_t *weights = json_object_get(job->resumed, TRAIN_FIRST_WEIGHTS);
    if (!json_is_string(weights)) return EXIT_DONE;
    snprintf(job->weights, sizeof job->weights, "%s", json_string_value(weights));
    return load_weights(job);
}

/* --- checkpoints -----------------------------------------------------------------------------
 */

/* Checkpoints that were passed over on the way to a good one, the newest first. */
typedef struct fault {
    int64_t step;
    bool is_damage; /* else it could not be read */
    char why[1024];
} fault;

enum { MOST_FAULTS = 16 };
typedef struct fault_list {
    int64_t last; /* step of the last */
    int count;    /* of them the first MOST_FAULTS are kept */
    fault faults[MOST_FAULTS];
} fault_list;

/* Another checkpoint may be good after these. */
static bool may_pass_over(ringmoe_status problem)
{
    return problem == RINGMOE_ERROR_FORMAT || problem == RINGMOE_ERROR_FILE;
}

/* The newest step below `limit` with a checkpoint, on every rank; -1: none. */
static int find_below(train_job *job, int64_t limit, int64_t *step)
{
    int status = EXIT_DONE;
    run_folder *run = &job->run;
    if (job->session->rank == 0) {
        *step = run_checkpoint_below(run, limit);
        bool none = *step == -1 && limit == INT64_MAX;
        if (*step == RUN_UNREADABLE || (none && run_misses_latest(run))) status = EXIT_FAILED;
    }
    session_share(job->session, step, sizeof *step);
    return session_settle(job->session, status, run->error);
}

static void note_fault(const train_job *job, int64_t step, ringmoe_status problem,
                       fault_list *list)
{
    list->last = step;
    if (++list->count > MOST_FAULTS) return;
    fault *noted = &list->faults[list->count - 1];
    noted->step = step;
    noted->is_damage = problem == RINGMOE_ERROR_FORMAT;
    snprintf(noted->why, sizeof noted->why, "%s", ringmoe_context_error(job->session->context));
}

/* Rank 0 takes its name from a damaged one, and says so. */
static void tell_fault(train_job *job, const fault *passed, const char *used)
{
    char folder[SOURCE_PATH], renamed[SOURCE_PATH + 64] = "";
    run_checkpoint_path(&job->run, passed->step, folder, sizeof folder);
    if (passed->is_damage && run_set_aside(&job->run, passed->step))
        snprintf(renamed, sizeof renamed, "; it is called %s" RUN_DAMAGED " now", folder);
    train_warn(job, "%s %s (%s): going on from %s%s", folder,
               passed->is_damage ? "is damaged" : "cannot be read", passed->why, used, renamed);
}

/* What was passed over is told, and the one that is gone on from has its name. */
static int conclude(train_job *job, const fault_list *list, int64_t step, const char *used)
{
    int status = EXIT_DONE;
    job->saves.step = step;
    if (job->session->rank == 0) {
        for (int i = 0; i < list->count && i < MOST_FAULTS; i++)
            tell_fault(job, &list->faults[i], used);
        bool is_replaced = list->count > 0 && list->last == step;
        if (is_replaced && !run_take_replaced(&job->run, step)) status = EXIT_FAILED;
    }
    return session_settle(job->session, status, job->run.error);
}

/* Restores the one that a step's checkpoint was to replace when a save of it was cut off. */
static bool restore_replaced(train_job *job, int64_t step, char *folder, size_t size)
{
    int is_there = job->session->rank == 0 && run_has_replaced(&job->run, step, folder, size);
    session_share(job->session, &is_there, sizeof is_there);
    session_share(job->session, folder, size);
    return is_there && ringmoe_trainer_restore(job->trainer, folder) == RINGMOE_OK;
}

static int refuse_all(const train_job *job, const fault_list *list)
{
    return session_fail(job->session, EXIT_FAILED,
                        "--resume: none of the %d checkpoint%s in %s/checkpoints can be used; "
                        "the newest: %s",
                        list->count, list->count > 1 ? "s" : "", job->run.path,
                        list->faults[0].why);
}

/* Another model, data or batch, or a checkpoint of another version. */
static int refuse_difference(const train_job *job, const char *folder)
{
    char text[SOURCE_PATH + 1024];
    snprintf(text, sizeof text, "%s: --resume=weights --model %s --out NEW",
             ringmoe_context_error(job->session->context), folder);
    return session_settle(job->session, EXIT_USAGE, text);
}

/* Restores the newest checkpoint that is good. */
static int restore_newest(train_job *job)
{
    char folder[SOURCE_PATH] = "";
    fault_list faults = {0};
    int64_t step = INT64_MAX;
    int status;
    while (!(status = find_below(job, step, &step)) && step >= 0) {
        run_checkpoint_path(&job->run, step, folder, sizeof folder);
        ringmoe_status problem = ringmoe_trainer_restore(job->trainer, folder);
        if (problem == RINGMOE_OK) return conclude(job, &faults, step, folder);
        if (problem == RINGMOE_ERROR_ARGUMENT) return refuse_difference(job, folder);
        if (!may_pass_over(problem)) return session_check(job->session, problem);
        note_fault(job, step, problem, &faults);
        if (restore_replaced(job, step, folder, sizeof folder))
            return conclude(job, &faults, step, folder);
    }
    if (status) return status;
    return faults.count ? refuse_all(job, &faults) : begin_again(job);
}

/* A checkpoint that was being replaced when a process was killed is there again. */
static int recover(train_job *job)
{
    bool good = job->session->rank != 0 || run_recover_checkpoints(&job->run);
    return session_settle(job->session, good ? EXIT_DONE : EXIT_FAILED, job->run.error);
}

int train_resume(train_job *job)
{
    job->saves =
        (train_saves){.step = -1, .best_step = -1, .best_loss = INFINITY, .buffer_bytes = -1};
    if (job->options.resume == RESUME_OFF) return EXIT_DONE;
    if (job->options.resume == RESUME_WEIGHTS) return begin_with_weights(job);
    int status = recover(job);
    return status ? status : restore_newest(job);
}

/* The validation text is what it was, as far as that is known. */
static bool has_same_validation(const train_job *job)
{
    char hash[17];
    const json_t *before = json_object_get(job->resumed, TRAIN_VAL_HASH);
    if (!json_is_string(before) || !job->val) return true;
    return ringmoe_tokens_hash(job->val, hash) == RINGMOE_OK &&
           strcmp(json_string_value(before), hash) == 0;
}

/* Validations of before are to be compared with those to come. */
static bool validates_alike(const train_job *job)
{
    static const char *const names[] = {"val", "val-fraction", "format", "eval-sequences"};
    const json_t *before = json_object_get(job->resumed, "settings");
    json_t *now = options_to_json(&train_option_set, &job->options);
    bool alike = has_same_validation(job);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        alike = alike &&
                json_equal(json_object_get(before, names[i]), json_object_get(now, names[i]));
    json_decref(now);
    return alike;
}

/* The best up to now, for rank 0. */
static bool recall_best(train_job *job)
{
    train_saves *saves = &job->saves;
    run_folder *run = &job->run;
    int64_t kept = -1;
    bool good = validates_alike(job) || run_close_best(run, &kept);
    if (kept >= 0)
        train_warn(
            job,
            "validations differ from those before: step %lld, the best up to now, is kept "
            "beyond --keep and compared with no other",
            (long long)kept);
    saves->best_step = run_best_checkpoint(run, saves->step, &saves->best_loss);
    if (saves->best_step >= 0) return run_tell_best(run, saves->best_step, saves->best_loss);
    int64_t linked = run_linked(run, RUN_BEST);
    bool is_whole = linked >= 0 && run_has_checkpoint(run, linked);
    return (is_whole || run_point(run, RUN_BEST, -1)) && good;
}

int train_resume_folder(train_job *job)
{
    train_saves *saves = &job->saves;
    run_folder *run = &job->run;
    if (job->options.resume != RESUME_RUN) return EXIT_DONE;
    if (job->session->rank == 0) {
        if (!run_tidy_checkpoints(run)) train_warn(job, "%s", run->error);
        if (!recall_best(job)) train_warn(job, "%s", run->error);
        if (!run_point(run, RUN_LATEST, saves->step)) train_warn(job, "%s", run->error);
    }
    session_share(job->session, &saves->best_step, sizeof saves->best_step);
    session_share(job->session, &saves->best_loss, sizeof saves->best_loss);
    return EXIT_DONE;
}
