/* SPDX-License-Identifier: MIT
 *
 * The kernel checker's tools: random values of many kinds, buffers whose surroundings are
 * watched, and comparisons that report a failure with the line that reproduces it.
 *
 *   check_kernels.c                      options, the list of checks
 *   buffers.c, values.c, report.c        the tools
 *   row_check.c                          any row kernel: lengths, addresses, parts, aliases
 *   simple_kernels.c, layer_kernels.c    the row kernels and their references
 *   operands.c, products.c, packs.c,     tiles and panels
 *   tile_parts.c
 *   many_rows.c                          rows of a matrix at once
 *   quantised.c                          products of weights in blocks
 *   conversions.c                        stored numbers
 *   bench.c, bench_products.c            speed
 */
#ifndef CHECK_H
#define CHECK_H

#include <float.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/kernels.h"

/* References are computed in a wider type than the kernels'. */
#ifdef RINGMOE_DOUBLE
typedef long double wide;
#define REAL_EPSILON DBL_EPSILON
#define REAL_MAX DBL_MAX
#define REAL_LEAST DBL_TRUE_MIN
#else
typedef double wide;
#define REAL_EPSILON FLT_EPSILON
#define REAL_MAX FLT_MAX
#define REAL_LEAST FLT_TRUE_MIN
#endif

enum { MAX_BUFFERS = 16, N_PLACEMENTS = 4 };

typedef void pack_kernel(int64_t k, int n, const rm_real *const *pointers, void *panel);

/* A slot of memory between two pages that must not be touched. */
typedef struct watched {
    unsigned char *first, *last; /* the usable bytes: [first, last) */
    unsigned char *data;         /* where the buffer lies in it */
    size_t size;
} watched;

typedef struct check {
    const rm_kernels *kernels;
    uint64_t seed, random;
    const char *kernel; /* under test */
    char what[160];     /* the case under test */
    int64_t n_cases, n_failures, n_reported;
    watched buffers[MAX_BUFFERS];
    int n_taken;
} check;

/* --- values ------------------------------------------------------------------------------- */
typedef enum values {
    VALUES_UNIT,     /* uniform in [-1, 1] */
    VALUES_WIDE,     /* magnitudes 2^-20 .. 2^20 */
    VALUES_ZERO,     /* zeros of both signs, some units */
    VALUES_DENORMAL, /* denormals, some units */
    VALUES_TIE,      /* halfway, or next to halfway, between two bf16 */
    VALUES_SPECIAL,  /* units with some NaN and infinities */
    VALUES_HUGE,     /* close to the largest number */
    N_VALUES
} values;

extern const char *const values_names[N_VALUES];

/* Starts the random numbers of a kernel's check. */
void random_start(check *c, const char *kernel);
uint64_t random_bits(check *c);
/* Uniform in [low, high). */
double random_between(check *c, double low, double high);
rm_real random_value(check *c, values kind);
void fill_values(check *c, values kind, int64_t n, rm_real *x);
/* Rounding to bf16 by arithmetic, not by bits. */
rm_real nearest_bf16(rm_real x);
rm_bf16 bf16_of(rm_real x);

/* --- watched buffers ---------------------------------------------------------------------- */
bool buffers_create(check *c);
void buffers_destroy(check *c);
/* Forgets the buffers taken so far. */
void buffers_reset(check *c);
/* A buffer of n elements that ends at (placement 0) or begins after (1) a forbidden page, or
 * lies between with a base aligned to its element alone (others). Its surroundings are marked.
 */
void *buffer_take(check *c, int placement, int64_t n, size_t element);
/* A failure if a mark beside any taken buffer is gone. */
void buffers_verify(check *c);

/* --- comparisons -------------------------------------------------------------------------- */
void describe(check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
void fail(check *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The distance of neighbouring numbers at x. */
wide ulp_at(wide x);
/* |got - want| <= tolerance; NaN for NaN; an infinity where want is beyond the largest number.
 */
void expect_near(check *c, const char *name, int64_t i, rm_real got, wide want, wide tolerance);
/* The same bits; any NaN for any NaN. */
void expect_same(check *c, const char *name, int64_t n, const rm_real *got,
                 const rm_real *want);
/* The same bits, of NaN as well. */
void expect_copy(check *c, const char *name, size_t size, const void *got, const void *want);

/* --- the checks --------------------------------------------------------------------------- */
enum { ALL_VALUES = (1 << N_VALUES) - 1, BUT_HUGE = ALL_VALUES & ~(1 << VALUES_HUGE) };

typedef struct row_kernel {
    const char *name;
    int n_arrays;
    int lengths[5];         /* elements of each array, times n */
    unsigned read, written; /* bit a: array a is read, is written */
    bool elementwise;       /* what it writes may be computed on parts of a row */
    unsigned kinds;         /* bit v: run on values v */
    int aliases[3][2];      /* (output, input) that may be the same memory; {0, 0} ends */
    double (*run)(const rm_kernels *kernels, int64_t n, rm_real *const arrays[]);
    /* Changes random values to what the kernel is for; NULL: as they are. */
    void (*prepare)(check *c, int64_t n, rm_real *const arrays[]);
    void (*expect)(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                   double result);
} row_kernel;

extern const row_kernel simple_kernels[], layer_kernels[];
extern const int n_simple_kernels, n_layer_kernels;

/* A sum of n terms in rm_real; one whose magnitudes overflow may come out as anything. */
void expect_sum(check *c, const char *name, int64_t n, rm_real got, wide want, wide magnitude);

void check_row_kernel(check *c, const row_kernel *kernel);
void check_tiles(check *c, const rm_tile_kernels *tiles, bool bf16);
void check_packs(check *c, const rm_tile_kernels *tiles, bool bf16);
void check_tile_in_place(check *c);
void check_widen(check *c, bool half);
void check_many_rows(check *c);
void check_quantised(check *c, bool is_q4);

/* Speed of the kernels; `only`: of one (NULL: all). */
void bench(check *c, const char *only);

#endif
