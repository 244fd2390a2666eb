/* SPDX-License-Identifier: MIT
 *
 * Shards on many layouts: together they hold every element of the model exactly once, in the
 * same blocks on every layout with the same slices, and in parts of about the same size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "format/config.h"
#include "train/shards.h"

/* Ranks of each axis, stages, and slices of what the tensor axis splits. */
struct layout {
    int pipeline, data, expert, tensor, n_stages, n_slices;
};

/* A model whose parameters are smaller and larger than a block. */
static ringmoe_model_config config_of_test(int tied)
{
    ringmoe_model_config config;
    assert_int_equal(rm_config_preset("tiny", &config, NULL), RINGMOE_OK);
    config.intermediate_size = 202;
    config.num_attention_heads = 8;
    config.num_key_value_heads = 4;
    config.is_dense_layer[0] = 1;
    config.tie_word_embeddings = tied;
    return config;
}

static rm_parameter_table table_of(const ringmoe_model_config *config,
                                   const struct layout *layout, int pipeline_rank,
                                   int tensor_rank)
{
    rm_parameter_table table;
    rm_placement placement = {
        .partition = {.n_stages = layout->n_stages, .n_pipeline = layout->pipeline},
        .expert_ranks = layout->expert,
        .tensor_ranks = layout->tensor,
        .pipeline_rank = pipeline_rank,
        .tensor_rank = tensor_rank};
    for (int stage = 0; stage <= layout->n_stages; stage++)
        placement.partition.bounds[stage] =
            config->num_hidden_layers * stage / layout->n_stages;
    assert_int_equal(rm_parameter_table_create(config, &placement, &table, NULL), RINGMOE_OK);
    return table;
}

static rm_shard_place place_of(const struct layout *layout, int rank, int stage, rm_kind kind)
{
    int dense = rank / layout->tensor % (layout->data * layout->expert);
    bool is_dense = kind == RM_KIND_DENSE;
    return (rm_shard_place){
        .stage = stage,
        .kind = kind,
        .expert_rank = dense % layout->expert,
        .axis_rank = is_dense ? dense : dense / layout->expert,
        .axis_size = is_dense ? layout->data * layout->expert : layout->data,
        .tensor_rank = rank % layout->tensor,
        .tensor_size = layout->tensor,
        .n_slices = layout->n_slices,
    };
}

static void count_shard(const rm_shard *shard, const rm_parameter_table *table,
                        int64_t *elements)
{
    for (int64_t b = 0; b < shard->n_blocks; b++) {
        const rm_block *block = &shard->blocks[b];
        int64_t last = block->first + (block->n_rows - 1) * block->stride + block->row_elements;
        assert_true(block->first >= shard->first);
        assert_true(last <= shard->first + shard->n_elements);
        if (!block->counts) continue;
        assert_int_equal(elements[block->number], 0);
        elements[block->number] = block->n_rows * block->row_elements;
        assert_ptr_equal(rm_block_parameter(table, shard->place.n_slices, block->number),
                         block->parameter);
    }
}

static void count_rank(const ringmoe_model_config *config, const struct layout *layout,
                       int rank, int64_t *elements)
{
    int pipeline = rank / (layout->data * layout->expert * layout->tensor);
    rm_parameter_table table = table_of(config, layout, pipeline, rank % layout->tensor);
    for (int stage = pipeline; stage < layout->n_stages; stage += layout->pipeline)
        for (int kind = 0; kind < RM_N_KINDS; kind++) {
            rm_shard shard;
            rm_shard_place place = place_of(layout, rank, stage, (rm_kind)kind);
            assert_int_equal(rm_shard_create(&shard, &table, place, NULL), RINGMOE_OK);
            count_shard(&shard, &table, elements);
            rm_shard_free(&shard);
        }
    rm_parameter_table_free(&table);
}

/* Elements of each block of the model, counted over all ranks of a layout. */
static int64_t *count_blocks(const ringmoe_model_config *config, const struct layout *layout,
                             int64_t *n_blocks)
{
    rm_parameter_table table = table_of(config, layout, 0, 0);
    *n_blocks = rm_model_blocks(&table, layout->n_slices);
    int64_t *elements = calloc((size_t)*n_blocks, sizeof *elements);
    assert_non_null(elements);
    int size = layout->pipeline * layout->data * layout->expert * layout->tensor;
    for (int rank = 0; rank < size; rank++) count_rank(config, layout, rank, elements);
    rm_parameter_table_free(&table);
    return elements;
}

static void covers_once(const ringmoe_model_config *config, const struct layout *layouts,
                        size_t n_layouts)
{
    int64_t n_blocks, *blocks = count_blocks(config, &layouts[0], &n_blocks), sum = 0;
    for (int64_t b = 0; b < n_blocks; b++) sum += blocks[b];
    assert_int_equal(sum, ringmoe_model_config_parameters(config));
    for (size_t i = 1; i < n_layouts; i++) {
        int64_t n, *other = count_blocks(config, &layouts[i], &n);
        assert_int_equal(n, n_blocks);
        assert_memory_equal(other, blocks, (size_t)n * sizeof *blocks);
        free(other);
    }
    free(blocks);
}

static void shards_cover_the_model_once(void **state)
{
    const struct layout whole[] = {{1, 1, 1, 1, 1, 1}, {1, 2, 1, 1, 1, 1}, {1, 1, 2, 1, 4, 1},
                                   {2, 3, 2, 1, 2, 1}, {3, 5, 4, 1, 6, 1}, {1, 64, 1, 1, 1, 1}};
    const struct layout sliced[] = {{1, 1, 1, 1, 1, 4},
                                    {1, 3, 1, 2, 1, 4},
                                    {2, 1, 2, 4, 4, 4},
                                    {1, 2, 2, 2, 2, 4},
                                    {1, 7, 1, 1, 1, 4}};
    const struct layout halves[] = {{1, 1, 1, 2, 1, 2}, {2, 2, 2, 2, 2, 2}};
    for (int tied = 0; tied <= 1; tied++) {
        ringmoe_model_config config = config_of_test(tied);
        covers_once(&config, whole, sizeof whole / sizeof *whole);
        covers_once(&config, sliced, sizeof sliced / sizeof *sliced);
        covers_once(&config, halves, sizeof halves / sizeof *halves);
    }
}

static void shards_are_balanced(void **state)
{
    enum { RANKS = 4 };
    ringmoe_model_config config = config_of_test(0);
    const struct layout layout = {1, RANKS, 1, 1, 1, 1};
    rm_parameter_table table = table_of(&config, &layout, 0, 0);
    int64_t all = table.space_elements[RM_KIND_EXPERT];
    rm_shard shard;
    for (int rank = 0; rank < RANKS; rank++) {
        rm_shard_place place = place_of(&layout, rank, 0, RM_KIND_EXPERT);
        assert_int_equal(rm_shard_create(&shard, &table, place, NULL), RINGMOE_OK);
        assert_int_equal(shard.bounds[0], 0);
        assert_int_equal(shard.bounds[RANKS], all);
        assert_int_equal(shard.n_updated, shard.n_elements);
        assert_true(llabs(shard.n_elements - all / RANKS) <= RM_BLOCK_ELEMENTS);
        rm_shard_free(&shard);
    }
    rm_parameter_table_free(&table);
}

/* A tied head is reduced with its space, but not updated and not counted. */
static void a_tied_head_is_left_out(void **state)
{
    enum { RANKS = 3 };
    ringmoe_model_config config = config_of_test(1);
    const struct layout layout = {1, RANKS, 1, 1, 2, 1};
    rm_parameter_table table = table_of(&config, &layout, 0, 0);
    const rm_parameter *head = rm_table_tied_head(&table);
    rm_shard shard;
    assert_non_null(head);
    int64_t n_updated = 0;
    for (int rank = 0; rank < RANKS; rank++) {
        rm_shard_place place = place_of(&layout, rank, 1, RM_KIND_DENSE);
        assert_int_equal(rm_shard_create(&shard, &table, place, NULL), RINGMOE_OK);
        n_updated += shard.n_updated;
        for (int64_t b = 0; b < shard.n_blocks; b++)
            assert_int_equal(shard.blocks[b].counts, shard.blocks[b].parameter != head);
        assert_int_equal(shard.updated_bounds[RANKS], head->offset);
        rm_shard_free(&shard);
    }
    assert_int_equal(n_updated, head->offset);
    rm_parameter_table_free(&table);
}

static void overlaps_put_a_parameter_together(void **state)
{
    enum { RANKS = 7 };
    ringmoe_model_config config = config_of_test(0);
    const struct layout layout = {1, RANKS, 2, 2, 1, 2};
    rm_parameter_table table = table_of(&config, &layout, 0, 1);
    for (int i = 0; i < table.n_parameters; i++) {
        const rm_parameter *parameter = &table.parameters[i];
        rm_shard_place place = place_of(&layout, 1, parameter->stage, parameter->kind);
        rm_shard shard;
        place.axis_size = RANKS;
        assert_int_equal(rm_shard_create(&shard, &table, place, NULL), RINGMOE_OK);
        int64_t next = parameter->offset;
        for (int rank = 0; rank < RANKS; rank++) {
            rm_range part = rm_shard_overlap(&shard, rank, parameter);
            if (part.n_elements == 0) continue;
            assert_int_equal(part.first, next);
            next += part.n_elements;
        }
        assert_int_equal(next,
                         parameter->offset + rm_parameter_part_of(parameter, 2, 1).n_elements);
        rm_shard_free(&shard);
    }
    rm_parameter_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_cover_the_model_once),
        cmocka_unit_test(shards_are_balanced),
        cmocka_unit_test(a_tied_head_is_left_out),
        cmocka_unit_test(overlaps_put_a_parameter_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
