/* SPDX-License-Identifier: MIT
 *
 * In place of simd/levels.c: the levels that are emulated, on any processor with AVX2.
 */
#include "simd/levels.h"

#include <string.h>

#include "simd/processor.h"

static const char *const none[] = {NULL};
static const char *const names[] = {"avx512", "avx512bf16", "amx", NULL};

const rm_kernels *rm_kernels_of_level(const char *level)
{
    const rm_kernels *const tables[] = {&rm_kernels_avx512, &rm_kernels_avx512bf16,
                                        &rm_kernels_amx};
    for (int i = 0; names[i]; i++)
        if (strcmp(level, names[i]) == 0) return tables[i];
    return NULL;
}

const char *const *rm_kernels_levels(void)
{
    return rm_processor_has_avx2() ? names : none;
}

const rm_kernels *rm_kernels_best(void)
{
    return &rm_kernels_amx;
}
