/* SPDX-License-Identifier: MIT
 *
 * --minutes without --steps. The learning rate's decay needs the number of steps beforehand, so
 * a trainer like the real one is timed for a few steps and thrown away; what is left of the
 * time is divided by the median step, validations included. The loop still stops when time is
 * up.
 */
#include "train.h"

#include <stdlib.h>

enum { TIMED_STEPS = 5, VALIDATIONS = 11 };

/* Machines with neighbours slow down: plan for nine tenths of the time. */
static const double planned_share = 0.9;
/* On a slow machine fewer steps are timed, so that most of the time is left for the training.
 */
static const double timing_share = 0.1;

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

/* The median of a few steps. The first one touches fresh memory, and counts only if it is the
 * only one there is time for. */
static int time_steps(train_job *job, ringmoe_trainer *trainer, double *median)
{
    double seconds[TIMED_STEPS + 1], limit = timing_share * 60 * job->options.minutes;
    ringmoe_step_metrics metrics;
    int count = 0, is_over = 0;
    for (; count <= TIMED_STEPS && !is_over; count++) {
        double start = clock_seconds();
        int status = session_check(job->session, ringmoe_trainer_step(trainer, &metrics));
        if (status) return status;
        seconds[count] = clock_seconds() - start;
        is_over = train_elapsed(job) > limit;
        session_share(job->session, &is_over, sizeof is_over);
    }
    if (count == 1) {
        *median = seconds[0];
        return EXIT_DONE;
    }
    qsort(seconds + 1, (size_t)count - 1, sizeof seconds[0], compare_doubles);
    *median = seconds[1 + (count - 1) / 2];
    return EXIT_DONE;
}

/* A forward pass is a third of a step, so a validation costs this many steps. */
static double steps_of_validations(const train_options *options)
{
    double steps = (double)options->eval_sequences / (double)options->train.global_batch / 3;
    return VALIDATIONS * steps;
}

/* How many of the steps there is time for are left beside the validations, which on a slow
 * machine become shorter, so that they take at most a quarter. */
static int64_t divide_steps(train_options *options, double affordable)
{
    double validations = steps_of_validations(options), most = affordable / 4;
    if (validations > most && options->eval_sequences == TRAIN_EVAL_SEQUENCES) {
        int64_t fitting = (int64_t)(TRAIN_EVAL_SEQUENCES * most / validations);
        options->eval_sequences = fitting > 1 ? fitting : 1;
        validations = steps_of_validations(options);
    }
    return affordable - validations > 1 ? (int64_t)(affordable - validations) : 1;
}

int train_budget(train_job *job)
{
    train_options *options = &job->options;
    ringmoe_trainer *trainer = NULL;
    double step_seconds = 1;
    if (job->session->rank == 0) {
        fprintf(job->screen, "timing a few steps to see how many fit into %g minutes\n",
                options->minutes);
        fflush(job->screen);
    }
    int status = session_check(job->session,
                               ringmoe_trainer_create(job->session->mesh, &job->config,
                                                      &options->train, job->data, &trainer));
    if (!status) status = time_steps(job, trainer, &step_seconds);
    ringmoe_trainer_destroy(&trainer);
    if (status) return status;
    double affordable =
        planned_share * (60 * options->minutes - train_elapsed(job)) / step_seconds;
    session_share(job->session, &affordable, sizeof affordable);
    options->train.steps = divide_steps(options, affordable);
    return EXIT_DONE;
}
