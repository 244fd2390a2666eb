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
    int count; /* of them the first MOST_FAULTS are kept */
    fault faults[MOST_FAULTS];
} fault_list;

/* Another checkpoint may be good after these. */
static bool may_pass_over(ringmoe_status problem)
{
    return problem == RINGMOE_ERROR_FORMAT || problem == RINGMOE_ERROR_FILE;
}

/* The newest step below `limit` with a checkpoint, on every rank. */
static int64_t find_below(const train_job *job, int64_t limit)
{
    int64_t step = -1;
    if (job->session->rank == 0) step = run_checkpoint_below(job->run.path, limit);
    session_share(job->session, &step, sizeof step);
    return step;
}

static void note_fault(const train_job *job, int64_t step, ringmoe_status problem,
                       fault_list *list)
{
    if (++list->count > MOST_FAULTS) return;
    fault *noted = &list->faults[list->count - 1];
    noted->step = step;
    noted->is_damage = problem == RINGMOE_ERROR_FORMAT;
    snprintf(noted->why, sizeof noted->why, "%s", ringmoe_context_error(job->session->context));
}

/* Rank 0 says which were passed over, and takes their names from the damaged ones. */
static void tell_faults(train_job *job, const fault_list *list, const char *used)
{
    char folder[SOURCE_PATH];
    for (int i = 0; i < list->count && i < MOST_FAULTS && job->session->rank == 0; i++) {
        const fault *passed = &list->faults[i];
        run_checkpoint_path(&job->run, passed->step, folder, sizeof folder);
        train_warn(job, "%s %s (%s): going on from %s", folder,
                   passed->is_damage ? "is damaged" : "cannot be read", passed->why, used);
        if (passed->is_damage) run_set_aside(&job->run, passed->step);
    }
}

static int refuse_all(const train_job *job, const fault_list *list)
{
    return session_fail(job->session, EXIT_FAILED,
                        "--resume: none of the %d checkpoint%s in %s/checkpoints can be used; "
                        "the newest: %s",
                        list->count, list->count > 1 ? "s" : "", job->run.path,
                        list->faults[0].why);
}

/* Another model, data or batch. */
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
    char folder[SOURCE_PATH];
    fault_list faults = {0};
    for (int64_t step = INT64_MAX; (step = find_below(job, step)) >= 0;) {
        run_checkpoint_path(&job->run, step, folder, sizeof folder);
        ringmoe_status problem = ringmoe_trainer_restore(job->trainer, folder);
        if (problem == RINGMOE_OK) {
            job->saves.step = step;
            tell_faults(job, &faults, folder);
            return EXIT_DONE;
        }
        if (problem == RINGMOE_ERROR_ARGUMENT) return refuse_difference(job, folder);
        if (!may_pass_over(problem)) return session_check(job->session, problem);
        note_fault(job, step, problem, &faults);
    }
    return faults.count ? refuse_all(job, &faults) : begin_again(job);
}

int train_resume(train_job *job)
{
    job->saves =
        (train_saves){.step = -1, .best_step = -1, .best_loss = INFINITY, .buffer_bytes = -1};
    if (job->options.resume == RESUME_OFF) return EXIT_DONE;
    if (job->options.resume == RESUME_WEIGHTS) return begin_with_weights(job);
    if (job->session->rank == 0) run_recover_checkpoints(&job->run);
    return restore_newest(job);
}

/* Validations of before are to be compared with those to come. */
static bool validates_alike(const train_job *job)
{
    static const char *const names[] = {"val", "format", "eval-sequences"};
    const json_t *before = json_object_get(job->resumed, "settings");
    json_t *now = options_to_json(&train_option_set, &job->options);
    bool alike = true;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        alike = alike &&
                json_equal(json_object_get(before, names[i]), json_object_get(now, names[i]));
    json_decref(now);
    return alike;
}

int train_resume_folder(train_job *job)
{
    train_saves *saves = &job->saves;
    run_folder *run = &job->run;
    if (job->options.resume != RESUME_RUN) return EXIT_DONE;
    if (job->session->rank == 0) {
        run_tidy_checkpoints(run);
        if (validates_alike(job))
            saves->best_step = run_best_checkpoint(run, saves->step, &saves->best_loss);
        if (!run_point(run, RUN_BEST, saves->best_step) ||
            !run_point(run, RUN_LATEST, saves->step))
            train_warn(job, "%s", run->error);
    }
    session_share(job->session, &saves->best_step, sizeof saves->best_step);
    session_share(job->session, &saves->best_loss, sizeof saves->best_loss);
    return EXIT_DONE;
}
