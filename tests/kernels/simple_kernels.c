/* SPDX-License-Identifier: MIT
 *
 * The simple row kernels for row_check.c: how each is called, and what it should give, computed
 * in the wider type. Tolerances: c ulp for element-wise results, c n eps sum|terms| for sums.
 */
#include "check.h"

#include <math.h>
#include <tgmath.h>

static const rm_real alpha = (rm_real)0.7361, shift = (rm_real)1.25;
/* --- element by element ------------------------------------------------------------------- */
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

/* --- sums --------------------------------------------------------------------------------- */
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

/* Bits of .read and .written, by the number of the array. */
enum { FIRST = 1, SECOND = 2 };

const row_kernel simple_kernels[] = {
    {.name = "add",
     .n_arrays = 2,
     .lengths = {1, 1},
     .read = FIRST | SECOND,
     .written = SECOND,
     .elementwise = true,
     .kinds = ALL_VALUES,
     .run = run_add,
     .expect = expect_add},
    {.name = "axpy",
     .n_arrays = 2,
     .lengths = {1, 1},
     .read = FIRST | SECOND,
     .written = SECOND,
     .elementwise = true,
     .kinds = ALL_VALUES,
     .run = run_axpy,
     .expect = expect_axpy},
    {.name = "scale",
     .n_arrays = 1,
     .lengths = {1},
     .read = FIRST,
     .written = FIRST,
     .elementwise = true,
     .kinds = ALL_VALUES,
     .run = run_scale,
     .expect = expect_scale},
    {.name = "dot",
     .n_arrays = 2,
     .lengths = {1, 1},
     .read = FIRST | SECOND,
     .kinds = ALL_VALUES,
     .run = run_dot,
     .expect = expect_dot},
    {.name = "max",
     .n_arrays = 1,
     .lengths = {1},
     .read = FIRST,
     .kinds = ALL_VALUES,
     .run = run_max,
     .expect = expect_max},
    {.name = "sum_squares",
     .n_arrays = 1,
     .lengths = {1},
     .read = FIRST,
     .kinds = ALL_VALUES,
     .run = run_sum_squares,
     .expect = expect_sum_squares},
    {.name = "exp_shift",
     .n_arrays = 2,
     .lengths = {1, 1},
     .read = FIRST,
     .written = SECOND,
     .elementwise = true,
     .kinds = ALL_VALUES,
     .aliases = {{1, 0}},
     .run = run_exp_shift,
     .prepare = prepare_exp_shift,
     .expect = expect_exp_shift},
};
const int n_simple_kernels = sizeof simple_kernels / sizeof *simple_kernels;
