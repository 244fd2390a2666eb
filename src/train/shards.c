/* SPDX-License-Identifier: MIT */
#include "train/shards.h"

#include <stdlib.h>
#include <string.h>

static int64_t blocks_of(const rm_parameter *parameter)
{
    return (parameter->n_elements + RM_BLOCK_ELEMENTS - 1) / RM_BLOCK_ELEMENTS;
}

int64_t rm_model_blocks(const rm_parameter_table *table)
{
    int64_t n_blocks = 0;
    for (int i = 0; i < table->n_parameters; i++) n_blocks += blocks_of(&table->parameters[i]);
    return n_blocks;
}

const rm_parameter *rm_block_parameter(const rm_parameter_table *table, int64_t number)
{
    const rm_parameter *parameter = table->parameters;
    for (; number >= blocks_of(parameter); parameter++) number -= blocks_of(parameter);
    return parameter;
}

static int compare_blocks(const void *left, const void *right)
{
    int64_t a = ((const rm_block *)left)->first, b = ((const rm_block *)right)->first;
    return (a > b) - (a < b);
}

static bool is_held(const rm_parameter *parameter, rm_shard_place place)
{
    return parameter->space == place.space &&
           (parameter->expert_rank < 0 || parameter->expert_rank == place.expert_rank);
}

/* All blocks of the space as this rank holds it, by position. Returns how many. */
static int64_t list_blocks(const rm_parameter_table *table, rm_shard_place place,
                           rm_block *blocks)
{
    int64_t n_listed = 0, number = 0;
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        int64_t n_blocks = blocks_of(parameter);
        for (int64_t b = 0; b < n_blocks && is_held(parameter, place); b++) {
            int64_t start = b * RM_BLOCK_ELEMENTS, left = parameter->n_elements - start;
            blocks[n_listed++] = (rm_block){
                .first = parameter->offset + start,
                .n_elements = left < RM_BLOCK_ELEMENTS ? left : RM_BLOCK_ELEMENTS,
                .number = number + b,
                .parameter = parameter,
            };
        }
        number += n_blocks;
    }
    qsort(blocks, (size_t)n_listed, sizeof *blocks, compare_blocks);
    return n_listed;
}

/* Rank r's run starts at the first block that begins at or after r / size of the space. */
static void set_bounds(rm_shard *shard, int64_t n_elements, int size, const rm_block *blocks,
                       int64_t n_blocks)
{
    int64_t block = 0;
    for (int rank = 0; rank < size; rank++) {
        while (block < n_blocks && blocks[block].first < n_elements * rank / size) block++;
        shard->bounds[rank] = block < n_blocks ? blocks[block].first : n_elements;
    }
    shard->bounds[0] = 0;
    shard->bounds[size] = n_elements;
}

/* Keeps this rank's run of the blocks. */
static void keep_own(rm_shard *shard, int axis_rank, int64_t n_blocks)
{
    rm_block *blocks = shard->blocks;
    int64_t begin = 0;
    shard->first = shard->bounds[axis_rank];
    shard->n_elements = shard->bounds[axis_rank + 1] - shard->first;
    while (begin < n_blocks && blocks[begin].first < shard->first) begin++;
    int64_t end = begin;
    while (end < n_blocks && blocks[end].first < shard->bounds[axis_rank + 1]) end++;
    shard->n_blocks = end - begin;
    memmove(blocks, blocks + begin, (size_t)shard->n_blocks * sizeof *blocks);
}

ringmoe_status rm_shard_create(rm_shard *shard, const rm_parameter_table *table,
                               rm_shard_place place, rm_error *error)
{
    size_t n_bounds = (size_t)place.axis_size + 1;
    *shard =
        (rm_shard){.bounds = calloc(n_bounds, sizeof *shard->bounds),
                   .blocks = calloc((size_t)rm_model_blocks(table) + 1, sizeof *shard->blocks)};
    if (!shard->bounds || !shard->blocks) {
        rm_shard_free(shard);
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the table of shards");
    }
    int64_t n_blocks = list_blocks(table, place, shard->blocks);
    set_bounds(shard, table->space_elements[place.space], place.axis_size, shard->blocks,
               n_blocks);
    keep_own(shard, place.axis_rank, n_blocks);
    return RINGMOE_OK;
}

rm_range rm_shard_overlap(const rm_shard *shard, int rank, const rm_parameter *parameter)
{
    int64_t begin = parameter->offset, end = begin + parameter->n_elements;
    if (begin < shard->bounds[rank]) begin = shard->bounds[rank];
    if (end > shard->bounds[rank + 1]) end = shard->bounds[rank + 1];
    return end > begin ? (rm_range){begin, end - begin} : (rm_range){shard->first, 0};
}

void rm_shard_free(rm_shard *shard)
{
    free(shard->bounds);
    free(shard->blocks);
    *shard = (rm_shard){0};
}
