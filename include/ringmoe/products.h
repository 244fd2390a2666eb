/* SPDX-License-Identifier: MIT
 *
 * Grouped matrix products on one rank: the kernels under the MoE layer, for programs that bring
 * their own layers. A set of matrices (a rank's experts) is packed once after each change of
 * its weights; then all its products over ragged groups of rows are one call each.
 *
 *   forward          Y = X W^T      X [rows][in],  Y [rows][out]
 *   input gradient   dX = dY W
 *   weight gradient  dW = dY^T X    [out][in]
 *
 * An index list says which row of an array is row i of the groups, so that rows are gathered
 * and scattered within the products and need not be copied by the caller.
 *
 * Calls on the sets of one context must not overlap in time: they use its threads. A product
 * costs 2 * rows * n_out * n_in operations and reads the matrices of the groups that have rows
 * once; packing reads all weights once and writes each packed form once.
 *
 * A row of Y or dX depends on that row of the input alone, to the last bit: not on the number
 * of rows, their order, the other groups or the number of threads. With the context's precision
 * RINGMOE_PRECISION_BF16 both operands are rounded to bf16, sums are fp32.
 */
#ifndef RINGMOE_PRODUCTS_H
#define RINGMOE_PRODUCTS_H

#include <ringmoe/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/** n matrices of one shape, in packed form. */
typedef struct ringmoe_matrices ringmoe_matrices;

/**
 * Makes room for the packed forms.
 *
 * Local.
 *   context        in   its threads, kernel level and precision are used; must outlive the set
 *   n              in   matrices, >= 1
 *   n_out, n_in    in   shape of each, [n_out][n_in], 1 <= each < 2^31
 *   with_backward  in   0: forward products only, in half the memory
 *   matrices       out  NULL on failure
 * Returns RINGMOE_OK; ARGUMENT; MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_matrices_create(ringmoe_context *context, int n,
                                                   int64_t n_out, int64_t n_in,
                                                   int with_backward,
                                                   ringmoe_matrices **matrices);
/**
 * The same for forward products alone, in any precision: RINGMOE_PRECISION_Q8_0 and _Q4_0 round
 * the weights to blocks of 32 when they are packed, and the rows of X to bytes. Their bits are
 * the same at every kernel level.
 *
 * Local.
 *   precision  in   of the packed forms, in place of the context's
 * Returns RINGMOE_OK; ARGUMENT; MEMORY.
 */
RINGMOE_API ringmoe_status ringmoe_matrices_create_in(ringmoe_context *context, int n,
                                                      int64_t n_out, int64_t n_in,
                                                      ringmoe_precision precision,
                                                      ringmoe_matrices **matrices);
/** Frees it. Local. NULL or *matrices NULL: nothing. */
RINGMOE_API void ringmoe_matrices_destroy(ringmoe_matrices **matrices);

/**
 * Packs new weights, [n][n_out][n_in], row-major; they need not be kept afterwards.
 *
 * Local. Returns RINGMOE_OK; ARGUMENT.
 */
RINGMOE_API ringmoe_status ringmoe_matrices_pack(ringmoe_matrices *matrices,
                                                 const ringmoe_real *weights);

/**
 * Y = X W^T for all groups: rows [offsets[e], offsets[e + 1]) are multiplied with matrix e.
 *
 * Local.
 *   offsets  in   [n + 1], ascending from 0
 *   x        in   row i is x + x_rows[i] * n_in; not in y's memory
 *   x_rows   in   NULL: i
 *   y        out  row i is y + y_rows[i] * n_out; written; no two rows the same
 *   y_rows   in   NULL: i
 * Returns RINGMOE_OK; ARGUMENT; STATE (not packed yet).
 */
RINGMOE_API ringmoe_status ringmoe_matrices_forward(ringmoe_matrices *matrices,
                                                    const int64_t *offsets,
                                                    const ringmoe_real *x,
                                                    const int32_t *x_rows, ringmoe_real *y,
                                                    const int32_t *y_rows);
/**
 * dX = dY W for all groups; arguments as ringmoe_matrices_forward, with d_y [..][n_out] in
 * and d_x [..][n_in] out. STATE too if the set was made without backward.
 */
RINGMOE_API ringmoe_status ringmoe_matrices_backward_input(
    ringmoe_matrices *matrices, const int64_t *offsets, const ringmoe_real *d_y,
    const int32_t *d_y_rows, ringmoe_real *d_x, const int32_t *d_x_rows);
/**
 * dW[e] = dY^T X over the rows of group e; a group without rows gives zeros.
 *
 * Local.
 *   d_w  out  [n][n_out][n_in]
 *   add  in   not 0: dW is added to what is there, in one addition an element
 * Returns RINGMOE_OK; ARGUMENT.
 */
RINGMOE_API ringmoe_status ringmoe_matrices_backward_weight(
    ringmoe_matrices *matrices, const int64_t *offsets, const ringmoe_real *d_y,
    const int32_t *d_y_rows, const ringmoe_real *x, const int32_t *x_rows, int add,
    ringmoe_real *d_w);

#ifdef __cplusplus
}
#endif
#endif
