/* SPDX-License-Identifier: MIT
 *
 * The few things `ringmoe bench gemm` needs of oneDNN, alike for versions 2 and 3 of its C
 * interface. Handles are oneDNN's own and are destroyed by its own functions; NULL on failure.
 */
#ifndef TOOLS_ONEDNN_H
#define TOOLS_ONEDNN_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
} onednn;

/* A matrix in plain memory, or with row_stride 0 in the layout oneDNN likes best. */
typedef struct onednn_matrix {
    int64_t n_rows, n_columns, row_stride, column_stride;
    dnnl_data_type_t type;
} onednn_matrix;

bool onednn_open(onednn *library);
void onednn_close(onednn *library);

/* A memory object over the caller's numbers. */
dnnl_memory_t onednn_memory(const onednn *library, const onednn_matrix *matrix, void *data);

/* C = A B. With `packed` B has that memory's layout; `b` says its shape in any case. */
dnnl_primitive_desc_t onednn_product(const onednn *library, const onednn_matrix *a,
                                     const onednn_matrix *b, dnnl_memory_t packed,
                                     const onednn_matrix *c);
/* dW = dY^T X, as the gradient of a dense layer's weights. */
dnnl_primitive_desc_t onednn_outer(const onednn *library, const onednn_matrix *x,
                                   const onednn_matrix *d_y, const onednn_matrix *d_w);

/* Whether the product is oneDNN's plain reference, which stands in where it has no fast one. */
bool onednn_is_reference(const_dnnl_primitive_desc_t description);
/* The bytes B takes in a product's own layout, and a memory object of that layout. */
int64_t onednn_packed_bytes(const_dnnl_primitive_desc_t product);
dnnl_memory_t onednn_packed(const onednn *library, const_dnnl_primitive_desc_t product,
                            void *data);
bool onednn_packed_alike(const_dnnl_primitive_desc_t product, const_dnnl_memory_t packed);

/* Takes over a description and makes what it describes. */
dnnl_primitive_t onednn_primitive(dnnl_primitive_desc_t description);
/* A copy from one memory object to another, with conversion. */
dnnl_primitive_t onednn_copy(const onednn *library, dnnl_memory_t from, dnnl_memory_t to);
/* Runs it; `n` arguments. */
bool onednn_run(const onednn *library, dnnl_primitive_t primitive, const dnnl_exec_arg_t *args,
                int n);

#endif
