/* SPDX-License-Identifier: MIT
 *
 * The loop of every row kernel. A kernel has one body, for `count` elements from element i on:
 *
 *   FOR_EACH_STEP(step, n, body, arguments...)   calls   body(i, count, arguments...)
 *
 *   | step | step | step | rest |        count = step, a constant the body folds, then n - i
 *
 * Loads and stores in the body are masked by count (vec_load_first), so an element has the same
 * bits in a full step and in the rest.
 */
#ifndef RM_VECTOR_LOOP_H
#define RM_VECTOR_LOOP_H

#define FOR_EACH_STEP(step, n, body, ...)                                                      \
    do {                                                                                       \
        int64_t first = 0;                                                                     \
        for (; first + (step) <= (n); first += (step)) body(first, step, __VA_ARGS__);         \
        if (first < (n)) body(first, (n)-first, __VA_ARGS__);                                  \
    } while (0)

#define FOR_EACH_VECTOR(n, body, ...) FOR_EACH_STEP(VEC_WIDTH, n, body, __VA_ARGS__)

#define BODY static inline __attribute__((always_inline)) void
/* A kernel that a level may replace by its own. */
#define OPTIONAL static __attribute__((unused))

/* A loop of a few rounds, their number constant, whose arrays are to live in registers. */
#ifdef __clang__
#define UNROLL _Pragma("clang loop unroll(full)")
#define UNROLL_TERMS _Pragma("clang loop unroll_count(4)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#define UNROLL_TERMS _Pragma("GCC unroll 4")
#endif
/* Not unrolled: gcc would add whole numbers as a tree, all terms of a sum at once, for which
 * there are too few registers. */
#ifdef __clang__
#define FOR_GROUPS(g, n) _Pragma("clang loop unroll(disable)") for (int g = 0; g < (n); g++)
#else
#define FOR_GROUPS(g, n) _Pragma("GCC unroll 1") for (int g = 0; g < (n); g++)
#endif
#define FOR_UNROLLED(i, n) UNROLL for (int i = 0; i < (n); i++)
/* A loop over the depth, four terms a round: counting would take a fifth of the instructions,
 * which are what a tile waits for when a core's two threads are both busy. */
#define FOR_TERMS(p, k) UNROLL_TERMS for (int64_t p = 0; p < (k); p++)

#endif
