/* SPDX-License-Identifier: MIT
 *
 * What both parts of the bench share.
 */
#ifndef BENCH_H
#define BENCH_H

#include "check.h"

/* Work to be timed: run(context) any number of times. */
typedef void work(void *context);

/* Seconds of one run, the best of many. */
double time_of(work *run, void *context);
/* Random numbers of moderate size; the program ends if there is no memory for them. */
rm_real *random_row(check *c, int64_t n);

/* What the cache and the memory give to a plain copy and to a plain read, in GB/s. */
typedef struct ceilings {
    double copy_cached, copy_memory, read_memory;
} ceilings;

void bench_products(check *c, const char *only, const ceilings *limits);

#endif
