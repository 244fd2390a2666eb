/* SPDX-License-Identifier: MIT */
#include "plan/probes.h"

#include <cblas.h>
#include <string.h>

enum { SQUARE = 768, STREAMS = 8, LINE_WORDS = 8, PART_ALIGN = STREAMS * LINE_WORDS * 8 };

/* A thread's part of the buffer, whole lines in each stream. */
static int64_t part_bytes(const rm_probe *probe)
{
    return probe->bytes / probe->n_threads / PART_ALIGN * PART_ALIGN;
}

void rm_probe_fill(const rm_probe *probe)
{
    int64_t n = part_bytes(probe) / (int64_t)sizeof(rm_real);
#pragma omp parallel for num_threads(probe->n_threads) schedule(static)
    for (int thread = 0; thread < probe->n_threads; thread++) {
        rm_real *part = (rm_real *)probe->buffer + thread * n;
        for (int64_t i = 0; i < n; i++) part[i] = (rm_real)1 / (rm_real)(1 + i % 7);
    }
}

double rm_probe_peak(const rm_probe *probe)
{
    const rm_tile_kernels *tiles = probe->tiles;
    double operations = 0;
#pragma omp parallel for num_threads(probe->n_threads) schedule(static)
    for (int thread = 0; thread < probe->n_threads; thread++) {
        double of_thread = tiles->peak(probe->rounds);
#pragma omp atomic
        operations += of_thread;
    }
    return operations;
}

/* One stream alone does not keep enough lines under way; eight do on every machine tried. */
static uint64_t read_streams(const uint64_t *words, int64_t n)
{
    int64_t stream = n / STREAMS;
    uint64_t sums[LINE_WORDS] = {0}, sum = 0;
    for (int64_t i = 0; i < stream; i += LINE_WORDS)
        for (int s = 0; s < STREAMS; s++)
            for (int k = 0; k < LINE_WORDS; k++) sums[k] ^= words[s * stream + i + k];
    for (int k = 0; k < LINE_WORDS; k++) sum ^= sums[k];
    return sum;
}

double rm_probe_read(const rm_probe *probe)
{
    int64_t bytes = part_bytes(probe);
#pragma omp parallel for num_threads(probe->n_threads) schedule(static)
    for (int thread = 0; thread < probe->n_threads; thread++) {
        uint64_t sum =
            read_streams((const uint64_t *)(probe->buffer + thread * bytes), bytes / 8);
        /* The sum counts for nothing, but the compiler may not know; it sees through volatile.
         */
        __asm__ volatile("" : : "r"(sum));
    }
    return (double)bytes * probe->n_threads;
}

double rm_probe_write(const rm_probe *probe)
{
    int64_t bytes = part_bytes(probe);
#pragma omp parallel for num_threads(probe->n_threads) schedule(static)
    for (int thread = 0; thread < probe->n_threads; thread++)
        memset(probe->buffer + thread * bytes, 1, (size_t)bytes);
    return (double)bytes * probe->n_threads;
}

double rm_probe_copy(const rm_probe *probe)
{
    int64_t bytes = part_bytes(probe);
#pragma omp parallel for num_threads(probe->n_threads) schedule(static)
    for (int thread = 0; thread < probe->n_threads; thread++) {
        char *part = probe->buffer + thread * bytes;
        memcpy(part, part + bytes / 2, (size_t)bytes / 2);
    }
    return (double)bytes * probe->n_threads;
}

static void square_product(const rm_real *a, const rm_real *b, rm_real *c)
{
#ifdef RINGMOE_DOUBLE
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SQUARE, SQUARE, SQUARE, 1, a, SQUARE,
                b, SQUARE, 0, c, SQUARE);
#else
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, SQUARE, SQUARE, SQUARE, 1, a, SQUARE,
                b, SQUARE, 0, c, SQUARE);
#endif
}

int64_t rm_probe_blas_bytes(int n_threads)
{
    return (int64_t)n_threads * 3 * SQUARE * SQUARE * (int64_t)sizeof(rm_real);
}

/* OpenBLAS stays on the calling thread inside a parallel region of more than one thread, which
 * therefore has two even if one works. */
double rm_probe_blas(const rm_probe *probe)
{
    int team = probe->n_threads > 1 ? probe->n_threads : 2;
#pragma omp parallel for num_threads(team) schedule(static, 1)
    for (int thread = 0; thread < probe->n_threads; thread++) {
        rm_real *a = (rm_real *)probe->buffer + (int64_t)thread * 3 * SQUARE * SQUARE;
        rm_real *b = a + SQUARE * SQUARE;
        square_product(a, b, b + SQUARE * SQUARE);
    }
    return 2.0 * SQUARE * SQUARE * SQUARE * probe->n_threads;
}
