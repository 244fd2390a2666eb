/* SPDX-License-Identifier: MIT */
#include "train/shards.h"

#include <stdlib.h>
#include <string.h>

int rm_slices(int tensor_size, bool reproducible)
{
    bool fixed = reproducible && RM_INNER_BLOCKS % tensor_size == 0;
    return fixed ? RM_INNER_BLOCKS : tensor_size;
}

const rm_axis *rm_kind_axis(const ringmoe_mesh *mesh, rm_kind kind)
{
    return kind == RM_KIND_DENSE ? &mesh->dense : &mesh->data;
}

rm_shard_place rm_mesh_shard_place(const ringmoe_mesh *mesh, int stage, rm_kind kind,
                                   bool reproducible)
{
    const rm_axis *axis = rm_kind_axis(mesh, kind);
    return (rm_shard_place){
        .stage = stage,
        .kind = kind,
        .expert_rank = mesh->expert.rank,
        .axis_rank = axis->rank,
        .axis_size = axis->size,
        .tensor_rank = mesh->tensor.rank,
        .tensor_size = mesh->tensor.size,
        .n_slices = rm_slices(mesh->tensor.size, reproducible),
    };
}

static int64_t least_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Rank r's run starts at the first edge at or after r / size of the space. */
static void set_bounds(rm_shard *shard, const rm_block_list *list)
{
    int64_t block = 0, n_elements = list->n_elements, n_blocks = list->n_blocks;
    int size = shard->place.axis_size;
    for (int rank = 0; rank < size; rank++) {
        while (block < n_blocks && list->blocks[block].edge < n_elements * rank / size) block++;
        shard->bounds[rank] = block < n_blocks ? list->blocks[block].edge : n_elements;
    }
    shard->bounds[0] = 0;
    shard->bounds[size] = n_elements;
    for (int rank = 0; rank <= size; rank++)
        shard->updated_bounds[rank] = least_of(shard->bounds[rank], list->n_updated);
}

/* Keeps this rank's run of the blocks. */
static void keep_own(rm_shard *shard, int64_t n_blocks)
{
    rm_block *blocks = shard->blocks;
    int64_t begin = 0, last = shard->bounds[shard->place.axis_rank + 1];
    shard->first = shard->bounds[shard->place.axis_rank];
    shard->n_elements = last - shard->first;
    shard->n_updated = shard->updated_bounds[shard->place.axis_rank + 1] -
                       shard->updated_bounds[shard->place.axis_rank];
    while (begin < n_blocks && blocks[begin].edge < shard->first) begin++;
    int64_t end = begin;
    while (end < n_blocks && blocks[end].edge < last) end++;
    shard->n_blocks = end - begin;
    memmove(blocks, blocks + begin, (size_t)shard->n_blocks * sizeof *blocks);
}

ringmoe_status rm_shard_create(rm_shard *shard, const rm_parameter_table *table,
                               rm_shard_place place, rm_error *error)
{
    rm_block_list list = {.place = place};
    rm_block_list_fill(&list, table);
    size_t n_bounds = (size_t)place.axis_size + 1;
    *shard = (rm_shard){.place = place,
                        .bounds = calloc(n_bounds, sizeof *shard->bounds),
                        .updated_bounds = calloc(n_bounds, sizeof *shard->updated_bounds),
                        .blocks = calloc((size_t)list.n_blocks + 1, sizeof *shard->blocks)};
    if (!shard->bounds || !shard->updated_bounds || !shard->blocks) {
        rm_shard_free(shard);
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the table of shards");
    }
    list.blocks = shard->blocks;
    rm_block_list_fill(&list, table);
    set_bounds(shard, &list);
    keep_own(shard, list.n_blocks);
    return RINGMOE_OK;
}

rm_range rm_shard_overlap(const rm_shard *shard, int rank, const rm_parameter *parameter)
{
    int64_t begin = parameter->offset, end = rm_part_end(parameter, &shard->place);
    if (begin < shard->bounds[rank]) begin = shard->bounds[rank];
    if (end > shard->bounds[rank + 1]) end = shard->bounds[rank + 1];
    return end > begin ? (rm_range){begin, end - begin} : (rm_range){shard->first, 0};
}

void rm_shard_free(rm_shard *shard)
{
    free(shard->bounds);
    free(shard->updated_bounds);
    free(shard->blocks);
    *shard = (rm_shard){0};
}
