/* SPDX-License-Identifier: MIT */
#include "gemm_onednn.h"

#include <stdlib.h>

bool onednn_is_weight(const onednn_state *o)
{
    return o->problem->operation == GEMM_BACKWARD_WEIGHT;
}

dnnl_data_type_t onednn_operand_type(const onednn_state *o)
{
    return o->problem->precision == RINGMOE_PRECISION_BF16 ? dnnl_bf16 : dnnl_f32;
}

int64_t onednn_padded_rows(int64_t m)
{
    return m < GEMM_ROW_BLOCK ? m : (m + GEMM_ROW_BLOCK - 1) / GEMM_ROW_BLOCK * GEMM_ROW_BLOCK;
}

static void destroy_memory(dnnl_memory_t *memory)
{
    if (*memory) dnnl_memory_destroy(*memory);
    *memory = NULL;
}

static void destroy_primitive(dnnl_primitive_t *primitive)
{
    if (*primitive) dnnl_primitive_destroy(*primitive);
    *primitive = NULL;
}

void onednn_drop_parts(onednn_state *o)
{
    for (int way = 0; way < ONEDNN_WAYS; way++)
        for (int e = 0; e < o->problem->n_experts; e++) {
            onednn_part *p = &o->parts[way][e];
            destroy_primitive(&p->primitive);
            for (int i = 0; i < 3; i++) destroy_memory(&p->memories[i]);
        }
}

void onednn_drop_packed(onednn_state *o)
{
    int n = o->problem->n_sets * o->problem->n_experts;
    for (int i = 0; i < n; i++) destroy_memory(&o->packed[i]);
    free(o->packed_data);
    o->packed_data = NULL;
}

void onednn_drop_copy(onednn_converted *numbers)
{
    destroy_primitive(&numbers->copy);
    destroy_memory(&numbers->from);
    destroy_memory(&numbers->to);
}

/* The three matrices of an expert with m rows, row-major or (transposed) column-major. */
static void shapes_of_part(const onednn_state *o, int64_t m, onednn_matrix matrices[3])
{
    int64_t in = o->problem->shape.n_in, out = o->problem->shape.n_out;
    dnnl_data_type_t type = onednn_operand_type(o);
    switch (o->problem->operation) {
    case GEMM_FORWARD:
        matrices[0] = (onednn_matrix){m, in, in, 1, type};
        matrices[1] = (onednn_matrix){in, out, 0, 0, type};
        matrices[2] = (onednn_matrix){m, out, out, 1, dnnl_f32};
        break;
    case GEMM_BACKWARD_INPUT:
        matrices[0] = (onednn_matrix){m, out, out, 1, type};
        matrices[1] = (onednn_matrix){out, in, 0, 0, type};
        matrices[2] = (onednn_matrix){m, in, in, 1, dnnl_f32};
        break;
    default:
        matrices[0] = (onednn_matrix){out, m, 1, out, type};
        matrices[1] = (onednn_matrix){m, in, in, 1, type};
        matrices[2] = (onednn_matrix){out, in, in, 1, dnnl_f32};
    }
}

/* A description that is not the slow reference, or NULL. */
static dnnl_primitive_desc_t only_fast(dnnl_primitive_desc_t description)
{
    if (description && onednn_is_reference(description)) {
        dnnl_primitive_desc_destroy(description);
        return NULL;
    }
    return description;
}

static dnnl_primitive_desc_t describe_part(const onednn_state *o, int way, int64_t m)
{
    onednn_matrix s[3];
    shapes_of_part(o, m, s);
    if (!onednn_is_weight(o))
        return only_fast(onednn_product(&o->library, &s[0], &s[1], o->packed[0], &s[2]));
    if (way == 0) return only_fast(onednn_product(&o->library, &s[0], &s[1], NULL, &s[2]));
    const onednn_matrix d_y = {m, o->problem->shape.n_out, o->problem->shape.n_out, 1,
                               s[0].type};
    return only_fast(onednn_outer(&o->library, &s[1], &d_y, &s[2]));
}

static bool pack_one(onednn_state *o, dnnl_primitive_desc_t product, int64_t bytes, int index)
{
    int64_t in = o->problem->shape.n_in, out = o->problem->shape.n_out;
    const onednn_matrix plain = o->problem->operation == GEMM_FORWARD
                                    ? (onednn_matrix){in, out, 1, in, dnnl_f32}
                                    : (onednn_matrix){out, in, in, 1, dnnl_f32};
    dnnl_memory_t from =
        onednn_memory(&o->library, &plain, (void *)(o->problem->weights + index * in * out));
    dnnl_memory_t to =
        onednn_packed(&o->library, product, (char *)o->packed_data + index * bytes);
    dnnl_primitive_t copy = from && to ? onednn_copy(&o->library, from, to) : NULL;
    bool done =
        copy &&
        onednn_run(&o->library, copy,
                   (const dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}}, 2);
    destroy_primitive(&copy);
    destroy_memory(&from);
    o->packed[index] = to;
    return done;
}

bool onednn_pack(onednn_state *o, int64_t m)
{
    onednn_matrix s[3];
    int n = o->problem->n_sets * o->problem->n_experts;
    shapes_of_part(o, m, s);
    dnnl_primitive_desc_t product =
        only_fast(onednn_product(&o->library, &s[0], &s[1], NULL, &s[2]));
    if (!product) return false;
    bool done = o->packed[0] && onednn_packed_alike(product, o->packed[0]);
    if (!done) {
        int64_t bytes = (onednn_packed_bytes(product) + 63) / 64 * 64;
        onednn_drop_packed(o);
        o->packed_data = gemm_allocate(n * bytes);
        done = o->packed_data != NULL;
        for (int i = 0; done && i < n; i++) done = pack_one(o, product, bytes, i);
    }
    dnnl_primitive_desc_destroy(product);
    return done;
}

/* The numbers of an operand from `row` on. */
static void *operand_at(const onednn_converted *numbers, const ringmoe_real *plain, int64_t row,
                        int64_t width)
{
    if (numbers->data) return (char *)numbers->data + 2 * row * width;
    return (void *)(plain + row * width);
}

bool onednn_build_part(onednn_state *o, int way, int e)
{
    const gemm_problem *p = o->problem;
    int64_t in = p->shape.n_in, out = p->shape.n_out;
    int64_t row = o->offsets[e], m = o->offsets[e + 1] - row;
    onednn_part *made = &o->parts[way][e];
    onednn_matrix s[3];
    if (m == 0) return true;
    if (way == 1 && !onednn_is_weight(o)) m = onednn_padded_rows(m);
    shapes_of_part(o, m, s);
    void *x = operand_at(&o->x, p->x, row, in);
    void *d_y = operand_at(&o->d_y, p->d_y, row, out);
    void *data[GEMM_OPERATIONS][3] = {
        {x, NULL, p->y + row * out}, {d_y, NULL, p->d_x + row * in}, {d_y, x, p->d_w}};
    /* The dense layer's gradient takes dY as it is, not its transpose. */
    if (way == 1 && onednn_is_weight(o)) s[0] = (onednn_matrix){m, out, out, 1, s[0].type};
    made->primitive = onednn_primitive(describe_part(o, way, m));
    for (int i = 0; i < 3; i++) {
        if (i == 1 && !onednn_is_weight(o)) continue;
        made->memories[i] = onednn_memory(&o->library, &s[i], data[p->operation][i]);
        if (!made->memories[i]) return false;
    }
    return made->primitive != NULL;
}

static bool build_copy(onednn_state *o, onednn_converted *numbers, const ringmoe_real *plain,
                       int64_t width)
{
    int64_t rows = o->offsets[o->problem->n_experts];
    onednn_matrix matrix = {rows, width, width, 1, dnnl_f32};
    onednn_drop_copy(numbers);
    if (!numbers->data) return true;
    numbers->from = onednn_memory(&o->library, &matrix, (void *)plain);
    matrix.type = dnnl_bf16;
    numbers->to = onednn_memory(&o->library, &matrix, numbers->data);
    if (numbers->from && numbers->to)
        numbers->copy = onednn_copy(&o->library, numbers->from, numbers->to);
    return numbers->copy != NULL;
}

/* The operands this operation has. */
bool onednn_build_copies(onednn_state *o)
{
    const gemm_problem *p = o->problem;
    return (p->operation == GEMM_BACKWARD_INPUT || build_copy(o, &o->x, p->x, p->shape.n_in)) &&
           (p->operation == GEMM_FORWARD || build_copy(o, &o->d_y, p->d_y, p->shape.n_out));
}
