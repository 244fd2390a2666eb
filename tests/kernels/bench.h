/* SPDX-License-Identifier: MIT
 *
 * What both parts of the bench share.
 */
#ifndef BENCH_H
#define BENCH_H

#include "check.h"

typedef void work(void *context);

/* Work to be timed: run(context) any number of times; `amount` bytes or operations each. */
typedef struct job {
    work *run;
    void *context;
    double amount;
} job;

/* In 1e9 a second, the best of many runs. */
typedef struct rates {
    double job, beside;
} rates;

/* The rates of two jobs run in turns, so that whatever else the computer does slows both. */
rates rates_of(const job *timed, const job *beside);
/* Random numbers of moderate size; the program ends if there is no memory for them. */
rm_real *random_row(check *c, int64_t n);

/* What the memory gives: a plain copy, and a plain read. */
typedef struct yardsticks {
    job copy, read;
} yardsticks;

void bench_products(check *c, const char *only, const yardsticks *memory);

#endif
