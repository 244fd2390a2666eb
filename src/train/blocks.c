/* SPDX-License-Identifier: MIT */
#include "train/blocks.h"

#include <stdlib.h>

static int64_t divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t least_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Rows of a block of slices of columns. */
static int64_t rows_of_block(const rm_parameter *parameter, int n_slices)
{
    int64_t rows = (int64_t)RM_BLOCK_ELEMENTS * n_slices / parameter->shape[1];
    return rows > 1 ? rows : 1;
}

/* Slices the parameter is cut into; a whole one is a slice of its own. */
static int slices_of(const rm_parameter *parameter, int n_slices)
{
    return parameter->slice == RM_SLICE_NONE ? 1 : n_slices;
}

/* Blocks of slice `slice` of a parameter. */
static int64_t blocks_of_slice(const rm_parameter *parameter, int n_slices, int slice)
{
    if (parameter->slice == RM_SLICE_COLUMNS && n_slices > 1)
        return divide_up(parameter->shape[0], rows_of_block(parameter, n_slices));
    return divide_up(rm_parameter_part_of(parameter, n_slices, slice).n_elements,
                     RM_BLOCK_ELEMENTS);
}

static int64_t blocks_of(const rm_parameter *parameter, int n_slices)
{
    int64_t n_blocks = 0;
    if (parameter->tied) return 0;
    for (int slice = 0; slice < slices_of(parameter, n_slices); slice++)
        n_blocks += blocks_of_slice(parameter, n_slices, slice);
    return n_blocks;
}

int64_t rm_first_block(const rm_parameter_table *table, int n_slices, int parameter)
{
    int64_t n_blocks = 0;
    for (int i = 0; i < parameter; i++) n_blocks += blocks_of(&table->parameters[i], n_slices);
    return n_blocks;
}

int64_t rm_model_blocks(const rm_parameter_table *table, int n_slices)
{
    return rm_first_block(table, n_slices, table->n_parameters);
}

const rm_parameter *rm_block_parameter(const rm_parameter_table *table, int n_slices,
                                       int64_t number)
{
    const rm_parameter *parameter = table->parameters;
    for (; number >= blocks_of(parameter, n_slices); parameter++)
        number -= blocks_of(parameter, n_slices);
    return parameter;
}

static bool is_held(const rm_parameter *parameter, const rm_shard_place *place)
{
    return parameter->stage == place->stage && parameter->kind == place->kind &&
           (parameter->expert_rank < 0 || parameter->expert_rank == place->expert_rank);
}

int64_t rm_part_end(const rm_parameter *parameter, const rm_shard_place *place)
{
    return parameter->offset +
           rm_parameter_part_of(parameter, place->tensor_size, place->tensor_rank).n_elements;
}

static void append(rm_block_list *list, const rm_block *block)
{
    if (block->row_elements == 0) return;
    if (list->blocks) list->blocks[list->n_blocks] = *block;
    list->n_blocks++;
}

/* A slice that lies in one piece from element `first` of the space on. */
static void list_piece(rm_block_list *list, rm_block block, int64_t first, int64_t n_elements)
{
    for (int64_t at = 0; at < n_elements; at += RM_BLOCK_ELEMENTS, block.number++) {
        block.first = block.edge = first + at;
        block.row_elements = block.stride = least_of(RM_BLOCK_ELEMENTS, n_elements - at);
        append(list, &block);
    }
}

/* A slice of columns that lies beside others. */
static void list_columns(rm_block_list *list, rm_block block, const rm_parameter_part *part,
                         const rm_parameter_part *slice)
{
    const rm_parameter *parameter = block.parameter;
    int64_t n_rows = rows_of_block(parameter, list->place.n_slices);
    block.row_elements = slice->n_columns;
    block.stride = part->n_columns;
    for (int64_t row = 0; row < parameter->shape[0]; row += n_rows, block.number++) {
        block.edge = parameter->offset + row * part->n_columns;
        block.first = block.edge + slice->first_column - part->first_column;
        block.n_rows = least_of(n_rows, parameter->shape[0] - row);
        append(list, &block);
    }
}

/* The blocks of this rank's part of a parameter whose first block has the given number. */
static void list_parameter(rm_block_list *list, const rm_parameter *parameter, int64_t number)
{
    const rm_shard_place *place = &list->place;
    int n_slices = slices_of(parameter, place->n_slices);
    bool whole = parameter->slice == RM_SLICE_NONE;
    int first = whole ? 0 : place->tensor_rank * n_slices / place->tensor_size;
    int last = whole ? 1 : (place->tensor_rank + 1) * n_slices / place->tensor_size;
    rm_parameter_part part =
        rm_parameter_part_of(parameter, place->tensor_size, place->tensor_rank);
    rm_block block = {.n_rows = 1,
                      .number = number,
                      .counts = !parameter->tied && (!whole || place->tensor_rank == 0),
                      .parameter = parameter};
    for (int slice = 0; slice < last; slice++) {
        rm_parameter_part own = rm_parameter_part_of(parameter, n_slices, slice);
        if (slice >= first && parameter->slice == RM_SLICE_COLUMNS && n_slices > 1)
            list_columns(list, block, &part, &own);
        else if (slice >= first)
            list_piece(list, block,
                       parameter->offset + (own.first_row - part.first_row) * own.n_columns,
                       own.n_elements);
        block.number += blocks_of_slice(parameter, n_slices, slice);
    }
}

static int compare_blocks(const void *left, const void *right)
{
    int64_t a = ((const rm_block *)left)->first, b = ((const rm_block *)right)->first;
    return (a > b) - (a < b);
}

void rm_block_list_fill(rm_block_list *list, const rm_parameter_table *table)
{
    int64_t number = 0;
    list->n_blocks = list->n_elements = list->n_updated = 0;
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (is_held(parameter, &list->place)) {
            list_parameter(list, parameter, number);
            int64_t end = rm_part_end(parameter, &list->place);
            if (end > list->n_elements) list->n_elements = end;
            if (!parameter->tied && end > list->n_updated) list->n_updated = end;
        }
        number += blocks_of(parameter, list->place.n_slices);
    }
    if (list->blocks)
        qsort(list->blocks, (size_t)list->n_blocks, sizeof *list->blocks, compare_blocks);
}
