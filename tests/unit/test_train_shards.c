/* SPDX-License-Identifier: MIT
 *
 * Shards on many layouts: together they hold every element of the model exactly once, in the
 * same blocks on every layout, and in parts of about the same size.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

#include "format/config.h"
#include "train/shards.h"

/* A model whose parameters are smaller and larger than a block. */
static ringmoe_model_config config_of_test(void)
{
    ringmoe_model_config config;
    assert_int_equal(rm_config_preset("tiny", &config, NULL), RINGMOE_OK);
    config.intermediate_size = 200;
    config.is_dense_layer[0] = 1;
    return config;
}

/* Elements of each block of the model, counted over all ranks of a layout. */
static int64_t *count_blocks(int data, int expert, int64_t *n_blocks)
{
    ringmoe_model_config config = config_of_test();
    rm_parameter_table table;
    assert_int_equal(rm_parameter_table_create(&config, &(rm_placement){.expert_ranks = expert},
                                               &table, NULL),
                     RINGMOE_OK);
    *n_blocks = rm_model_blocks(&table);
    int64_t *elements = calloc((size_t)*n_blocks, sizeof *elements);
    assert_non_null(elements);
    for (int rank = 0; rank < data * expert; rank++) {
        const rm_shard_place places[RM_N_SPACES] = {
            {RM_SPACE_DENSE, rank % expert, rank, data * expert},
            {RM_SPACE_EXPERT, rank % expert, rank / expert, data}};
        for (int s = 0; s < RM_N_SPACES; s++) {
            rm_shard shard;
            assert_int_equal(rm_shard_create(&shard, &table, places[s], NULL), RINGMOE_OK);
            for (int64_t b = 0; b < shard.n_blocks; b++) {
                const rm_block *block = &shard.blocks[b];
                assert_true(block->first >= shard.first);
                assert_true(block->first + block->n_elements <= shard.first + shard.n_elements);
                assert_int_equal(elements[block->number], 0);
                elements[block->number] = block->n_elements;
                assert_ptr_equal(rm_block_parameter(&table, block->number), block->parameter);
            }
            rm_shard_free(&shard);
        }
    }
    rm_parameter_table_free(&table);
    return elements;
}

static void shards_cover_the_model_once(void **state)
{
    ringmoe_model_config config = config_of_test();
    const int layouts[][2] = {{1, 1}, {2, 1}, {1, 2}, {3, 2}, {5, 4}, {64, 1}};
    int64_t n_blocks, *blocks = count_blocks(1, 1, &n_blocks), sum = 0;
    for (int64_t b = 0; b < n_blocks; b++) sum += blocks[b];
    assert_int_equal(sum, ringmoe_model_config_parameters(&config));
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        int64_t n, *other = count_blocks(layouts[i][0], layouts[i][1], &n);
        assert_int_equal(n, n_blocks);
        assert_memory_equal(other, blocks, (size_t)n * sizeof *blocks);
        free(other);
    }
    free(blocks);
}

static void shards_are_balanced(void **state)
{
    enum { RANKS = 4 };
    ringmoe_model_config config = config_of_test();
    rm_parameter_table table;
    assert_int_equal(
        rm_parameter_table_create(&config, &(rm_placement){.expert_ranks = 1}, &table, NULL),
        RINGMOE_OK);
    int64_t all = table.space_elements[RM_SPACE_EXPERT];
    rm_shard shard;
    for (int rank = 0; rank < RANKS; rank++) {
        rm_shard_place place = {RM_SPACE_EXPERT, 0, rank, RANKS};
        assert_int_equal(rm_shard_create(&shard, &table, place, NULL), RINGMOE_OK);
        assert_int_equal(shard.bounds[0], 0);
        assert_int_equal(shard.bounds[RANKS], all);
        assert_true(llabs(shard.n_elements - all / RANKS) <= RM_BLOCK_ELEMENTS);
        rm_shard_free(&shard);
    }
    rm_parameter_table_free(&table);
}

static void overlaps_put_a_parameter_together(void **state)
{
    enum { RANKS = 7 };
    ringmoe_model_config config = config_of_test();
    rm_parameter_table table;
    assert_int_equal(
        rm_parameter_table_create(&config, &(rm_placement){.expert_ranks = 2}, &table, NULL),
        RINGMOE_OK);
    for (int i = 0; i < table.n_parameters; i++) {
        const rm_parameter *parameter = &table.parameters[i];
        rm_shard_place place = {parameter->space, 0, 0, RANKS};
        rm_shard shard;
        assert_int_equal(rm_shard_create(&shard, &table, place, NULL), RINGMOE_OK);
        int64_t next = parameter->offset;
        for (int rank = 0; rank < RANKS; rank++) {
            rm_range part = rm_shard_overlap(&shard, rank, parameter);
            if (part.n_elements == 0) continue;
            assert_int_equal(part.first, next);
            next += part.n_elements;
        }
        assert_int_equal(next, parameter->offset + parameter->n_elements);
        rm_shard_free(&shard);
    }
    rm_parameter_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shards_cover_the_model_once),
        cmocka_unit_test(shards_are_balanced),
        cmocka_unit_test(overlaps_put_a_parameter_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
