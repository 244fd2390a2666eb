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

typedef struct racer {
    const rm_tile_kernels *tiles;
    int64_t rounds; /* thousand operations a run */
    double rate;    /* operations a second, the best of the runs */
} racer;

static void race(racer *r)
{
    const double short_run = 4e-6;
    double start = seconds(), operations = r->tiles->peak(r->rounds), time = seconds() - start;
    if (time > 0 && operations > r->rate * time) r->rate = operations / time;
    if (time < short_run) r->rounds *= 2;
}

/* By the best of many short runs in turns: what disturbs a run only makes it slower, and what
 * slows the processor down for longer slows both. The limit lies away from the ratios that
 * processors have (1/2, 1, 2 or more). */
static bool loses_a_race(const rm_tile_kernels *a, const rm_tile_kernels *b)
{
    enum { RUNS = 14 };
    const double clear = 0.75;
    racer first = {a, 128, 0}, second = {b, 128, 0};
    for (int run = 0; run < RUNS; run++) {
        race(&first);
        race(&second);
    }
    return first.rate < clear * second.rate;
}

/* Three times in a row, so that the choice, and with it the bits of all results, comes out
 * alike each time. */
static bool clearly_slower(const rm_tile_kernels *a, const rm_tile_kernels *b)
{
    for (int times = 0; times < 3; times++)
        if (!loses_a_race(a, b)) return false;
    return true;
}

/* The first level above plain C is taken as it is. Products of bf16 are compared: those of fp32
 * are the same ones, or differ by as much. */
const rm_kernels *rm_kernels_best(void)
{
    int n = count_usable();
    const rm_kernels *best = levels[n < 2 ? n - 1 : 1].kernels;
    for (int i = 2; i < n; i++)
        if (!clearly_slower(&levels[i].kernels->bf16, &best->bf16)) best = levels[i].kernels;
    return best;
}
