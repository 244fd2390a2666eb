/* SPDX-License-Identifier: MIT */
#include "train/writers.h"

#include <stdlib.h>

/* The spaces that ranks divide among themselves: for each stage its dense parameters, and the
 * experts of each expert rank. [stages][1 + expert ranks] */
typedef struct space_sizes {
    int64_t *total, *before; /* elements of the space; of them before the next parameter */
} space_sizes;

static int count_stages(const rm_parameter_table *table)
{
    int n = 0;
    for (int i = 0; i < table->n_parameters; i++)
        if (table->parameters[i].stage >= n) n = table->parameters[i].stage + 1;
    return n;
}

static int space_of(const rm_parameter *parameter, const ringmoe_mesh_dims *dims)
{
    return parameter->stage * (dims->expert + 1) + parameter->expert_rank + 1;
}

/* The rank whose shard has the middle of the parameter, about: tensor slices move the bounds of
 * shards a little. */
static int choose_writer(const space_sizes *sizes, const rm_parameter *parameter,
                         const ringmoe_mesh_dims *dims)
{
    int space = space_of(parameter, dims), first_expert = parameter->expert_rank;
    bool everywhere = first_expert < 0;
    int64_t n_sharers = everywhere ? (int64_t)dims->data * dims->expert : dims->data;
    int64_t middle = sizes->before[space] + parameter->n_elements / 2;
    int turn = (int)(middle * n_sharers / sizes->total[space]);
    ringmoe_mesh_dims place = {.pipeline = parameter->stage % dims->pipeline,
                               .data = everywhere ? turn / dims->expert : turn,
                               .expert = everywhere ? turn % dims->expert : first_expert};
    return rm_mesh_rank(dims, &place);
}

/* A tied head's copy has its place in the shards, though no file has it. */
static void assign(rm_writers *writers, const rm_parameter_table *table,
                   const ringmoe_mesh_dims *dims, const space_sizes *sizes)
{
    const rm_parameter *all = table->parameters;
    for (int i = 0; i < table->n_parameters; i++)
        sizes->total[space_of(&all[i], dims)] += all[i].n_elements;
    for (int i = 0; i < table->n_parameters; i++) {
        int rank = all[i].tied ? -1 : choose_writer(sizes, &all[i], dims);
        writers->writer[i] = rank;
        sizes->before[space_of(&all[i], dims)] += all[i].n_elements;
        if (rank < 0) continue;
        writers->load[rank] += all[i].n_elements;
        writers->n_written++;
    }
}

static ringmoe_status choose_writers(rm_writers *writers, const rm_parameter_table *table,
                                     const ringmoe_mesh_dims *dims, rm_error *error)
{
    size_t n_spaces = (size_t)count_stages(table) * (size_t)(dims->expert + 1) + 1;
    space_sizes sizes = {calloc(n_spaces, sizeof(int64_t)), calloc(n_spaces, sizeof(int64_t))};
    bool complete = sizes.total && sizes.before;
    if (complete) assign(writers, table, dims, &sizes);
    free(sizes.total);
    free(sizes.before);
    if (complete) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the sizes of %zu spaces",
                   n_spaces);
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
    RM_TRY(choose_writers(writers, table, dims, error));
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
