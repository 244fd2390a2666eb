/* SPDX-License-Identifier: MIT
 *
 * Linux: /proc/cpuinfo, /proc/meminfo, /sys/devices/system/cpu and the affinity mask.
 */
#include "plan/system.h"

#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_CPUS = 8192, LINE_BYTES = 8192 };

/* The instruction sets that matter for matrix products, as the kernel of Linux calls them. */
static const char *const features[] = {
    "sse4_2",      "avx",      "f16c",     "fma",      "avx2",     "avx512f",     "avx512bw",
    "avx512_vnni", "avx_vnni", "amx_tile", "amx_bf16", "amx_int8", "avx512_bf16", "asimd",
    "asimdhp",     "asimddp",  "sve",      "sve2",     "bf16",     "i8mm"};

/* The value of a "name : value" line, or NULL if the line has another name. */
static char *value_of_line(char *line, const char *name)
{
    size_t length = strlen(name);
    char *colon = strchr(line, ':');
    if (!colon || strncmp(line, name, length) != 0) return NULL;
    if (line + length + strspn(line + length, " \t") != colon) return NULL;
    colon[strcspn(colon, "\n")] = 0;
    return colon + 1 + strspn(colon + 1, " \t");
}

/* The first CPU's entry: its name, and its flags cut down to the ones listed above. */
static void describe_cpu(ringmoe_machine *machine)
{
    char line[LINE_BYTES];
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file) return;
    while (fgets(line, sizeof line, file) && line[0] != '\n') {
        const char *name = value_of_line(line, "model name");
        const char *flags = value_of_line(line, "flags");
        if (!flags) flags = value_of_line(line, "Features");
        if (name) snprintf(machine->cpu_name, sizeof machine->cpu_name, "%s", name);
        for (size_t i = 0; flags && i < sizeof features / sizeof *features; i++)
            if (rm_words_contain(flags, features[i]))
                rm_words_append(machine->features, features[i]);
    }
    fclose(file);
}

static void describe_memory(ringmoe_machine *machine)
{
    char line[256];
    FILE *file = fopen("/proc/meminfo", "re");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        const char *total = value_of_line(line, "MemTotal");
        const char *available = value_of_line(line, "MemAvailable");
        if (total) machine->memory_bytes = strtoll(total, NULL, 10) << 10;
        if (available) machine->memory_free_bytes = strtoll(available, NULL, 10) << 10;
    }
    fclose(file);
}

/* The first line of a file under a CPU's folder in /sys; false if there is none. */
static bool read_cpu_line(int cpu, const char *name, char *line, int bytes)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, name);
    FILE *file = fopen(path, "re");
    if (!file) return false;
    bool is_read = fgets(line, bytes, file) != NULL;
    fclose(file);
    return is_read;
}

/* A core is counted at the first of its hardware threads. */
static int count_cores(void)
{
    char line[LINE_BYTES];
    int n_cores = 0, n_cpus = (int)sysconf(_SC_NPROCESSORS_CONF);
    for (int cpu = 0; cpu < n_cpus; cpu++)
        if (read_cpu_line(cpu, "topology/thread_siblings_list", line, sizeof line))
            n_cores += strtol(line, NULL, 10) == cpu;
    return n_cores;
}

/* The size of the data or unified cache of a level, 0 if there is none. */
static int64_t cache_bytes(int level)
{
    char name[64], line[64];
    for (int index = 0; index < 8; index++) {
        snprintf(name, sizeof name, "cache/index%d/level", index);
        if (!read_cpu_line(0, name, line, sizeof line)) return 0;
        if (strtol(line, NULL, 10) != level) continue;
        snprintf(name, sizeof name, "cache/index%d/type", index);
        if (!read_cpu_line(0, name, line, sizeof line) || line[0] == 'I') continue;
        snprintf(name, sizeof name, "cache/index%d/size", index);
        if (!read_cpu_line(0, name, line, sizeof line)) return 0;
        char *unit;
        int64_t size = strtoll(line, &unit, 10);
        return *unit == 'K' ? size << 10 : *unit == 'M' ? size << 20 : size;
    }
    return 0;
}

/* OpenMP may have bound this thread to one place already; then its places are what the process
 * was given. */
static void cpus_of_places(cpu_set_t *cpus, size_t bytes)
{
    for (int place = 0; place < omp_get_num_places(); place++) {
        int n = omp_get_place_num_procs(place);
        int *ids = calloc((size_t)n + 1, sizeof *ids);
        if (!ids) return;
        omp_get_place_proc_ids(place, ids);
        for (int i = 0; i < n; i++) CPU_SET_S((size_t)ids[i], bytes, cpus);
        free(ids);
    }
}

/* Appends "first-last" or "first", with a comma before it if it is not the first. */
static void append_range(char *list, int first, int last)
{
    char range[32];
    snprintf(range, sizeof range, first == last ? "%s%d" : "%s%d-%d", list[0] ? "," : "", first,
             last);
    if (strlen(list) + strlen(range) < RINGMOE_MACHINE_TEXT) strcat(list, range);
}

static void describe_binding(ringmoe_machine *machine)
{
    cpu_set_t *cpus = CPU_ALLOC(MOST_CPUS);
    size_t bytes = CPU_ALLOC_SIZE(MOST_CPUS);
    if (!cpus) return;
    CPU_ZERO_S(bytes, cpus);
    if (sched_getaffinity(0, bytes, cpus) == 0) {
        if (omp_get_proc_bind() != omp_proc_bind_false) cpus_of_places(cpus, bytes);
        machine->n_cpus_bound = CPU_COUNT_S(bytes, cpus);
        for (int cpu = 0, first; cpu < MOST_CPUS; cpu++) {
            if (!CPU_ISSET_S((size_t)cpu, bytes, cpus)) continue;
            first = cpu;
            while (cpu + 1 < MOST_CPUS && CPU_ISSET_S((size_t)cpu + 1, bytes, cpus)) cpu++;
            append_range(machine->binding, first, cpu);
        }
    }
    CPU_FREE(cpus);
}

void rm_system_describe(ringmoe_machine *machine)
{
    describe_cpu(machine);
    describe_memory(machine);
    describe_binding(machine);
    machine->n_cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
    machine->n_cores = count_cores();
    machine->l2_bytes = cache_bytes(2);
    machine->l3_bytes = cache_bytes(3);
}
