/* SPDX-License-Identifier: MIT
 *
 * `ringmoe bench`: its subjects, and samples of times with their median and best.
 */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include "session.h"

enum { BENCH_MAX_REPEAT = 1000 };

/* What the published comparison allows an MoE step over its dense twin (arXiv 2405.15052). */
#define BENCH_PUBLISHED_RATIO 1.20

typedef struct bench_samples {
    double values[BENCH_MAX_REPEAT];
    int count;
} bench_samples;

void bench_add(bench_samples *samples, double value);
double bench_median(const bench_samples *samples);
double bench_least(const bench_samples *samples);

/* Any values but zeros, on which some CPUs clock higher; the same for the same `state`. */
void bench_fill(ringmoe_real *values, int64_t n, uint64_t state);

/* Has the system forget what it keeps of a file, if that is on the disk already. */
void bench_forget_file(const char *path);

/* The most memory this process has had resident so far, in bytes. */
double bench_peak_resident(void);

int bench_step(tool_session *session, int argc, char **argv);
int bench_moe(tool_session *session, int argc, char **argv);
int bench_exchange(tool_session *session, int argc, char **argv);
int bench_pipeline(tool_session *session, int argc, char **argv);
int bench_checkpoint(tool_session *session, int argc, char **argv);
int bench_generate(tool_session *session, int argc, char **argv);
int bench_gemm(tool_session *session, int argc, char **argv);

#endif
