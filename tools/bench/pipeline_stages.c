/* SPDX-License-Identifier: MIT
 *
 * The stages of `ringmoe bench pipeline`. Forward, gradient of the input and gradient of the
 * weights each cost one product of [rows][width] with [width][width], or one sleep.
 */
#include "pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "progress.h"

static bool allocate(pipeline_stages *stages, int64_t n_rows, int64_t width)
{
    ringmoe_real **const arrays[] = {&stages->x, &stages->y, &stages->d_y, &stages->d_x};
    for (int i = 0; i < 4; i++) {
        *arrays[i] = calloc((size_t)(n_rows * width), sizeof(ringmoe_real));
        if (!*arrays[i]) return false;
        bench_fill(*arrays[i], n_rows * width, 1 + (uint64_t)i);
    }
    stages->d_w = calloc((size_t)(width * width), sizeof(ringmoe_real));
    return stages->d_w != NULL;
}

/* Weights that neither blow up nor shrink what passes through many stages. */
static ringmoe_status pack_weights(pipeline_stages *stages, int64_t width)
{
    ringmoe_real scale = (ringmoe_real)sqrt(3.0 / (double)width);
    bench_fill(stages->d_w, width * width, 9);
    for (int64_t i = 0; i < width * width; i++) stages->d_w[i] *= scale;
    return ringmoe_matrices_pack(stages->matrices, stages->d_w);
}

int pipeline_stages_open(tool_session *session, const pipeline_options *options,
                         pipeline_stages *stages)
{
    *stages = (pipeline_stages){.options = options, .n_chunks = 1};
    if (options->work != WORK_PRODUCTS) return EXIT_DONE;
    bool allocated = allocate(stages, options->rows, options->width);
    int status = session_settle(session, allocated ? EXIT_DONE : EXIT_FAILED,
                                "no memory for the stages: give fewer --rows or less --width");
    if (status) return status;
    status =
        session_check(session, ringmoe_matrices_create(session->context, 1, options->width,
                                                       options->width, 1, &stages->matrices));
    if (status) return status;
    return session_check(session, pack_weights(stages, options->width));
}

void pipeline_stages_close(pipeline_stages *stages)
{
    ringmoe_matrices_destroy(&stages->matrices);
    free(stages->x);
    free(stages->y);
    free(stages->d_y);
    free(stages->d_x);
    free(stages->d_w);
}

static void sleep_for(double seconds)
{
    struct timespec left = {(time_t)seconds, (long)((seconds - floor(seconds)) * 1e9)};
    while (nanosleep(&left, &left)) continue;
}

static ringmoe_status multiply(pipeline_stages *stages, const ringmoe_stage_call *call)
{
    const int64_t offsets[] = {0, stages->options->rows / stages->n_chunks};
    const ringmoe_real *x = call->input ? call->input : stages->x;
    const ringmoe_real *d_y = call->d_output ? call->d_output : stages->d_y;
    ringmoe_stage_operation operation = call->operation;
    ringmoe_status status = RINGMOE_OK;
    if (operation == RINGMOE_STAGE_FORWARD)
        return ringmoe_matrices_forward(stages->matrices, offsets, x, NULL,
                                        call->output ? call->output : stages->y, NULL);
    if (operation != RINGMOE_STAGE_BACKWARD_WEIGHT)
        status =
            ringmoe_matrices_backward_input(stages->matrices, offsets, d_y, NULL,
                                            call->d_input ? call->d_input : stages->d_x, NULL);
    if (status == RINGMOE_OK && operation != RINGMOE_STAGE_BACKWARD_INPUT)
        status = ringmoe_matrices_backward_weight(stages->matrices, offsets, d_y, NULL, x, NULL,
                                                  0, stages->d_w);
    return status;
}

ringmoe_status pipeline_stage(void *user, const ringmoe_stage_call *call)
{
    pipeline_stages *stages = user;
    double start = clock_seconds();
    ringmoe_status status = RINGMOE_OK;
    if (stages->options->work == WORK_PRODUCTS) {
        status = multiply(stages, call);
    } else {
        double units = call->operation == RINGMOE_STAGE_BACKWARD ? 2 : 1;
        sleep_for(units * stages->options->stage_ms * 1e-3 / stages->n_chunks);
    }
    stages->seconds[call->operation] += clock_seconds() - start;
    return status;
}
