/* SPDX-License-Identifier: MIT
 *
 * Short loads of one kind, each on all threads at once, whose speed is a limit of the machine.
 * A probe does its work once and tells how much it was; ceilings.c times it.
 */
#ifndef RM_PROBES_H
#define RM_PROBES_H

#include "tensor/compute.h"

typedef struct rm_probe rm_probe;
struct rm_probe {
    double (*run)(const rm_probe *probe); /* returns the operations or bytes done */
    int n_threads;
    const rm_tile_kernels *tiles; /* of rm_probe_peak */
    int64_t rounds;               /* of it, in each thread */
    char *buffer;                 /* of the others, larger than the caches */
    int64_t bytes;
};

double rm_probe_peak(const rm_probe *probe);  /* tiles->peak */
double rm_probe_read(const rm_probe *probe);  /* reads the buffer */
double rm_probe_write(const rm_probe *probe); /* writes it */
double rm_probe_copy(const rm_probe *probe);  /* one half of it to the other */
double rm_probe_blas(const rm_probe *probe);  /* OpenBLAS's square product in each thread */

/* The least size of a buffer for rm_probe_blas. */
int64_t rm_probe_blas_bytes(int n_threads);

/* Numbers of moderate size that are neither equal nor denormal; each thread fills the part it
 * will read. */
void rm_probe_fill(const rm_probe *probe);

#endif
