/* SPDX-License-Identifier: MIT
 *
 * macOS: sysctl. There is no binding to CPUs, so a process may run on all of them.
 */
#include "plan/system.h"

#include <stdio.h>
#include <string.h>
#include <sys/sysctl.h>

static int64_t number_of(const char *name)
{
    int64_t value = 0;
    size_t bytes = sizeof value;
    return sysctlbyname(name, &value, &bytes, NULL, 0) == 0 ? value : 0;
}

static const struct {
    const char *name, *word;
} features[] = {
    {"hw.optional.avx2_0", "avx2"},        {"hw.optional.fma", "fma"},
    {"hw.optional.avx512f", "avx512f"},    {"hw.optional.AdvSIMD", "asimd"},
    {"hw.optional.arm.FEAT_BF16", "bf16"}, {"hw.optional.arm.FEAT_I8MM", "i8mm"},
};

void rm_system_describe(ringmoe_machine *machine)
{
    size_t bytes = sizeof machine->cpu_name;
    if (sysctlbyname("machdep.cpu.brand_string", machine->cpu_name, &bytes, NULL, 0) != 0)
        machine->cpu_name[0] = 0;
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        if (number_of(features[i].name)) rm_words_append(machine->features, features[i].word);
    machine->n_cores = (int)number_of("hw.physicalcpu");
    machine->n_cpus = (int)number_of("hw.logicalcpu");
    machine->n_cpus_bound = machine->n_cpus;
    if (machine->n_cpus > 1)
        snprintf(machine->binding, sizeof machine->binding, "0-%d", machine->n_cpus - 1);
    machine->memory_bytes = number_of("hw.memsize");
    machine->memory_free_bytes = number_of("vm.page_free_count") * number_of("hw.pagesize");
    machine->l2_bytes = number_of("hw.l2cachesize");
    machine->l3_bytes = number_of("hw.l3cachesize");
}
