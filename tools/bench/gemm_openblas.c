/* SPDX-License-Identifier: MIT
 *
 * OpenBLAS, a call an expert. Its usual builds multiply no bf16, so bf16 is compared with its
 * fp32 products. One row is a product with a vector.
 */
#include "gemm.h"

#include <cblas.h>
#include <stdlib.h>
#include <string.h>

typedef struct blas {
    const gemm_problem *problem;
    const int64_t *offsets;
} blas;

static void blas_version(char text[64])
{
    snprintf(text, 64, "%s kernel", openblas_get_corename());
}

static void *open_blas(const gemm_problem *problem, char error[256])
{
    blas *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->problem = problem;
    openblas_set_num_threads(problem->n_threads);
    return b;
}

static bool prepare_blas(void *state, const int64_t *offsets)
{
    ((blas *)state)->offsets = offsets;
    return true;
}

static void forward(const gemm_shape *shape, int m, const float *x, const float *w, float *y)
{
    int in = (int)shape->n_in, out = (int)shape->n_out;
    if (m == 1)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, out, in, 1, w, in, x, 1, 0, y, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, out, in, 1, x, in, w, in, 0, y,
                    out);
}

static void backward_input(const gemm_shape *shape, int m, const float *d_y, const float *w,
                           float *d_x)
{
    int in = (int)shape->n_in, out = (int)shape->n_out;
    if (m == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, out, in, 1, w, in, d_y, 1, 0, d_x, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, in, out, 1, d_y, out, w, in,
                    0, d_x, in);
}

static void backward_weight(const gemm_shape *shape, int m, const float *d_y, const float *x,
                            float *d_w)
{
    int in = (int)shape->n_in, out = (int)shape->n_out;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, m, 1, d_y, out, x, in, 0, d_w,
                in);
}

static bool run_blas(void *state, int set)
{
    const blas *b = state;
    const gemm_problem *p = b->problem;
    int64_t in = p->shape.n_in, out = p->shape.n_out;
    for (int e = 0; e < p->n_experts; e++) {
        int64_t row = b->offsets[e], weight = ((int64_t)set * p->n_experts + e) * in * out;
        int m = (int)(b->offsets[e + 1] - row);
        if (p->operation == GEMM_BACKWARD_WEIGHT && m == 0)
            memset(p->d_w + weight, 0, (size_t)(in * out) * sizeof *p->d_w);
        else if (p->operation == GEMM_BACKWARD_WEIGHT)
            backward_weight(&p->shape, m, p->d_y + row * out, p->x + row * in, p->d_w + weight);
        else if (p->operation == GEMM_BACKWARD_INPUT && m > 0)
            backward_input(&p->shape, m, p->d_y + row * out, p->weights + weight,
                           p->d_x + row * in);
        else if (m > 0)
            forward(&p->shape, m, p->x + row * in, p->weights + weight, p->y + row * out);
    }
    return true;
}

static const char *note_blas(const void *state)
{
    const blas *b = state;
    return b->problem->precision == RINGMOE_PRECISION_FP32 ? "" : "fp32";
}

const gemm_contender gemm_openblas = {.name = "OpenBLAS",
                                      .key = "openblas",
                                      .version = blas_version,
                                      .open = open_blas,
                                      .prepare = prepare_blas,
                                      .run = run_blas,
                                      .note = note_blas,
                                      .close = free};
