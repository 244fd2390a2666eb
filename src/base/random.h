/* SPDX-License-Identifier: MIT
 *
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). A number is a pure function of a key and a counter,
 * so the layout of ranks and threads cannot change it.
 */
#ifndef RM_RANDOM_H
#define RM_RANDOM_H

#include <stdint.h>

#include "simd/real.h"

typedef struct rm_random_key {
    uint64_t seed;   /* the run's */
    uint64_t stream; /* what the numbers are for: rm_random_stream("...") or a mix of indices */
} rm_random_key;

/* Four 32-bit words for a counter. */
void rm_random_words(rm_random_key key, uint64_t counter, uint32_t words[4]);
/* A uniform double in [0, 1) with 53 bits. */
double rm_random_uniform(rm_random_key key, uint64_t counter);
/* A normal number of mean 0 and deviation 1 (Box-Muller). */
double rm_random_normal(rm_random_key key, uint64_t counter);
/* values[i] = deviation * normal(first + i). */
void rm_random_fill_normal(rm_random_key key, uint64_t first, int64_t n, double deviation,
                           rm_real *values);
/* A stream from a name (xxHash64), and one stream from another and an index. */
uint64_t rm_random_stream(const char *name);
uint64_t rm_random_mix(uint64_t stream, uint64_t index);

#endif
