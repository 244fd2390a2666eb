/* SPDX-License-Identifier: MIT
 *
 * The row kernels of a transformer's layers for row_check.c: RMSNorm, SwiGLU, the gradient of
 * softmax, rotary embedding, AdamW. As simple_kernels.c.
 */
#include "check.h"

#include <math.h>
#include <tgmath.h>

static const rm_real norm_eps = (rm_real)1e-5, rstd = (rm_real)0.8731;
static const rm_real row_weight = (rm_real)0.6173, delta = (rm_real)0.219;
static const rm_adamw adamw_step = {
    .gradient_scale = (rm_real)0.75,
    .beta1 = (rm_real)0.9,
    .beta2 = (rm_real)0.95,
    .learning_rate = (rm_real)3e-3,
    .weight_decay = (rm_real)0.1,
    .correction1 = (rm_real)2.1,
    .correction2 = (rm_real)3.3,
    .epsilon = (rm_real)1e-8,
};

/* --- normalisation ------------------------------------------------------------------------ */
static double run_rmsnorm(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    return (double)kernels->rmsnorm(n, norm_eps, a[0], a[1], a[2]);
}

static void expect_rmsnorm(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                           double result)
{
    if (n == 0) return;
    wide sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (wide)before[0][i] * before[0][i];
    wide want = 1 / sqrt(sum / (wide)n + (wide)norm_eps);
    wide rstd_error = (wide)(n + 2) * DBL_EPSILON * want + ulp_at(want);
    expect_near(c, "rstd", 0, (rm_real)result, want, rstd_error);
    for (int64_t i = 0; i < n; i++) {
        wide x_w = (wide)before[0][i] * before[1][i], y = x_w * want;
        wide small = (1 + fabs((wide)before[1][i])) * REAL_LEAST;
        wide tolerance = fabs(x_w) * rstd_error + 2 * ulp_at(y) + small;
        expect_near(c, "y", i, after[2][i], y, tolerance);
    }
}

static double run_rmsnorm_backward(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->rmsnorm_backward(n, rstd, a[0], a[1], a[2], a[3], a[4]);
    return 0;
}

static void expect_rmsnorm_backward(check *c, int64_t n, rm_real *const before[],
                                    rm_real *const after[], double result)
{
    const rm_real *x = before[0], *w = before[1], *d_y = before[2];
    wide sum = 0, magnitude = 0;
    for (int64_t i = 0; i < n; i++) {
        wide term = (wide)w[i] * d_y[i] * x[i];
        sum += term, magnitude += fabs(term);
    }
    for (int64_t i = 0; i < n; i++) {
        wide r = rstd, u = (wide)w[i] * d_y[i], normed = (wide)x[i] * r;
        wide d_x = r * (u - x[i] * r * r * sum / (wide)n);
        wide error = 4 * fabs(u) + fabs((wide)x[i]) * r * r * magnitude * ((wide)6 / n + 1);
        expect_near(c, "d_x", i, after[3][i], d_x,
                    REAL_EPSILON * r * error + (8 + fabs((wide)x[i])) * REAL_LEAST);
        wide d_w = before[4][i] + d_y[i] * normed;
        expect_near(c, "d_w", i, after[4][i], d_w,
                    REAL_EPSILON * (2 * fabs(d_y[i] * normed) + fabs((wide)before[4][i])) +
                        (2 + fabs((wide)d_y[i])) * REAL_LEAST);
    }
}

/* --- layers ------------------------------------------------------------------------------- */
static wide sigmoid(wide x)
{
    return x < 0 ? exp(x) / (1 + exp(x)) : 1 / (1 + exp(-x));
}

/* Half of the gates from where the logistic function is neither 0 nor 1; less far where another
 * operand is infinite, since infinity times what underflows is not defined. */
static void prepare_silu(check *c, int64_t n, rm_real *const arrays[])
{
    for (int64_t i = 0; i < n; i += 2) {
        double reach = isfinite(arrays[1][i]) && isfinite(arrays[2][i]) ? 110 : 80;
        if (isfinite(arrays[0][i])) arrays[0][i] = (rm_real)random_between(c, -reach, reach);
    }
}

static double run_silu_mul(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->silu_mul(n, row_weight, a[0], a[1], a[2]);
    return 0;
}

static void expect_silu_mul(check *c, int64_t n, rm_real *const before[],
                            rm_real *const after[], double result)
{
    for (int64_t i = 0; i < n; i++) {
        wide gate = before[0][i], up = before[1][i];
        wide want = row_weight * gate * sigmoid(gate) * up;
        wide small = REAL_LEAST * (1 + fabs(up)) * (1 + fabs(gate));
        expect_near(c, "h", i, after[2][i], want, 7 * ulp_at(want) + 4 * small);
    }
}

static double run_silu_mul_backward(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    return (double)kernels->silu_mul_backward(n, row_weight, a[0], a[1], a[2], a[3], a[4]);
}

static void expect_silu_mul_backward(check *c, int64_t n, rm_real *const before[],
                                     rm_real *const after[], double result)
{
    wide sum = 0, magnitude = 0, lost = 0;
    for (int64_t i = 0; i < n; i++) {
        wide gate = before[0][i], up = before[1][i], d_h = before[2][i];
        wide d_out = row_weight * d_h, silu = gate * sigmoid(gate);
        wide bend = gate * sigmoid(-gate), d_up = d_out * silu;
        wide d_gate = d_out * up * sigmoid(gate) * (1 + bend);
        wide terms = fabs(d_out * up * sigmoid(gate)) * (1 + fabs(bend));
        wide small = REAL_LEAST * (1 + fabs(gate)) * (1 + fabs(d_h));
        expect_near(c, "d_gate", i, after[3][i], d_gate,
                    9 * REAL_EPSILON * terms + 4 * small * (1 + fabs(up)));
        expect_near(c, "d_up", i, after[4][i], d_up, 7 * ulp_at(d_up) + 4 * small);
        sum += d_h * silu * up, magnitude += fabs(d_h * silu * up);
        lost += small * (1 + fabs(up));
    }
    if (isfinite(magnitude) && magnitude > (wide)REAL_MAX / 2) return;
    expect_near(c, "d_weight", 0, (rm_real)result, sum,
                (wide)(n + 8) * REAL_EPSILON * magnitude + 4 * (isfinite(lost) ? lost : 0));
}

static double run_softmax_backward(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->softmax_backward(n, delta, row_weight, a[0], a[1], a[2]);
    return 0;
}

static void expect_softmax_backward(check *c, int64_t n, rm_real *const before[],
                                    rm_real *const after[], double result)
{
    for (int64_t i = 0; i < n; i++) {
        wide p = before[0][i], above = (wide)before[1][i] - delta;
        wide want = p * above * row_weight, above_error = ulp_at(above) * fabs(p * row_weight);
        expect_near(c, "d_x", i, after[2][i], want,
                    above_error + 2 * ulp_at(want) + 2 * REAL_LEAST);
    }
}

static double run_rope(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->rope(2 * n, a[0], a[1], -1, a[2]);
    return 0;
}

static void expect_rope(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                        double result)
{
    for (int64_t i = 0; i < n; i++) {
        wide stay = before[0][i], turn = -before[1][i];
        wide x = before[2][i], y = before[2][i + n];
        expect_near(c, "x", i, after[2][i], x * stay - y * turn,
                    REAL_EPSILON * (fabs(x * stay) + fabs(y * turn)) + 2 * REAL_LEAST);
        expect_near(c, "x", i + n, after[2][i + n], y * stay + x * turn,
                    REAL_EPSILON * (fabs(y * stay) + fabs(x * turn)) + 2 * REAL_LEAST);
    }
}

static double run_adamw(const rm_kernels *kernels, int64_t n, rm_real *const a[])
{
    kernels->adamw(n, &adamw_step, a[0], a[1], a[2], a[3]);
    return 0;
}

static void prepare_adamw(check *c, int64_t n, rm_real *const arrays[])
{
    for (int64_t i = 0; i < n; i++) arrays[3][i] = fabs(arrays[3][i]);
}

static void expect_adamw(check *c, int64_t n, rm_real *const before[], rm_real *const after[],
                         double result)
{
    const rm_adamw *step = &adamw_step;
    for (int64_t i = 0; i < n; i++) {
        wide g = (wide)before[0][i] * step->gradient_scale, w = before[1][i];
        wide take1 = (rm_real)(1 - step->beta1), take2 = (rm_real)(1 - step->beta2);
        wide kept = (wide)step->beta1 * before[2][i], taken = take1 * g, m = kept + taken;
        wide v = (wide)step->beta2 * before[3][i] + take2 * g * g;
        wide below = sqrt(v * step->correction2) + step->epsilon;
        wide direction = m * step->correction1 / below + step->weight_decay * w;
        wide m_error = 2 * REAL_EPSILON * (fabs(kept) + fabs(taken)) + 3 * REAL_LEAST;
        wide v_error = 4 * REAL_EPSILON * v + 3 * REAL_LEAST;
        wide direction_error =
            m_error * step->correction1 / below +
            6 * REAL_EPSILON * (fabs(m) * step->correction1 / below + fabs(w));
        expect_near(c, "m", i, after[2][i], m, m_error);
        expect_near(c, "v", i, after[3][i], v, v_error);
        wide want = w - step->learning_rate * direction;
        expect_near(c, "w", i, after[1][i], want,
                    step->learning_rate * direction_error + ulp_at(want) + ulp_at(w));
    }
}

/* Bits of .read and .written, by the number of the array. */
enum { FIRST = 1, SECOND = 2, THIRD = 4, FOURTH = 8, FIFTH = 16 };

const row_kernel layer_kernels[] = {
    {.name = "rmsnorm",
     .n_arrays = 3,
     .lengths = {1, 1, 1},
     .read = FIRST | SECOND,
     .written = THIRD,
     .kinds = BUT_HUGE,
     .aliases = {{2, 0}},
     .run = run_rmsnorm,
     .expect = expect_rmsnorm},
    {.name = "rmsnorm_backward",
     .n_arrays = 5,
     .lengths = {1, 1, 1, 1, 1},
     .read = FIRST | SECOND | THIRD | FIFTH,
     .written = FOURTH | FIFTH,
     .kinds = BUT_HUGE,
     .aliases = {{3, 2}},
     .run = run_rmsnorm_backward,
     .expect = expect_rmsnorm_backward},
    {.name = "silu_mul",
     .n_arrays = 3,
     .lengths = {1, 1, 1},
     .read = FIRST | SECOND,
     .written = THIRD,
     .elementwise = true,
     .kinds = ALL_VALUES,
     .aliases = {{2, 0}, {2, 1}},
     .run = run_silu_mul,
     .prepare = prepare_silu,
     .expect = expect_silu_mul},
    {.name = "silu_mul_backward",
     .n_arrays = 5,
     .lengths = {1, 1, 1, 1, 1},
     .read = FIRST | SECOND | THIRD,
     .written = FOURTH | FIFTH,
     .elementwise = true,
     .kinds = BUT_HUGE,
     .aliases = {{3, 0}, {4, 1}},
     .run = run_silu_mul_backward,
     .prepare = prepare_silu,
     .expect = expect_silu_mul_backward},
    {.name = "softmax_backward",
     .n_arrays = 3,
     .lengths = {1, 1, 1},
     .read = FIRST | SECOND,
     .written = THIRD,
     .elementwise = true,
     .kinds = BUT_HUGE,
     .aliases = {{2, 1}},
     .run = run_softmax_backward,
     .expect = expect_softmax_backward},
    {.name = "rope",
     .n_arrays = 3,
     .lengths = {1, 1, 2},
     .read = FIRST | SECOND | THIRD,
     .written = THIRD,
     .kinds = BUT_HUGE,
     .run = run_rope,
     .expect = expect_rope},
    {.name = "adamw",
     .n_arrays = 4,
     .lengths = {1, 1, 1, 1},
     .read = FIRST | SECOND | THIRD | FOURTH,
     .written = SECOND | THIRD | FOURTH,
     .elementwise = true,
     .kinds = BUT_HUGE,
     .run = run_adamw,
     .prepare = prepare_adamw,
     .expect = expect_adamw},
};
const int n_layer_kernels = sizeof layer_kernels / sizeof *layer_kernels;
