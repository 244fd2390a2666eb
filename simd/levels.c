/* SPDX-License-Identifier: MIT
 *
 * Which levels this build has and this CPU can run. The levels of a processor family form a
 * chain (a CPU that runs one runs all before it), so a count says which are usable.
 */
#include "simd/levels.h"

#include <string.h>

#if defined(RM_HAVE_AVX2)

#include <cpuid.h>

enum { N_LEVELS = 2 };
static const rm_kernels *const tables[N_LEVELS] = {&rm_kernels_scalar, &rm_kernels_avx2};
static const char *const names[N_LEVELS][N_LEVELS + 1] = {{"scalar"}, {"scalar", "avx2"}};

/* Not among clang 14's names for __builtin_cpu_supports. */
static bool has_f16c(void)
{
    unsigned int eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
}

/* __builtin_cpu_supports also asks whether the system saves the wide registers. */
static int count_usable(void)
{
    __builtin_cpu_init();
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has_avx2 && has_f16c() ? 2 : 1;
}

#elif defined(RM_HAVE_NEON)

enum { N_LEVELS = 2 };
static const rm_kernels *const tables[N_LEVELS] = {&rm_kernels_scalar, &rm_kernels_neon};
static const char *const names[N_LEVELS][N_LEVELS + 1] = {{"scalar"}, {"scalar", "neon"}};

/* NEON belongs to every 64-bit ARM. */
static int count_usable(void)
{
    return N_LEVELS;
}

#else

enum { N_LEVELS = 1 };
static const rm_kernels *const tables[N_LEVELS] = {&rm_kernels_scalar};
static const char *const names[N_LEVELS][N_LEVELS + 1] = {{"scalar"}};

static int count_usable(void)
{
    return N_LEVELS;
}

#endif

const rm_kernels *rm_kernels_of_level(const char *level)
{
    for (int i = 0; i < count_usable(); i++)
        if (strcmp(tables[i]->level, level) == 0) return tables[i];
    return NULL;
}

const rm_kernels *rm_kernels_best(void)
{
    return tables[count_usable() - 1];
}

const char *const *rm_kernels_levels(void)
{
    return names[count_usable() - 1];
}
