/* SPDX-License-Identifier: MIT */
#include "check.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST_REPORTED = 5 }; /* failures of one kernel that are printed */

void describe(check *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->what, sizeof c->what, format, arguments);
    va_end(arguments);
    c->n_cases++;
}

void fail(check *c, const char *format, ...)
{
    c->n_failures++;
    if (c->n_reported++ >= MOST_REPORTED) return;
    va_list arguments;
    va_start(arguments, format);
    printf("FAILED %s %s (%s): ", c->kernels->level, c->kernel, c->what);
    vprintf(format, arguments);
    printf("\n  again: check_kernels --level %s --kernel %s --seed %" PRIu64 "\n",
           c->kernels->level, c->kernel, c->seed);
    va_end(arguments);
}

wide ulp_at(wide x)
{
    wide magnitude = x < 0 ? -x : x;
    if (!(magnitude <= (wide)REAL_MAX)) return (wide)REAL_MAX * REAL_EPSILON;
    if (magnitude < (wide)REAL_LEAST) return (wide)REAL_LEAST;
    wide ulp = (wide)ldexp(REAL_EPSILON, ilogb((double)magnitude));
    return ulp > (wide)REAL_LEAST ? ulp : (wide)REAL_LEAST;
}

static bool is_near(rm_real got, wide want, wide tolerance)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    wide edge = (wide)REAL_MAX - tolerance;
    if (isinf(got)) return got > 0 ? want > edge : want < -edge;
    if (isinf(want)) return false;
    return fabsl((long double)got - (long double)want) <= (long double)tolerance;
}

void expect_near(check *c, const char *name, int64_t i, rm_real got, wide want, wide tolerance)
{
    if (!is_near(got, want, tolerance))
        fail(c, "%s[%" PRId64 "] is %.9g, expected %.17g within %.3g", name, i, (double)got,
             (double)want, (double)tolerance);
}

void expect_same(check *c, const char *name, int64_t n, const rm_real *got, const rm_real *want)
{
    for (int64_t i = 0; i < n; i++) {
        if (isnan(got[i]) && isnan(want[i])) continue;
        if (memcmp(&got[i], &want[i], sizeof *got) == 0) continue;
        fail(c, "%s[%" PRId64 "] is %a, elsewhere %a", name, i, (double)got[i],
             (double)want[i]);
        return;
    }
}

void expect_copy(check *c, const char *name, size_t size, const void *got, const void *want)
{
    if (memcmp(got, want, size) != 0) fail(c, "%s is not an exact copy", name);
}

void expect_sum(check *c, const char *name, int64_t n, rm_real got, wide want, wide magnitude)
{
    if (isfinite(magnitude) && magnitude > (wide)REAL_MAX / 2) return;
    wide terms = (wide)(n + 1);
    expect_near(c, name, 0, got, want, terms * (REAL_EPSILON * magnitude + REAL_LEAST));
}
