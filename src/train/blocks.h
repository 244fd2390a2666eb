/* SPDX-License-Identifier: MIT
 *
 * A parameter is cut into blocks of about 16,384 elements, the same ones on every layout; what
 * is summed over the model is summed block by block in the blocks' global order.
 *
 * A parameter that the tensor axis splits is first cut into slices, of which a tensor rank has
 * one or several whole ones, and then each slice into blocks. Slices of columns lie side by
 * side in a row, so their blocks are strided:
 *
 *   rows r .. r + n of a part with two slices | block k | block k + 1 |    a shard has both
 */
#ifndef RM_BLOCKS_H
#define RM_BLOCKS_H

#include "model/model.h"

#define RM_BLOCK_ELEMENTS 16384

typedef struct rm_block {
    int64_t first;                        /* element in its space */
    int64_t n_rows, row_elements, stride; /* rows of so many elements, so far apart */
    int64_t edge;   /* the element at which a shard that has the block may begin */
    int64_t number; /* in the whole model, all experts and slices: the same on every layout */
    bool counts;    /* false: a replica of a tensor rank's, or the copy that is a tied head */
    const rm_parameter *parameter; /* in the table, which must outlive the block */
} rm_block;

/* Where a rank stands, as seen from one space. */
typedef struct rm_shard_place {
    int stage;
    rm_kind kind;
    int expert_rank;          /* coordinate on the expert axis */
    int axis_rank, axis_size; /* on the axis that holds the space */
    int tensor_rank, tensor_size;
    int n_slices; /* of a parameter that the tensor axis splits, a multiple of tensor_size */
} rm_shard_place;

/* The number of the first block of a parameter, by index; of index n_parameters: blocks of all
 * parameters of the model. */
int64_t rm_first_block(const rm_parameter_table *table, int n_slices, int parameter);
int64_t rm_model_blocks(const rm_parameter_table *table, int n_slices);
/* The parameter a block belongs to. */
const rm_parameter *rm_block_parameter(const rm_parameter_table *table, int n_slices,
                                       int64_t number);

/* The blocks of a space as a rank holds it, in the order of their elements. */
typedef struct rm_block_list {
    rm_shard_place place;
    rm_block *blocks; /* NULL: only counted */
    int64_t n_blocks;
    int64_t n_elements, n_updated; /* of the space, and before a tied head */
} rm_block_list;

/* Fills in all but the place, and as many blocks as it counts. */
void rm_block_list_fill(rm_block_list *list, const rm_parameter_table *table);
/* The element behind the place's part of a parameter. */
int64_t rm_part_end(const rm_parameter *parameter, const rm_shard_place *place);

#endif
