/* SPDX-License-Identifier: MIT
 *
 * Gradients against central differences, in double: the loss of a check is a function of arrays
 * whose elements are moved one at a time.
 */
#ifndef DIFFERENCE_H
#define DIFFERENCE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"

typedef double (*loss_function)(void *user);

/* New memory with normal numbers of the given deviation. */
static inline rm_real *random_values(int64_t n, uint64_t seed, double deviation)
{
    rm_real *values = calloc((size_t)(n ? n : 1), sizeof *values);
    assert_non_null(values);
    rm_random_fill_normal((rm_random_key){.seed = seed, .stream = 1}, 0, n, deviation, values);
    return values;
}

static inline double weighted_sum(int64_t n, const rm_real *values, const rm_real *weights)
{
    long double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (long double)values[i] * weights[i];
    return (double)sum;
}

/* Checks `gradient` of x[0 .. n) at up to `samples` elements spread over the array. */
static inline void check_gradient(const char *what, loss_function loss, void *user, rm_real *x,
                                  int64_t n, const rm_real *gradient, int64_t samples)
{
    int64_t step = n > samples ? n / samples : 1;
    for (int64_t i = 0; i < n; i += step) {
        double kept = x[i], h = 1e-5;
        x[i] = kept + h;
        double above = loss(user);
        x[i] = kept - h;
        double below = loss(user);
        x[i] = kept;
        double difference = (above - below) / (2 * h);
        if (fabs(difference - gradient[i]) > 2e-7 * (1 + fabs(difference)))
            fail_msg("%s[%lld]: gradient %.10g, difference %.10g", what, (long long)i,
                     (double)gradient[i], difference);
    }
}

#endif
