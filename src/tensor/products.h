/* SPDX-License-Identifier: MIT
 *
 * Matrix products over ragged groups of rows: the drivers that cut them into blocks, spread the
 * blocks over threads and call the kernels' tiles. Weights are matrices [out][in], row-major.
 *
 *   forward          Y = X W^T        rm_product_grouped on matrix->forward
 *   input gradient   dX = dY W        rm_product_grouped on matrix->backward
 *   weight gradient  dW = dY^T X      rm_outer_grouped
 *
 * A row of Y or dX depends on that row of the input alone, bit for bit; an element of dW is one
 * sum over the rows of a term in their order. Neither depends on threads, on the other groups
 * or on the number of rows. With precision bf16 both operands are rounded to bf16 first.
 * Matrices in precision Q8_0 or Q4_0 (simd/quantised.h) have a forward form alone; their
 * products have the same bits at every kernel level.
 *
 * Where a matrix has its inner dimension cut (tensor/inner.h), the sums of Y or dX are those of
 * the blocks, added in their tree.
 */
#ifndef RM_PRODUCTS_H
#define RM_PRODUCTS_H

#include "tensor/compute.h"

/* B of a product, [k][n], laid out in panels for the tiles. */
typedef struct rm_packed {
    int64_t k, n;
    ringmoe_precision precision;
    void *data;       /* NULL: not there */
    rm_inner_cut cut; /* of k: the blocks are packed one after the other */
} rm_packed;

/* Blocks of the depth: one where it is not cut. Block b begins at bound b and ends at b + 1. */
int rm_packed_n_blocks(const rm_packed *packed);
int64_t rm_packed_bound(const rm_packed *packed, int b);

/* A weight matrix and its packed forms. */
typedef struct rm_matrix {
    int64_t out, in;
    const rm_real *weights; /* [out][in], master weights */
    rm_packed forward;      /* B = W^T: k = in, n = out */
    rm_packed backward;     /* B = W: k = out, n = in; data NULL in a model for inference */
} rm_matrix;

/* Sets the shape and takes the packed forms' memory from an arena (which may be measuring).
 * `precision` is of the packed forms: a router keeps fp32 in any case. */
void rm_matrix_layout(rm_matrix *matrix, const rm_compute *compute, int64_t out, int64_t in,
                      ringmoe_precision precision, bool with_backward, rm_arena *arena);
/* The same for any shape. out_cut is for the input gradient's sums over `out`, of a matrix
 * whose rows are split over ranks; in_cut for the forward sums over `in`, of one whose columns
 * are. */
typedef struct rm_matrix_shape {
    int64_t out, in;
    ringmoe_precision precision;
    bool with_backward;
    rm_inner_cut out_cut, in_cut;
} rm_matrix_shape;
void rm_matrix_layout_shape(rm_matrix *matrix, const rm_compute *compute,
                            const rm_matrix_shape *shape, rm_arena *arena);
/* Packs the weights of all matrices anew, after an optimizer step. Threads over panels. */
void rm_matrices_pack(const rm_compute *compute, rm_matrix *const *matrices, int n_matrices);
/* Packs rows [first, first + n) of one matrix, on the calling thread: for an optimizer that has
 * just updated them. `first` and the end are multiples of rm_matrix_strip, but for the matrix's
 * own end. The strip may be the whole matrix, where blocks begin within a packed step. */
void rm_matrix_pack_rows(const rm_compute *compute, const rm_matrix *matrix, int64_t first,
                         int64_t n);
/* The same of rows that lie elsewhere, `rows` being the first of them. */
void rm_matrix_pack_from(const rm_compute *compute, const rm_matrix *matrix, int64_t first,
                         int64_t n, const rm_real *rows);
/* The same of a file's blocks of Q8_0 or Q4_0, for a matrix of that precision that takes them
 * as they are: whole blocks, and none across a bound where the inner dimension is cut. Rows lie
 * row_bytes apart; of each, blocks from the matrix's first column on are taken. */
bool rm_matrix_takes_blocks(const rm_compute *compute, const rm_matrix *matrix);
void rm_matrix_pack_blocks(const rm_compute *compute, const rm_matrix *matrix, int64_t first,
                           int64_t n, const void *blocks, int64_t row_bytes);
int64_t rm_matrix_strip(const rm_compute *compute, const rm_matrix *matrix);

/* A rows * B, as a part of a sum of such products. */
typedef struct rm_product_term {
    const rm_real *a;
    int64_t a_stride;
    const int32_t *a_rows;
    const rm_packed *b;
} rm_product_term;

/* C rows = A rows * B for one group of rows. */
typedef struct rm_product {
    int64_t n_rows;   /* 0 allowed */
    const rm_real *a; /* row i is a + a_rows[i] * a_stride, k elements */
    int64_t a_stride;
    const int32_t *a_rows; /* NULL: i */
    const rm_packed *b;
    rm_real *c; /* row i is c + c_rows[i] * c_stride, n elements */
    int64_t c_stride;
    const int32_t *c_rows; /* NULL: i */
    bool add;              /* C += the product, in one addition an element */
    /* With `up`, a gated pair (add must be false): C_up = A rows * up as well, and, while both
     * are in the cache, hidden = weight * silu(C) * C_up. Rows of c_up and hidden are laid out
     * as those of c. hidden may be c, c_up or both: what it lies over is not kept. */
    const rm_packed *up;
    rm_real *c_up, *hidden;
    const rm_real *weights; /* of row i, [n_rows]; NULL: 1 */
    /* Further products that are part of the same sums (not with `up`): block by block where the
     * inner dimensions are cut, which are cut into equally many blocks. */
    const rm_product_term *more;
    int n_more;
} rm_product;
/* All groups in one call, balanced over threads by cost, whatever the skew of their rows.
 * Groups write different rows. */
void rm_product_grouped(const rm_compute *compute, const rm_product *groups, int n_groups);

/* Where a gradient goes: stored, or added in one addition an element to what is there. Every
 * writer of a sink writes or adds each element exactly once, so that  a + p  has the same bits
 * whether p was computed beside a or in a buffer of its own (comm/tree.h builds on that). */
typedef struct rm_sink {
    rm_real *data;
    bool add;
} rm_sink;

/* dW = dY^T X over one run of rows; rows 0 gives zeros (or nothing, with add). */
typedef struct rm_outer {
    int64_t n_rows;
    const rm_real *d_y; /* row i is d_y + d_y_rows[i] * d_y_stride, `out` elements */
    int64_t d_y_stride;
    const int32_t *d_y_rows; /* NULL: i */
    const rm_real *x;        /* row i is x + x_rows[i] * x_stride, `in` elements */
    int64_t x_stride;
    const int32_t *x_rows; /* NULL: i */
    rm_sink sink;          /* [out][in] */
} rm_outer;
/* Terms of one matrix, carried out in order for each element (a later term may add to an
 * earlier one's sink). */
typedef struct rm_outer_group {
    int64_t out, in;
    const rm_outer *terms;
    int n_terms;
} rm_outer_group;
/* `precision` RINGMOE_PRECISION_FP32 keeps the operands as they are (routers). */
void rm_outer_grouped(const rm_compute *compute, ringmoe_precision precision,
                      const rm_outer_group *groups, int n_groups);

/* The same for one dense matrix and contiguous rows. x: [n][in], y: [n][out]. */
void rm_linear(const rm_compute *compute, const rm_matrix *matrix, int64_t n, const rm_real *x,
               rm_real *y, bool add);
void rm_linear_backward_input(const rm_compute *compute, const rm_matrix *matrix, int64_t n,
                              const rm_real *d_y, rm_real *d_x, bool add);
/* d_x (+)= the sum of d_y[i] W[i], as one sum: for matrices that read the same x and are cut.
 */
enum { RM_LINEARS_MOST = 8 };
void rm_linears_backward_input(const rm_compute *compute, const rm_matrix *const *matrices,
                               int n_matrices, int64_t n, const rm_real *const *d_y,
                               rm_real *d_x, bool add);
void rm_linear_backward_weight(const rm_compute *compute, const rm_matrix *matrix, int64_t n,
                               const rm_real *d_y, const rm_real *x, rm_sink sink);

/* B of a small product inside a parallel region, for kernels->tile_in_place: B[p][j] =
 * src[p * row + j * col], row or col 1, in panels of fp32.nr columns. Attention's. Needs
 * rm_block_panels(k, n) elements. */
void rm_pack_block(const rm_kernels *kernels, int64_t k, int64_t n, const rm_real *src,
                   int64_t row, int64_t col, rm_real *panels);
int64_t rm_block_panels(const rm_kernels *kernels, int64_t k, int64_t n);

/* Bytes of scratch that the products of a matrix [out][in] with n_rows rows touch, of all
 * threads together; matrices of one shape count once. */
int64_t rm_products_scratch(const rm_compute *compute, int64_t n_rows, int64_t out, int64_t in);

#endif
