/* SPDX-License-Identifier: MIT */
#include "share.h"

#include <stdlib.h>

enum { MAX_CPUS = 4096 };

/* Sets a 1 for each cpu of a list. */
static void mark_cpus(const char *list, int *marks)
{
    while (*list) {
        char *end;
        long first = strtol(list, &end, 10), last = first;
        if (end == list) return;
        if (*end == '-') last = strtol(end + 1, &end, 10);
        for (long cpu = first; cpu >= 0 && cpu <= last && cpu < MAX_CPUS; cpu++) marks[cpu] = 1;
        list = *end ? end + 1 : end;
    }
}

int share_of_cpus(MPI_Comm node, const char *cpus, double *share)
{
    int mine[MAX_CPUS] = {0}, users[MAX_CPUS];
    mark_cpus(cpus, mine);
    int code = MPI_Allreduce(mine, users, MAX_CPUS, MPI_INT, MPI_SUM, node);
    *share = 0;
    if (code != MPI_SUCCESS) return code;
    for (int cpu = 0; cpu < MAX_CPUS; cpu++)
        if (mine[cpu]) *share += 1.0 / users[cpu];
    return MPI_SUCCESS;
}
