/* SPDX-License-Identifier: MIT
 *
 * Which levels this build has and this processor can run, and which is best. The levels of a
 * processor family form a chain (a processor that runs one runs all before it), so a count says
 * which are usable.
 */
#include "simd/levels.h"

#include <string.h>
#include <time.h>

#include "simd/processor.h"

typedef struct level {
    const rm_kernels *kernels;
    bool (*usable)(void); /* NULL: on every processor of the family */
} level;

static const level levels[] = {
    {&rm_kernels_scalar, NULL},
#ifdef RM_HAVE_AVX2
    {&rm_kernels_avx2, rm_processor_has_avx2},
#endif
#ifdef RM_HAVE_AVX512
    {&rm_kernels_avx512, rm_processor_has_avx512},
#endif
#ifdef RM_HAVE_AVX512BF16
    {&rm_kernels_avx512bf16, rm_processor_has_avx512bf16},
#endif
#ifdef RM_HAVE_AMX
    {&rm_kernels_amx, rm_processor_has_amx},
#endif
#ifdef RM_HAVE_NEON
    {&rm_kernels_neon, NULL},
#endif
#ifdef RM_HAVE_NEONBF16
    {&rm_kernels_neonbf16, rm_processor_has_neonbf16},
#endif
};
enum { N_LEVELS = sizeof levels / sizeof *levels, MOST_LEVELS = 5 };
_Static_assert(N_LEVELS <= MOST_LEVELS, "names are missing below");

/* The names of 1, 2, ... levels. */
static const char *const names[][MOST_LEVELS + 1] = {
    {"scalar"},
#ifdef RM_HAVE_NEON
    {"scalar", "neon"},
    {"scalar", "neon", "neonbf16"},
#else
    {"scalar", "avx2"},
    {"scalar", "avx2", "avx512"},
    {"scalar", "avx2", "avx512", "avx512bf16"},
    {"scalar", "avx2", "avx512", "avx512bf16", "amx"},
#endif
};

static int count_usable(void)
{
    int n = 1;
    while (n < N_LEVELS && (!levels[n].usable || levels[n].usable())) n++;
    return n;
}

const rm_kernels *rm_kernels_of_level(const char *name)
{
    for (int i = 0; i < N_LEVELS; i++)
        if (strcmp(levels[i].kernels->level, name) == 0)
            return i < count_usable() ? levels[i].kernels : NULL;
    return NULL;
}

const char *const *rm_kernels_levels(void)
{
    return names[count_usable() - 1];
}

/* --- the choice --------------------------------------------------------------------------- */
static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Operations a second on registers alone. Whatever disturbs a run makes it slower, so the best
 * of many short ones is the same each time; the first ones also find how long short is. */
static double rate_of(const rm_tile_kernels *tiles)
{
    enum { RUNS = 16 };
    const double short_run = 4e-6;
    double best = 0;
    int64_t rounds = 128; /* thousand operations */
    for (int run = 0; run < RUNS; run++) {
        double start = seconds(), operations = tiles->peak(rounds), time = seconds() - start;
        if (time > 0 && operations > best * time) best = operations / time;
        if (time < short_run) rounds *= 2;
    }
    return best;
}

typedef struct rates {
    double fp32, bf16;
} rates;

static rates rates_of(const rm_kernels *kernels)
{
    return (rates){rate_of(&kernels->fp32), rate_of(&kernels->bf16)};
}

/* The limit lies away from the ratios that processors have (1/2, 1, 2 or more). */
static bool clearly_slower(rates a, rates b)
{
    const double clear = 0.75;
    return a.fp32 < clear * b.fp32 || a.bf16 < clear * b.bf16;
}

/* The first level above plain C is taken as it is. */
const rm_kernels *rm_kernels_best(void)
{
    int n = count_usable();
    if (n <= 2) return levels[n - 1].kernels;
    const rm_kernels *best = levels[1].kernels;
    rates rates_of_best = rates_of(best);
    for (int i = 2; i < n; i++) {
        rates candidate = rates_of(levels[i].kernels);
        if (clearly_slower(candidate, rates_of_best)) continue;
        best = levels[i].kernels;
        rates_of_best = candidate;
    }
    return best;
}
