/* SPDX-License-Identifier: MIT */
#include "train/writers.h"

#include <stdlib.h>

/* Parameters that few ranks hold come first, then large ones: what is left for the end is small
 * and fits anywhere. */
static int compare(const void *a, const void *b)
{
    const rm_parameter *left = *(rm_parameter *const *)a, *right = *(rm_parameter *const *)b;
    if (left->kind != right->kind) return left->kind == RM_KIND_EXPERT ? -1 : 1;
    if (left->n_elements != right->n_elements)
        return left->n_elements > right->n_elements ? -1 : 1;
    return left < right ? -1 : left > right;
}

/* The rank with least to write of those that hold the parameter. */
static int choose_writer(const rm_writers *writers, const rm_parameter *parameter,
                         const ringmoe_mesh_dims *dims)
{
    bool everywhere = parameter->expert_rank < 0;
    int first_expert = everywhere ? 0 : parameter->expert_rank;
    int end_expert = everywhere ? dims->expert : first_expert + 1, best = -1;
    ringmoe_mesh_dims place = {.pipeline = parameter->stage % dims->pipeline};
    for (place.data = 0; place.data < dims->data; place.data++)
        for (place.expert = first_expert; place.expert < end_expert; place.expert++) {
            int rank = rm_mesh_rank(dims, &place);
            if (best < 0 || writers->load[rank] < writers->load[best]) best = rank;
        }
    return best;
}

static ringmoe_status assign(rm_writers *writers, const rm_parameter_table *table,
                             const ringmoe_mesh_dims *dims, rm_error *error)
{
    const rm_parameter **sorted = calloc((size_t)table->n_parameters + 1, sizeof *sorted);
    if (!sorted)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d parameters",
                       table->n_parameters);
    for (int i = 0; i < table->n_parameters; i++) {
        writers->writer[i] = -1;
        if (!table->parameters[i].tied) sorted[writers->n_written++] = &table->parameters[i];
    }
    qsort(sorted, (size_t)writers->n_written, sizeof *sorted, compare);
    for (int i = 0; i < writers->n_written; i++) {
        int rank = choose_writer(writers, sorted[i], dims);
        writers->writer[sorted[i] - table->parameters] = rank;
        writers->load[rank] += sorted[i]->n_elements;
    }
    free(sorted);
    return RINGMOE_OK;
}

/* The first parameter of each writer, then the second of each, ..: `turn` [n_ranks] is where a
 * rank has got to. */
static void put_in_order(rm_writers *writers, int *turn)
{
    int n = 0;
    for (int rank = 0; rank < writers->n_ranks; rank++) turn[rank] = 0;
    while (n < writers->n_written)
        for (int rank = 0; rank < writers->n_ranks; rank++) {
            int i = turn[rank];
            while (i < writers->n_parameters && writers->writer[i] != rank) i++;
            if (i < writers->n_parameters) writers->order[n++] = i;
            turn[rank] = i + 1;
        }
}

static void number_files(rm_writers *writers)
{
    for (int rank = 0; rank < writers->n_ranks; rank++)
        writers->file[rank] = writers->load[rank] > 0 ? writers->n_files++ : -1;
}

ringmoe_status rm_writers_create(rm_writers *writers, const rm_parameter_table *table,
                                 const ringmoe_mesh_dims *dims, rm_error *error)
{
    int n_ranks = dims->pipeline * dims->data * dims->expert * dims->tensor;
    *writers = (rm_writers){.n_ranks = n_ranks, .n_parameters = table->n_parameters};
    writers->writer = calloc((size_t)table->n_parameters + 1, sizeof *writers->writer);
    writers->order = calloc((size_t)table->n_parameters + 1, sizeof *writers->order);
    writers->file = calloc((size_t)n_ranks, sizeof *writers->file);
    writers->load = calloc((size_t)n_ranks, sizeof *writers->load);
    if (!writers->writer || !writers->order || !writers->file || !writers->load)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the writers of %d ranks",
                       n_ranks);
    RM_TRY(assign(writers, table, dims, error));
    put_in_order(writers, writers->file);
    number_files(writers);
    return RINGMOE_OK;
}

void rm_writers_free(rm_writers *writers)
{
    free(writers->writer);
    free(writers->order);
    free(writers->file);
    free(writers->load);
    *writers = (rm_writers){0};
}
