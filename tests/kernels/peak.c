/* SPDX-License-Identifier: MIT
 *
 * The speed of multiply-adds whose operands are all in registers, which no product can pass.
 * Compiled once a level, with its flags and -ffp-contract=fast, so that each a * b + c is one
 * instruction where the level has it.
 */
#include "simd/real.h"

#include <time.h>

enum { CHAINS = 12, ROUNDS = 10000, TRIALS = 300 };

typedef rm_real vector __attribute__((vector_size(PEAK_WIDTH * sizeof(rm_real))));

double PEAK_NAME(void);

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#define STEP(c) chain##c = chain##c * factor + offset;
#define EACH_CHAIN(what)                                                                       \
    what(0) what(1) what(2) what(3) what(4) what(5) what(6) what(7) what(8) what(9) what(10)   \
        what(11)
#define START(c) vector chain##c = offset * (rm_real)c;
#define HOLD(c) __asm__ volatile("" : : "m"(chain##c));

double PEAK_NAME(void)
{
    volatile rm_real below_one = (rm_real)0.999, small = (rm_real)0.01;
    vector factor = (vector){0} + below_one, offset = (vector){0} + small;
    double best = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        EACH_CHAIN(START)
        double start = seconds();
        for (int round = 0; round < ROUNDS; round++) {
            EACH_CHAIN(STEP)
        }
        EACH_CHAIN(HOLD)
        double rate = 2.0 * CHAINS * PEAK_WIDTH * ROUNDS / (seconds() - start) * 1e-9;
        if (rate > best) best = rate;
    }
    return best;
}
