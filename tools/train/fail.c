/* SPDX-License-Identifier: MIT
 *
 * What stays of a run that goes wrong: a save under way is finished. After a step the weights
 * come from an update that no loss has confirmed; only a state whose loss was seen to be finite
 * becomes a checkpoint.
 */
#include <math.h>
#include <string.h>

#include "train.h"

void train_end_progress(train_job *job)
{
    progress_end(&job->progress);
    job->progress.out = NULL;
}

/* After other failures ranks may no longer find each other, and a save cannot be waited for. */
static bool ranks_agree(ringmoe_status problem)
{
    return problem != RINGMOE_ERROR_MPI && problem != RINGMOE_ERROR_MISMATCH;
}

/* Whether the step that failed had a loss, so that only its gradient was not finite and the
 * weights in memory are good. */
static bool has_finite_loss(const train_job *job, ringmoe_status problem)
{
    return problem == RINGMOE_ERROR_NUMERIC &&
           job->last.step == ringmoe_trainer_steps_done(job->trainer) + 1 &&
           isfinite(job->last.loss);
}

int train_fail(train_job *job, ringmoe_status problem)
{
    char text[1024], folder[SOURCE_PATH];
    long long step = (long long)ringmoe_trainer_steps_done(job->trainer);
    snprintf(text, sizeof text, "%s", ringmoe_context_error(job->session->context));
    train_end_progress(job);
    if (!ranks_agree(problem)) return session_check(job->session, problem);
    int status = has_finite_loss(job, problem) ? train_save_begin(job, NAN) : EXIT_DONE;
    if (status) return status;
    train_save_finish(job);
    if (problem != RINGMOE_ERROR_NUMERIC)
        return session_settle(job->session, EXIT_FAILED, text);
    bool names_step = strncmp(text, "step ", 5) == 0;
    char where[48] = "";
    if (!names_step) snprintf(where, sizeof where, "after step %lld: ", step);
    if (job->saves.step < 0)
        return session_fail(job->session, EXIT_FAILED,
                            "%s%s; no checkpoint had been made before (--save-every)", where,
                            text);
    run_checkpoint_path(&job->run, job->saves.step, folder, sizeof folder);
    return session_fail(job->session, EXIT_FAILED,
                        "%s%s; kept: %s, the last whose loss was finite", where, text, folder);
}
