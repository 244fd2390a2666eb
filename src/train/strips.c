/* SPDX-License-Identifier: MIT */
#include "train/strips.h"

#include <stdlib.h>

static int64_t least_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* What the strips are made from. */
typedef struct strip_builder {
    const ringmoe_model *model;
    const rm_compute *compute;
    const rm_shard *shards;
    const rm_matrix **matrices; /* by the addresses of their weights */
    int n_matrices;
    rm_strips *strips; /* only counted while their arrays are NULL */
} strip_builder;

static int compare_weights(const void *left, const void *right)
{
    const rm_matrix *a = *(const rm_matrix *const *)left, *b = *(const rm_matrix *const *)right;
    return (a->weights > b->weights) - (a->weights < b->weights);
}

static ringmoe_status sort_matrices(strip_builder *builder, rm_error *error)
{
    rm_matrix *const *matrices = rm_model_matrices(builder->model, &builder->n_matrices);
    size_t n = (size_t)builder->n_matrices;
    builder->matrices = malloc(n * sizeof *builder->matrices + 1);
    if (!builder->matrices)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %zu matrices", n);
    for (size_t i = 0; i < n; i++) builder->matrices[i] = matrices[i];
    qsort(builder->matrices, n, sizeof *builder->matrices, compare_weights);
    return RINGMOE_OK;
}

/* The matrix whose weights the parameter is; NULL: a norm, or an embedding. */
static const rm_matrix *find_matrix(const strip_builder *builder, rm_space space,
                                    const rm_parameter *parameter)
{
    const rm_matrix wanted = {.weights =
                                  rm_model_space(builder->model, space) + parameter->offset};
    const rm_matrix *key = &wanted;
    const rm_matrix **found = bsearch(&key, builder->matrices, (size_t)builder->n_matrices,
                                      sizeof *builder->matrices, compare_weights);
    return found ? *found : NULL;
}

static void append(rm_strip *strips, int64_t *n, const rm_strip *strip)
{
    if (strips) strips[*n] = *strip;
    ++*n;
}

/* Adds a strip of a parameter to the lists it belongs to. */
static void add_strip(const strip_builder *builder, const rm_strip *strip)
{
    const rm_shard *shard = &builder->shards[strip->space];
    int64_t end = least_of(strip->first + strip->n_elements, shard->first + shard->n_elements);
    rm_strip own = *strip, rest = *strip;
    if (own.first < shard->first) own.first = shard->first;
    own.n_elements = end - own.first;
    rest.n_elements = 0;
    bool is_whole = own.n_elements == strip->n_elements;
    if (!is_whole) own.matrix = NULL;
    if (own.n_elements > 0) append(builder->strips->own, &builder->strips->n_own, &own);
    if (rest.matrix && !is_whole)
        append(builder->strips->rest, &builder->strips->n_rest, &rest);
}

/* Strips of about a block, of whole strips of the matrix. */
static void add_matrix(const strip_builder *builder, rm_space space,
                       const rm_parameter *parameter, const rm_matrix *matrix)
{
    int64_t least = rm_matrix_strip(builder->compute, matrix);
    int64_t strips = RM_BLOCK_ELEMENTS / (least * matrix->in);
    int64_t n_rows = strips > 1 ? strips * least : least;
    for (int64_t row = 0; row < matrix->out; row += n_rows) {
        rm_strip strip = {.space = space,
                          .first = parameter->offset + row * matrix->in,
                          .decay = parameter->decay,
                          .matrix = matrix,
                          .row = row,
                          .n_rows = least_of(n_rows, matrix->out - row)};
        strip.n_elements = strip.n_rows * matrix->in;
        add_strip(builder, &strip);
    }
}

static void add_vector(const strip_builder *builder, rm_space space,
                       const rm_parameter *parameter, int64_t n_elements)
{
    for (int64_t at = 0; at < n_elements; at += RM_BLOCK_ELEMENTS)
        add_strip(builder,
                  &(rm_strip){.space = space,
                              .first = parameter->offset + at,
                              .n_elements = least_of(RM_BLOCK_ELEMENTS, n_elements - at),
                              .decay = parameter->decay});
}

static void add_parameter(const strip_builder *builder, const rm_parameter *parameter)
{
    rm_space space = rm_model_space_of(builder->model, parameter);
    if (space < 0 || parameter->tied) return;
    const rm_shard_place *place = &builder->shards[space].place;
    rm_parameter_part part =
        rm_parameter_part_of(parameter, place->tensor_size, place->tensor_rank);
    const rm_matrix *matrix = find_matrix(builder, space, parameter);
    if (part.n_elements == 0) return;
    if (matrix)
        add_matrix(builder, space, parameter, matrix);
    else
        add_vector(builder, space, parameter, part.n_elements);
}

static void add_all(const strip_builder *builder)
{
    const rm_parameter_table *table = rm_model_parameters(builder->model);
    for (int i = 0; i < table->n_parameters; i++) add_parameter(builder, &table->parameters[i]);
}

/* Counts, then fills. */
static ringmoe_status build(strip_builder *builder, rm_error *error)
{
    rm_strips *strips = builder->strips;
    RM_TRY(sort_matrices(builder, error));
    add_all(builder);
    strips->own = calloc((size_t)strips->n_own + 1, sizeof *strips->own);
    strips->rest = calloc((size_t)strips->n_rest + 1, sizeof *strips->rest);
    if (!strips->own || !strips->rest)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %lld strips",
                       (long long)(strips->n_own + strips->n_rest));
    strips->n_own = strips->n_rest = 0;
    add_all(builder);
    return RINGMOE_OK;
}

ringmoe_status rm_strips_create(rm_strips *strips, const ringmoe_model *model,
                                const rm_shard *shards, rm_error *error)
{
    *strips = (rm_strips){0};
    strip_builder builder = {.model = model,
                             .compute = &rm_model_mesh(model)->context->compute,
                             .shards = shards,
                             .strips = strips};
    ringmoe_status status = build(&builder, error);
    free(builder.matrices);
    if (status != RINGMOE_OK) rm_strips_free(strips);
    return status;
}

void rm_strips_free(rm_strips *strips)
{
    free(strips->own);
    free(strips->rest);
    *strips = (rm_strips){0};
}
