/* SPDX-License-Identifier: MIT
 *
 * What this machine is and how fast: CPU features, kernel levels, OpenBLAS's kernel, cores and
 * binding, and measured ceilings for the benchmarks.
 */
#ifndef RINGMOE_MACHINE_H
#define RINGMOE_MACHINE_H

#include <ringmoe/context.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RINGMOE_MACHINE_TEXT 256

typedef struct ringmoe_machine {
    char cpu_name[RINGMOE_MACHINE_TEXT];
    char features[RINGMOE_MACHINE_TEXT]; /**< instruction sets that matter here, by blanks */
    char kernel_levels[RINGMOE_MACHINE_TEXT];  /**< levels this build and CPU can run, best last
                                                */
    char blas[RINGMOE_MACHINE_TEXT];           /**< OpenBLAS's own description of itself */
    char blas_kernel[RINGMOE_MACHINE_TEXT];    /**< the kernel it picked, e.g. "Zen" */
    char blas_suggested[RINGMOE_MACHINE_TEXT]; /**< OPENBLAS_CORETYPE that fits this CPU better,
                                                  "" if its pick is right */
    int blas_threads;                          /**< of OpenBLAS's own pool */
    int n_cores;                               /**< physical cores of the machine */
    int n_cpus;                                /**< hardware threads of the machine */
    int n_cpus_bound;                          /**< hardware threads this process may run on */
    char binding[RINGMOE_MACHINE_TEXT];        /**< those, as a list such as 0-3,8 */
    int64_t memory_bytes, memory_free_bytes;
    int64_t l2_bytes, l3_bytes;
} ringmoe_machine;

/**
 * Looks at the machine and at OpenBLAS in this process.
 *
 * Local; a few system files are read (about a millisecond); never fails: unknown is "" or 0.
 * Where OpenMP has bound the calling thread, `binding` is the union of OpenMP's places.
 */
RINGMOE_API void ringmoe_machine_describe(ringmoe_machine *machine);

#define RINGMOE_MACHINE_LEVELS 8
#define RINGMOE_MACHINE_LEVEL_NAME 16

/** What one kernel level reaches with operands that stay in registers, all threads together; a
 * multiply-add counts as two operations. No product can be faster with that level's
 * instructions. */
typedef struct ringmoe_machine_peak {
    char level[RINGMOE_MACHINE_LEVEL_NAME]; /**< "avx2" */
    double fp32_gflops;                     /**< the instructions of its fp32 products */
    double bf16_gflops; /**< those of its bf16 products: the fp32 ones where the level has no
                           multiplication of bf16 */
    double q8_gflops, q4_gflops; /**< those of its products of weights in Q8_0 and Q4_0 */
} ringmoe_machine_peak;

typedef struct ringmoe_machine_ceilings {
    int n_threads;             /**< the context's, all of them busy at the same time */
    ringmoe_machine_peak peak; /**< of the context's level */
    int n_levels;
    ringmoe_machine_peak levels[RINGMOE_MACHINE_LEVELS]; /**< of all levels this build and CPU
                                                            can run, best last */
    double read_gb_per_s;      /**< reading memory, in 8 streams a thread */
    double mean_read_gb_per_s; /**< the same over all rounds instead of in the best: on a shared
                                  machine, what whoever reads for long can have */
    double write_gb_per_s;     /**< writing it (memset) */
    double copy_gb_per_s; /**< copying it (memcpy); bytes read and bytes written both count */
    double blas_gflops;   /**< OpenBLAS's fp32 product of two 768 x 768 matrices, one in each
                             thread */
} ringmoe_machine_ceilings;

/**
 * Measures the ceilings with the context's threads: the best of some rounds, in each of which
 * everything is measured once, on a buffer larger than the caches where memory is meant
 * (256 MiB, 32 MiB a thread or 4 times the third-level cache, the greatest of them).
 *
 * Local; 15 rounds take about two seconds. Other programs on the machine lower the result.
 *   context   in   its threads are used; not for two calls at a time
 *   n_rounds  in   >= 1
 *   ceilings  out  untouched on failure
 * Returns RINGMOE_OK; ARGUMENT (a NULL, no rounds); MEMORY (no room for the buffer).
 */
RINGMOE_API ringmoe_status ringmoe_machine_measure(ringmoe_context *context, int n_rounds,
                                                   ringmoe_machine_ceilings *ceilings);

#ifdef __cplusplus
}
#endif
#endif
