/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench pipeline`: its options, and stages to fill a pipeline with that know nothing
 * of transformers: matrix products on the CPU, or sleep, which does not need a core for each
 * rank.
 */
#ifndef TOOLS_BENCH_PIPELINE_H
#define TOOLS_BENCH_PIPELINE_H

#include "bench.h"

/* In the order of the words of --work. */
typedef enum pipeline_work { WORK_AUTO, WORK_PRODUCTS, WORK_SLEEP } pipeline_work;

typedef struct pipeline_options {
    tool_placement placement;
    int64_t microbatches, chunks, rows, width, repeat;
    double stage_ms;
    int work, json;
} pipeline_options;

/* What one rank's stages work with. */
typedef struct pipeline_stages {
    const pipeline_options *options;
    int n_chunks; /* of the schedule that runs: a stage does this part of a rank's work */
    ringmoe_matrices *matrices;
    ringmoe_real *x, *y, *d_y, *d_x; /* [rows][width]: where the ring has none */
    ringmoe_real *d_w;               /* [width][width] */
    double seconds[4];               /* by operation, since they were last set to 0 */
} pipeline_stages;

/* Collective, as a failure is everyone's. Returns an exit status. */
int pipeline_stages_open(tool_session *session, const pipeline_options *options,
                         pipeline_stages *stages);
void pipeline_stages_close(pipeline_stages *stages);

/* A ringmoe_stage_function; `user` is a pipeline_stages. */
ringmoe_status pipeline_stage(void *user, const ringmoe_stage_call *call);

#endif
