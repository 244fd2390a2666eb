/* SPDX-License-Identifier: MIT
 *
 * For the tests of products: random operands, operands rounded as the products round them, and
 * the comparison of a sum with the same sum in double.
 */
#ifndef NAIVE_H
#define NAIVE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tensor/products.h"

static inline void *naive_allocate(int64_t count, size_t size)
{
    void *memory = calloc((size_t)count + 1, size);
    assert_non_null(memory);
    return memory;
}

static inline rm_real *naive_random(uint64_t seed, int64_t n)
{
    rm_real *values = naive_allocate(n, sizeof *values);
    rm_random_fill_normal((rm_random_key){seed, 1}, 0, n, 1, values);
    return values;
}

static inline rm_real *naive_copy(const rm_real *values, int64_t n)
{
    rm_real *copy = naive_allocate(n, sizeof *copy);
    memcpy(copy, values, (size_t)n * sizeof *copy);
    return copy;
}

/* The operand that a product of this precision sees: bf16 keeps 8 bits, ties to even. */
static inline double naive_operand(rm_real value, ringmoe_precision precision)
{
    if (precision == RINGMOE_PRECISION_FP32) return value;
    int exponent;
    double fraction = frexp((double)value, &exponent);
    return ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8);
}

/* A sum of `n` products in double, with the size its rounding errors are measured against. */
typedef struct naive_sum {
    double sum, size;
    int64_t n;
} naive_sum;

static inline void naive_add(naive_sum *to, double term)
{
    to->sum += term;
    to->size += fabs(term);
    to->n++;
}

static inline void naive_check(rm_real got, naive_sum expected)
{
    double tolerance = (double)(expected.n + 2) * 0x1p-23 * expected.size;
    if (fabs((double)got - expected.sum) <= tolerance) return;
    fail_msg("%.9g instead of %.9g (tolerance %.2g)", (double)got, expected.sum, tolerance);
}

/* A computation with this level, or the best one for NULL. */
static inline rm_compute naive_compute(const char *level, int n_threads,
                                       ringmoe_precision precision)
{
    rm_compute compute;
    rm_error error;
    if (rm_compute_init(&compute, level, n_threads, precision, &error) != RINGMOE_OK)
        fail_msg("%s", error.text);
    return compute;
}

/* Runs `test` with every level and precision. */
static inline void naive_each_mode(void (*test)(const char *level, ringmoe_precision precision))
{
    for (const char *const *level = rm_kernels_levels(); *level; level++) {
        test(*level, RINGMOE_PRECISION_FP32);
        test(*level, RINGMOE_PRECISION_BF16);
    }
}

/* A matrix of random weights, packed; freed by naive_matrix_free. */
typedef struct naive_matrix {
    rm_matrix matrix;
    rm_real *weights;
    rm_arena arena;
} naive_matrix;

static inline naive_matrix naive_matrix_create(const rm_compute *compute, int64_t out,
                                               int64_t in)
{
    naive_matrix made = {.weights = naive_random((uint64_t)(out * 131 + in), out * in)};
    rm_error error;
    rm_matrix_layout(&made.matrix, compute, out, in, compute->precision, true, &made.arena);
    assert_int_equal(rm_arena_reserve(&made.arena, made.arena.used, &error), RINGMOE_OK);
    rm_matrix_layout(&made.matrix, compute, out, in, compute->precision, true, &made.arena);
    made.matrix.weights = made.weights;
    rm_matrix *all[] = {&made.matrix};
    rm_matrices_pack(compute, all, 1);
    return made;
}

static inline void naive_matrix_free(naive_matrix *made)
{
    rm_arena_free(&made->arena);
    free(made->weights);
}

#endif
