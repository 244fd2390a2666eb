/* SPDX-License-Identifier: MIT
 *
 * Pipelines: a program cut into stages that lie on a ring of ranks, and microbatches that pass
 * through them, forward and, if wanted, backward. The stages are the caller's functions;
 * nothing here knows what they compute.
 *
 *   stage s runs on pipeline rank s % P as its chunk s / P:  with P = 2 and two chunks a rank
 *
 *     rank 0  | stage 0 |         | stage 2 |              activations ->
 *     rank 1            | stage 1 |         | stage 3 |    <- gradients
 *
 * What each rank does in which order is data, a schedule: GPipe (Huang et al. 2019), 1F1B
 * (Narayanan et al. 2019), interleaved 1F1B (Narayanan et al. 2021), ZB-H1 (Qi et al. 2023).
 *
 * A program of its own stages, forward only, on all ranks of a communicator:
 *
 *     ringmoe_status stage(void *user, const ringmoe_stage_call *call)
 *     {
 *         const float *x = call->input ? call->input : load_row(user, call->microbatch);
 *         float *y = call->output ? call->output : result_row(user, call->microbatch);
 *         return apply_filter(user, call->stage, x, y) ? RINGMOE_OK : RINGMOE_ERROR_NUMERIC;
 *     }
 *
 *     ringmoe_mesh_dims all = {.pipeline = n_ranks, .data = 1};
 *     ringmoe_mesh_create(context, &all, 0, &mesh);
 *     ringmoe_schedule_create(context, "forward", n_ranks, n_microbatches, 1, &schedule);
 *     ringmoe_pipeline_create(mesh, schedule, n_elements, &pipeline);
 *     status = ringmoe_pipeline_run(pipeline, step, stage, user, NULL);
 *
 * Determinism: what a stage gets does not depend on the schedule, and gradients of the weights
 * are made in the order of the microbatches in all of them; a program that adds them up as they
 * come has the same bits for every schedule and number of ranks.
 */
#ifndef RINGMOE_PIPELINE_H
#define RINGMOE_PIPELINE_H

#include <ringmoe/mesh.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ringmoe_stage_operation {
    RINGMOE_STAGE_FORWARD = 0,
    RINGMOE_STAGE_BACKWARD = 1,        /**< gradients of the input and of the weights */
    RINGMOE_STAGE_BACKWARD_INPUT = 2,  /**< those of the input alone; BACKWARD_WEIGHT follows */
    RINGMOE_STAGE_BACKWARD_WEIGHT = 3, /**< those of the weights */
} ringmoe_stage_operation;

/** One line of a rank's list. */
typedef struct ringmoe_schedule_item {
    ringmoe_stage_operation operation;
    int microbatch; /**< 0..n_microbatches-1 */
    int chunk;      /**< of the rank, 0..n_chunks-1 */
    int slot;       /**< which of the chunk's stores of activations the microbatch has, from its
                         forward to its last backward operation: 0..slots-1 */
} ringmoe_schedule_item;

/** Lists for all ranks. */
typedef struct ringmoe_schedule ringmoe_schedule;

/** The names ringmoe_schedule_create knows, NULL-terminated: "forward", "gpipe", "1f1b",
 * "interleaved", "zb-h1". Local. */
RINGMOE_API const char *const *ringmoe_schedule_names(void);

/**
 * Makes a schedule and proves it (see ringmoe_schedule_check). Local.
 *   name            in   one of ringmoe_schedule_names
 *   n_ranks         in   P, ranks of the ring, at least 1
 *   n_microbatches  in   m, at least 1
 *   n_chunks        in   v, chunks a rank, at least 1. Any schedule takes several
 *   schedule        out  free with ringmoe_schedule_destroy
 * Returns OK; ARGUMENT (unknown name, numbers out of range); MEMORY. The line goes to
 * `context`.
 */
RINGMOE_API ringmoe_status ringmoe_schedule_create(ringmoe_context *context, const char *name,
                                                   int n_ranks, int n_microbatches,
                                                   int n_chunks, ringmoe_schedule **schedule);

/**
 * A schedule of the caller's own: items[r] is rank r's list of n_items[r] lines, which are
 * copied. Slots are assigned here (those of the items are ignored), and the whole is proved.
 * Local. Returns OK; ARGUMENT (the line names rank, line and what is wrong); MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_schedule_from_items(
    ringmoe_context *context, int n_ranks, int n_microbatches, int n_chunks,
    const ringmoe_schedule_item *const *items, const int *n_items, ringmoe_schedule **schedule);

/**
 * Proves a schedule: every stage does every microbatch forward once and, unless the schedule
 * has no backward operations at all, backward once (whole or in its two parts); a stage's
 * backward follows its forward, its weight part its input part; gradients of weights are made
 * in the order of the microbatches; run with blocking receives, all lists come to their end;
 * and no chunk ever holds more microbatches than its slots. Local. Returns OK; ARGUMENT.
 */
RINGMOE_API ringmoe_status ringmoe_schedule_check(ringmoe_context *context,
                                                  const ringmoe_schedule *schedule);

/** Frees a schedule. Local. NULL or *schedule NULL: nothing. */
RINGMOE_API void ringmoe_schedule_destroy(ringmoe_schedule **schedule);

/** A rank's list, which belongs to the schedule. Local. */
RINGMOE_API const ringmoe_schedule_item *
ringmoe_schedule_items(const ringmoe_schedule *schedule, int rank, int *n_items);
/** Its sizes: P, m, v. Local. */
RINGMOE_API void ringmoe_schedule_sizes(const ringmoe_schedule *schedule, int *n_ranks,
                                        int *n_microbatches, int *n_chunks);
/** Microbatches whose activations a rank's chunk holds at once, at most. Over all v chunks of
 * rank r they are at most m * v, and with groups of g microbatches (about P) on a ring
 *   1f1b          (v - 1) * g + P - r          also interleaved, of one chunk
 *   interleaved   (v - 1) * g + 2 * (P - r - 1) + 1
 *   zb-h1         (v - 1) * g + P
 * Local. */
RINGMOE_API int ringmoe_schedule_slots(const ringmoe_schedule *schedule, int rank, int chunk);

/** Seconds of one stage's operations, for ringmoe_schedule_simulate. */
typedef struct ringmoe_stage_cost {
    double forward, backward_input, backward_weight; /**< backward: the sum of the last two */
} ringmoe_stage_cost;

/** What a schedule comes to. */
typedef struct ringmoe_schedule_times {
    double seconds; /**< from the first operation to the end of the last */
    double bubble;  /**< 1 - work of all ranks / (P * seconds) */
} ringmoe_schedule_times;

/**
 * Plays a schedule through with given costs. Local.
 *   costs             in   [P * v], by stage
 *   transfer_seconds  in   of one activation or gradient between ranks
 *   begins            out  start of each item in seconds, [P][items of the rank] one rank after
 *                          the other; NULL: not wanted
 */
RINGMOE_API ringmoe_status ringmoe_schedule_simulate(ringmoe_context *context,
                                                     const ringmoe_schedule *schedule,
                                                     const ringmoe_stage_cost *costs,
                                                     double transfer_seconds, double *begins,
                                                     ringmoe_schedule_times *times);

/**
 * Cuts n_layers consecutive layers into n_stages so that the costliest stage is as cheap as can
 * be. Local. first_cost and last_cost come on top of the first and the last stage (embedding,
 * head). bounds [n_stages + 1]: stage s has layers [bounds[s], bounds[s + 1]), which may be
 * none. Returns OK; ARGUMENT.
 */
RINGMOE_API ringmoe_status ringmoe_partition_layers(ringmoe_context *context,
                                                    const double *costs, int n_layers,
                                                    double first_cost, double last_cost,
                                                    int n_stages, int *bounds);

/** One operation of one stage, as the caller's function gets it. */
typedef struct ringmoe_stage_call {
    ringmoe_stage_operation operation;
    int64_t step; /**< as given to ringmoe_pipeline_run */
    int microbatch, chunk, stage, slot;
    const ringmoe_real *input; /**< [n_elements], what the stage before made of the microbatch;
                                    stays as it is from the forward to the last backward
                                    operation. NULL in stage 0 */
    ringmoe_real *output;      /**< forward: to be written. NULL in the last stage */
    const ringmoe_real *d_output; /**< backward: gradient of the output, for this call only.
                                       NULL in the last stage and in BACKWARD_WEIGHT */
    ringmoe_real *d_input;        /**< backward: to be written. NULL in stage 0 and in
                                       BACKWARD_WEIGHT */
} ringmoe_stage_call;

/**
 * Computes one operation, on the thread that runs the pipeline. It writes all of `output`, or
 * of `d_input`, and changes nothing else of the call. A status that is not OK ends the run on
 * all ranks of the ring: from then on functions are not called. A function that communicates
 * with ranks outside of the ring must therefore fail on all of them alike.
 */
typedef ringmoe_status (*ringmoe_stage_function)(void *user, const ringmoe_stage_call *call);

/** A ring of ranks that runs a schedule, with its buffers. */
typedef struct ringmoe_pipeline ringmoe_pipeline;

/**
 * Collective over the mesh's pipeline axis.
 *   mesh        in   its pipeline axis is the ring; must outlive the pipeline
 *   schedule    in   for as many ranks as the axis has; must outlive the pipeline. The same on
 *                    all ranks
 *   n_elements  in   of an activation as it passes from stage to stage; messages of more than
 *                    2^31 bytes travel in pieces
 * Memory: as many activations as the rank's chunks hold at once, and about 2 more; about 3
 * gradients; 2 or a few more of each to send from.
 * Returns OK; ARGUMENT; LAYOUT (the schedule is for another number of ranks); MISMATCH; MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_pipeline_create(ringmoe_mesh *mesh,
                                                   const ringmoe_schedule *schedule,
                                                   int64_t n_elements,
                                                   ringmoe_pipeline **pipeline);
/** Frees it. Collective over the pipeline axis. NULL or *pipeline NULL: nothing. */
RINGMOE_API void ringmoe_pipeline_destroy(ringmoe_pipeline **pipeline);

/** Where the time of a run went on this rank, in seconds. */
typedef struct ringmoe_pipeline_times {
    double total, stages, waiting; /**< in all; in the caller's function; for messages */
} ringmoe_pipeline_times;

/**
 * Runs the schedule once. Collective over the pipeline axis. Messages travel while stages
 * compute. `times` may be NULL.
 * Returns OK, or the first failing rank's status on all ranks of the ring: what the function
 * returned; MPI.
 */
RINGMOE_API ringmoe_status ringmoe_pipeline_run(ringmoe_pipeline *pipeline, int64_t step,
                                                ringmoe_stage_function function, void *user,
                                                ringmoe_pipeline_times *times);

/**
 * Lets messages travel: a stage that computes for long calls it now and then (every millisecond
 * or so), on the thread that runs the pipeline. The library's own functions do so themselves.
 * Local. NULL: nothing.
 */
RINGMOE_API void ringmoe_pipeline_poll(ringmoe_pipeline *pipeline);

#ifdef __cplusplus
}
#endif
#endif
