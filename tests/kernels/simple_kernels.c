/* SPDX-License-Identifier: MIT
 *
 * The simple row kernels for row_check.c: how each is called, and what it should give, computed
 * in the wider type. Tolerances: c ulp for element-wise results, c n eps sum|terms| for sums.
 */
#include "check.h"

#include <math.h>
#include <tgmath.h>

static const rm_real alpha = (rm_real)0.7361, shift = (rm_real)1.25;
/* --- element by element ----------------------------------------------------------------------
 */
static double run_round_bf16(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->round_bf16(n, a[0], a[1]);
    return 0;
}

static void expect_round_bf16(check *c, int64_t n, rm_real *const before[],
                              rm_real *const after[], double result)
{
    for (int64_t i = 0; i < n; i++) {
        rm_real want = nearest_bf16(before[0][i]);
        expect_same(c, "dst", 1, &after[1][i], &want);
    }
}

static double run_add(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->add(n, a[0], a[1]);
    return 0;
}

static void expect_add(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                       double result)
{
    for (int64_t i = 0; i < n; i++) {
        wide want = (wide)before[0][i] + (wide)before[1][i];
        expect_near(c, "y", i, after[1][i], want, ulp_at(want) / 2);
    }
}

static double run_axpy(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->axpy(n, alpha, a[0], a[1]);
    return 0;
}

static void expect_axpy(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                        double result)
{
    for (int64_t i = 0; i < n; i++) {
        wide product = (wide)alpha * before[0][i], want = product + before[1][i];
        expect_near(c, "y", i, after[1][i], want, (ulp_at(product) + ulp_at(want)) / 2);
    }
}

static double run_scale(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->scale(n, alpha, a[0]);
    return 0;
}

static void expect_scale(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                         double result)
{
    for (int64_t i = 0; i < n; i++) {
        wide want = (wide)alpha * before[0][i];
        expect_near(c, "x", i, after[0][i], want, ulp_at(want) / 2);
    }
}

/* --- sums ------------------------------------------------------------------------------------
 */
/* A sum of n terms in rm_real; one whose magnitudes overflow may come out as anything. */
static void expect_sum(check *c, const char *name, int64_t n, rm_real got, wide want,
                       wide magnitude)
{
    if (isfinite(magnitude) && magnitude > (wide)REAL_MAX / 2) return;
    wide terms = (wide)(n + 1);
    expect_near(c, name, 0, got, want, terms * (REAL_EPSILON * magnitude + REAL_LEAST));
}

static double run_dot(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    return (double)kernels->dot(n, a[0], a[1]);
}

static void expect_dot(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                       double result)
{
    wide sum = 0, magnitude = 0;
    for (int64_t i = 0; i < n; i++) {
        wide term = (wide)before[0][i] * before[1][i];
        sum += term, magnitude += fabs(term);
    }
    expect_sum(c, "dot", n, (rm_real)result, sum, magnitude);
}

static double run_max(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    return n ? (double)kernels->max(n, a[0]) : 0;
}

static void expect_max(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                       double result)
{
    if (n == 0) return;
    wide largest = before[0][0];
    for (int64_t i = 1; i < n && !isnan(largest); i++)
        if (!(before[0][i] <= largest)) largest = before[0][i];
    expect_near(c, "max", 0, (rm_real)result, largest, 0);
}

static double run_sum_squares(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    return kernels->sum_squares(n, a[0]);
}

/* The sum is in double, whatever rm_real is. */
static void expect_sum_squares(check *c, int64_t n, rm_real *const before[],
                               rm_real *const after[], double result)
{
    wide sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (wide)before[0][i] * before[0][i];
    bool is_exact = !isfinite((double)sum), both_nan = isnan(sum) && isnan(result);
    wide error = fabs((wide)result - sum), tolerance = (wide)(n + 1) * (DBL_EPSILON * sum);
    if (!both_nan && (is_exact ? result != (double)sum : !(error <= tolerance + DBL_TRUE_MIN)))
        fail(c, "sum of squares is %.17g, expected %.17g", result, (double)sum);
}

static double run_exp_shift(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    return (double)kernels->exp_shift(n, shift, a[0], a[1]);
}

/* Half of the arguments from where exp is neither zero nor infinite. */
static void prepare_exp_shift(check *c, int64_t n, rm_real *const arrays[])
{
    for (int64_t i = 0; i < n; i += 2)
        if (isfinite(arrays[0][i])) arrays[0][i] = (rm_real)random_between(c, -107, 92);
}

static void expect_exp_shift(check *c, int64_t n, rm_real *const before[],
                             rm_real *const after[], double result)
{
    wide sum = 0;
    for (int64_t i = 0; i < n; i++) {
        rm_real argument = before[0][i] - shift;
        wide want = exp((wide)argument);
        expect_near(c, "y", i, after[1][i], want, 2 * ulp_at(want));
        sum += after[1][i];
    }
    expect_sum(c, "sum of exp", n, (rm_real)result, sum, sum);
}

const row_kernel simple_kernels[] = {
    {"round_bf16",
     2,
     {1, 1},
     1 << 1,
     true,
     ALL_VALUES,
     {{1, 0}},
     run_round_bf16,
     NULL,
     expect_round_bf16},
    {"add", 2, {1, 1}, 1 << 1, true, ALL_VALUES, {{0, 0}}, run_add, NULL, expect_add},
    {"axpy", 2, {1, 1}, 1 << 1, true, ALL_VALUES, {{0, 0}}, run_axpy, NULL, expect_axpy},
    {"scale", 1, {1}, 1 << 0, true, ALL_VALUES, {{0, 0}}, run_scale, NULL, expect_scale},
    {"dot", 2, {1, 1}, 0, false, ALL_VALUES, {{0, 0}}, run_dot, NULL, expect_dot},
    {"max", 1, {1}, 0, false, ALL_VALUES, {{0, 0}}, run_max, NULL, expect_max},
    {"sum_squares",
     1,
     {1},
     0,
     false,
     ALL_VALUES,
     {{0, 0}},
     run_sum_squares,
     NULL,
     expect_sum_squares},
    {"exp_shift",
     2,
     {1, 1},
     1 << 1,
     false,
     ALL_VALUES,
     {{1, 0}},
     run_exp_shift,
     prepare_exp_shift,
     expect_exp_shift},
};
const int n_simple_kernels = sizeof simple_kernels / sizeof *simple_kernels;
