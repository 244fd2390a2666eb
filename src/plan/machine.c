/* SPDX-License-Identifier: MIT
 *
 * The description of the machine: the system's part (system.h), the kernel levels, and
 * OpenBLAS. An OpenBLAS older than the CPU does not know it and falls back to a kernel of 2004
 * (OpenBLAS issue 4267), several times too slow; blas_suggested names the one to set.
 */
#include "plan/system.h"

#include <cblas.h>
#include <stdio.h>
#include <string.h>

#include "simd/kernels.h"

/* What OpenBLAS's x86 kernels use; names not listed are older than AVX2. */
static const char blas_avx512[] = "SkylakeX Cooperlake SapphireRapids";
static const char blas_avx2[] = "Haswell Zen Excavator";

static const char *suggest_blas_kernel(const ringmoe_machine *machine)
{
    bool is_avx512 = rm_words_contain(blas_avx512, machine->blas_kernel);
    bool is_avx2 = rm_words_contain(blas_avx2, machine->blas_kernel);
    bool is_amd = strstr(machine->cpu_name, "AMD") != NULL;
    if (rm_words_contain(machine->features, "avx512f")) {
        /* On AMD the AVX2 kernels come close to the AVX-512 ones. */
        bool is_good = is_avx512 || (is_amd && is_avx2);
        return is_good ? "" : "SkylakeX";
    }
    if (rm_words_contain(machine->features, "avx2") &&
        rm_words_contain(machine->features, "fma") && !is_avx2)
        return is_amd ? "Zen" : "Haswell";
    return "";
}

static void describe_blas(ringmoe_machine *machine)
{
    snprintf(machine->blas, sizeof machine->blas, "%s", openblas_get_config());
    snprintf(machine->blas_kernel, sizeof machine->blas_kernel, "%s", openblas_get_corename());
    snprintf(machine->blas_suggested, sizeof machine->blas_suggested, "%s",
             suggest_blas_kernel(machine));
    machine->blas_threads = openblas_get_num_threads();
}

void ringmoe_machine_describe(ringmoe_machine *machine)
{
    *machine = (ringmoe_machine){0};
    rm_system_describe(machine);
    for (const char *const *level = rm_kernels_levels(); *level; level++)
        rm_words_append(machine->kernel_levels, *level);
    describe_blas(machine);
}
