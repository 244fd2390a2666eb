/* SPDX-License-Identifier: MIT */
#include "onednn.h"

#include <string.h>

/* Version 2 describes memory by a struct and an operation by a descriptor of its own; version 3
 * has handles and no such descriptor. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t layout;
typedef const_dnnl_memory_desc_t layout_reference;
#else
typedef dnnl_memory_desc_t layout;
typedef const dnnl_memory_desc_t *layout_reference;
#endif

#if DNNL_VERSION_MAJOR >= 3

static layout_reference refer(const layout *described)
{
    return *described;
}

static bool describe_strides(layout *described, const dnnl_dims_t dims, dnnl_data_type_t type,
                             const dnnl_dims_t strides)
{
    return dnnl_memory_desc_create_with_strides(described, 2, dims, type, strides) ==
           dnnl_success;
}

static bool describe_any(layout *described, const dnnl_dims_t dims, dnnl_data_type_t type)
{
    return dnnl_memory_desc_create_with_tag(described, 2, dims, type, dnnl_format_tag_any) ==
           dnnl_success;
}

static void forget(layout *described)
{
    dnnl_memory_desc_destroy(*described);
}

static dnnl_status_t create_product(dnnl_primitive_desc_t *product, dnnl_engine_t engine,
                                    layout_reference a, layout_reference b, layout_reference c)
{
    return dnnl_matmul_primitive_desc_create(product, engine, a, b, NULL, c, NULL);
}

static dnnl_status_t create_outer(dnnl_primitive_desc_t *outer, dnnl_engine_t engine,
                                  layout_reference x, layout_reference w, layout_reference d_w,
                                  layout_reference d_y)
{
    dnnl_primitive_desc_t forward;
    dnnl_status_t status = dnnl_inner_product_forward_primitive_desc_create(
        &forward, engine, dnnl_forward_training, x, w, NULL, d_y, NULL);
    if (status != dnnl_success) return status;
    status = dnnl_inner_product_backward_weights_primitive_desc_create(
        outer, engine, x, d_w, NULL, d_y, forward, NULL);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

#else

static layout_reference refer(const layout *described)
{
    return described;
}

static bool describe_strides(layout *described, const dnnl_dims_t dims, dnnl_data_type_t type,
                             const dnnl_dims_t strides)
{
    return dnnl_memory_desc_init_by_strides(described, 2, dims, type, strides) == dnnl_success;
}

static bool describe_any(layout *described, const dnnl_dims_t dims, dnnl_data_type_t type)
{
    return dnnl_memory_desc_init_by_tag(described, 2, dims, type, dnnl_format_tag_any) ==
           dnnl_success;
}

static void forget(layout *described)
{
    (void)described;
}

static dnnl_status_t create_product(dnnl_primitive_desc_t *product, dnnl_engine_t engine,
                                    layout_reference a, layout_reference b, layout_reference c)
{
    dnnl_matmul_desc_t operation;
    dnnl_status_t status = dnnl_matmul_desc_init(&operation, a, b, NULL, c);
    if (status != dnnl_success) return status;
    return dnnl_primitive_desc_create(product, &operation, NULL, engine, NULL);
}

static dnnl_status_t create_outer(dnnl_primitive_desc_t *outer, dnnl_engine_t engine,
                                  layout_reference x, layout_reference w, layout_reference d_w,
                                  layout_reference d_y)
{
    dnnl_inner_product_desc_t operation;
    dnnl_primitive_desc_t forward;
    dnnl_status_t status = dnnl_inner_product_forward_desc_init(
        &operation, dnnl_forward_training, x, w, NULL, d_y);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(&forward, &operation, NULL, engine, NULL);
    if (status != dnnl_success) return status;
    status = dnnl_inner_product_backward_weights_desc_init(&operation, x, d_w, NULL, d_y);
    if (status == dnnl_success)
        status = dnnl_primitive_desc_create(outer, &operation, NULL, engine, forward);
    dnnl_primitive_desc_destroy(forward);
    return status;
}

#endif

static bool describe(layout *described, const onednn_matrix *matrix)
{
    const dnnl_dims_t dims = {matrix->n_rows, matrix->n_columns};
    const dnnl_dims_t strides = {matrix->row_stride, matrix->column_stride};
    if (matrix->row_stride == 0) return describe_any(described, dims, matrix->type);
    return describe_strides(described, dims, matrix->type, strides);
}

bool onednn_open(onednn *library)
{
    *library = (onednn){.engine = NULL};
    return dnnl_engine_create(&library->engine, dnnl_cpu, 0) == dnnl_success &&
           dnnl_stream_create(&library->stream, library->engine, dnnl_stream_default_flags) ==
               dnnl_success;
}

void onednn_close(onednn *library)
{
    if (library->stream) dnnl_stream_destroy(library->stream);
    if (library->engine) dnnl_engine_destroy(library->engine);
    *library = (onednn){.engine = NULL};
}

dnnl_memory_t onednn_memory(const onednn *library, const onednn_matrix *matrix, void *data)
{
    layout described;
    dnnl_memory_t memory;
    if (!describe(&described, matrix)) return NULL;
    dnnl_status_t status =
        dnnl_memory_create(&memory, refer(&described), library->engine, data);
    forget(&described);
    return status == dnnl_success ? memory : NULL;
}

/* Describes all matrices or none. */
static bool describe_all(layout *described, const onednn_matrix *const *matrices, int n)
{
    for (int i = 0; i < n; i++)
        if (!describe(&described[i], matrices[i])) {
            while (i-- > 0) forget(&described[i]);
            return false;
        }
    return true;
}

static void forget_all(layout *described, int n)
{
    for (int i = 0; i < n; i++) forget(&described[i]);
}

dnnl_primitive_desc_t onednn_product(const onednn *library, const onednn_matrix *a,
                                     const onednn_matrix *b, dnnl_memory_t packed,
                                     const onednn_matrix *c)
{
    layout described[3];
    dnnl_primitive_desc_t product;
    if (!describe_all(described, (const onednn_matrix *const[]){a, b, c}, 3)) return NULL;
    layout_reference b_layout = refer(&described[1]);
    if (packed) dnnl_memory_get_memory_desc(packed, &b_layout);
    dnnl_status_t status = create_product(&product, library->engine, refer(&described[0]),
                                          b_layout, refer(&described[2]));
    forget_all(described, 3);
    return status == dnnl_success ? product : NULL;
}

/* oneDNN wants to know the forward pass, whose weights have the precision of x. */
dnnl_primitive_desc_t onednn_outer(const onednn *library, const onednn_matrix *x,
                                   const onednn_matrix *d_y, const onednn_matrix *d_w)
{
    layout described[4];
    dnnl_primitive_desc_t outer;
    onednn_matrix w = *d_w;
    w.type = x->type;
    if (!describe_all(described, (const onednn_matrix *const[]){x, &w, d_w, d_y}, 4))
        return NULL;
    dnnl_status_t status =
        create_outer(&outer, library->engine, refer(&described[0]), refer(&described[1]),
                     refer(&described[2]), refer(&described[3]));
    forget_all(described, 4);
    return status == dnnl_success ? outer : NULL;
}

bool onednn_is_reference(const_dnnl_primitive_desc_t description)
{
    const char *name = NULL;
    dnnl_status_t status =
        dnnl_primitive_desc_query(description, dnnl_query_impl_info_str, 0, &name);
    return status == dnnl_success && name && strncmp(name, "ref", 3) == 0;
}

int64_t onednn_packed_bytes(const_dnnl_primitive_desc_t product)
{
    return (int64_t)dnnl_memory_desc_get_size(
        dnnl_primitive_desc_query_md(product, dnnl_query_weights_md, 0));
}

dnnl_memory_t onednn_packed(const onednn *library, const_dnnl_primitive_desc_t product,
                            void *data)
{
    dnnl_memory_t memory;
    dnnl_status_t status = dnnl_memory_create(
        &memory, dnnl_primitive_desc_query_md(product, dnnl_query_weights_md, 0),
        library->engine, data);
    return status == dnnl_success ? memory : NULL;
}

bool onednn_packed_alike(const_dnnl_primitive_desc_t product, const_dnnl_memory_t packed)
{
    layout_reference there;
    return dnnl_memory_get_memory_desc(packed, &there) == dnnl_success &&
           dnnl_memory_desc_equal(
               dnnl_primitive_desc_query_md(product, dnnl_query_weights_md, 0), there);
}

dnnl_primitive_t onednn_primitive(dnnl_primitive_desc_t description)
{
    dnnl_primitive_t primitive;
    if (!description) return NULL;
    dnnl_status_t status = dnnl_primitive_create(&primitive, description);
    dnnl_primitive_desc_destroy(description);
    return status == dnnl_success ? primitive : NULL;
}

dnnl_primitive_t onednn_copy(const onednn *library, dnnl_memory_t from, dnnl_memory_t to)
{
    layout_reference from_layout, to_layout;
    dnnl_primitive_desc_t description;
    if (dnnl_memory_get_memory_desc(from, &from_layout) != dnnl_success ||
        dnnl_memory_get_memory_desc(to, &to_layout) != dnnl_success ||
        dnnl_reorder_primitive_desc_create(&description, from_layout, library->engine,
                                           to_layout, library->engine, NULL) != dnnl_success)
        return NULL;
    return onednn_primitive(description);
}

bool onednn_run(const onednn *library, dnnl_primitive_t primitive, const dnnl_exec_arg_t *args,
                int n)
{
    return dnnl_primitive_execute(primitive, library->stream, n, args) == dnnl_success &&
           dnnl_stream_wait(library->stream) == dnnl_success;
}
