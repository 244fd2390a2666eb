/* SPDX-License-Identifier: MIT
 *
 * What the benchmarks do with their measurements: medians, values to compute with, files that
 * are to be read from the disk, and this process's peak memory.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void bench_add(bench_samples *samples, double value)
{
    if (samples->count < BENCH_MAX_REPEAT) samples->values[samples->count++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

double bench_median(const bench_samples *samples)
{
    double sorted[BENCH_MAX_REPEAT];
    int n = samples->count;
    if (n == 0) return 0;
    memcpy(sorted, samples->values, (size_t)n * sizeof sorted[0]);
    qsort(sorted, (size_t)n, sizeof sorted[0], compare_doubles);
    return (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
}

double bench_least(const bench_samples *samples)
{
    double least = samples->count ? samples->values[0] : 0;
    for (int i = 1; i < samples->count; i++)
        if (samples->values[i] < least) least = samples->values[i];
    return least;
}

void bench_fill(ringmoe_real *values, int64_t n, uint64_t state)
{
    for (int64_t i = 0; i < n; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        values[i] = (ringmoe_real)((double)(state >> 33) / (double)(UINT64_C(1) << 30) - 1);
    }
}

void bench_forget_file(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return;
    fsync(file);
#ifdef POSIX_FADV_DONTNEED
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
#endif
    close(file);
}

double bench_peak_resident(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
    return (double)usage.ru_maxrss;
#else
    return (double)usage.ru_maxrss * 1024;
#endif
}
