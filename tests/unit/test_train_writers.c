/* SPDX-License-Identifier: MIT
 *
 * Who writes what of a checkpoint, on many layouts: each parameter has exactly one writer,
 * which holds it; the work is spread evenly; files are numbered without gaps; every rank's
 * table gives the same answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "format/config.h"
#include "train/shards.h"
#include "train/writers.h"

static ringmoe_model_config config_of_test(int tied)
{
    ringmoe_model_config config;
    assert_int_equal(rm_config_preset("tiny", &config, NULL), RINGMOE_OK);
    config.num_attention_heads = 8;
    config.num_key_value_heads = 4;
    config.num_local_experts = 4;
    config.is_dense_layer[0] = 1;
    config.tie_word_embeddings = tied;
    return config;
}

static rm_parameter_table table_of(const ringmoe_model_config *config,
                                   const ringmoe_mesh_dims *dims, int rank)
{
    rm_parameter_table table;
    ringmoe_mesh_dims place = rm_mesh_place(dims, rank);
    int n_stages = dims->pipeline;
    rm_placement placement = {.partition = {.n_stages = n_stages, .n_pipeline = n_stages},
                              .expert_ranks = dims->expert,
                              .tensor_ranks = dims->tensor,
                              .pipeline_rank = place.pipeline,
                              .tensor_rank = place.tensor};
    for (int stage = 0; stage <= n_stages; stage++)
        placement.partition.bounds[stage] = config->num_hidden_layers * stage / n_stages;
    assert_int_equal(rm_parameter_table_create(config, &placement, &table, NULL), RINGMOE_OK);
    return table;
}

static bool holds(const ringmoe_mesh_dims *dims, const rm_parameter *parameter, int rank)
{
    ringmoe_mesh_dims place = rm_mesh_place(dims, rank);
    return place.pipeline == parameter->stage % dims->pipeline && place.tensor == 0 &&
           (parameter->expert_rank < 0 || parameter->expert_rank == place.expert);
}

static void check_writers(const rm_writers *writers, const rm_parameter_table *table,
                          const ringmoe_mesh_dims *dims)
{
    int64_t load[64] = {0};
    int n_written = 0;
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        int writer = writers->writer[i];
        if (parameter->tied) {
            assert_int_equal(writer, -1);
            continue;
        }
        assert_true(writer >= 0 && writer < writers->n_ranks);
        assert_true(holds(dims, parameter, writer));
        load[writer] += parameter->n_elements;
        n_written++;
    }
    assert_int_equal(n_written, writers->n_written);
    for (int rank = 0, file = 0; rank < writers->n_ranks; rank++) {
        assert_int_equal(load[rank], writers->load[rank]);
        assert_int_equal(writers->file[rank], load[rank] > 0 ? file : -1);
        file += load[rank] > 0;
        if (rank == writers->n_ranks - 1) assert_int_equal(file, writers->n_files);
    }
}

/* Each parameter once, those of a writer in the model's order, and in the first turn one of
 * each writer. */
static void check_order(const rm_writers *writers)
{
    int last[64];
    bool seen[64] = {false};
    for (int rank = 0; rank < 64; rank++) last[rank] = -1;
    for (int i = 0; i < writers->n_written; i++) {
        int parameter = writers->order[i], writer = writers->writer[parameter];
        assert_true(parameter > last[writer]);
        last[writer] = parameter;
        if (i < writers->n_files) assert_false(seen[writer]);
        seen[writer] = true;
    }
}

/* Within a stage no writer has more than the mean and, of dense and of expert parameters, the
 * largest. */
static void check_spread(const rm_writers *writers, const rm_parameter_table *table,
                         const ringmoe_mesh_dims *dims)
{
    int n_each = writers->n_ranks / dims->pipeline;
    for (int stage = 0; stage < dims->pipeline; stage++) {
        int64_t all = 0, largest = 0, most = 0;
        for (int i = 0; i < table->n_parameters; i++)
            if (table->parameters[i].stage == stage && writers->writer[i] >= 0 &&
                table->parameters[i].n_elements > largest)
                largest = table->parameters[i].n_elements;
        for (int rank = stage * n_each; rank < (stage + 1) * n_each; rank++) {
            all += writers->load[rank];
            if (writers->load[rank] > most) most = writers->load[rank];
        }
        assert_true(most <= all / (n_each / dims->tensor) + 2 * largest);
    }
}

static bool same_writers(const rm_writers *a, const rm_writers *b)
{
    size_t n = (size_t)a->n_parameters;
    return a->n_files == b->n_files && !memcmp(a->writer, b->writer, n * sizeof *a->writer) &&
           !memcmp(a->order, b->order, (size_t)a->n_written * sizeof *a->order);
}

static void check_layout(ringmoe_mesh_dims dims, int tied)
{
    ringmoe_model_config config = config_of_test(tied);
    rm_error error = {""};
    rm_writers first = {0};
    int n_ranks = dims.pipeline * dims.data * dims.expert * dims.tensor;
    for (int rank = 0; rank < n_ranks; rank++) {
        rm_parameter_table table = table_of(&config, &dims, rank);
        rm_writers writers;
        assert_int_equal(rm_writers_create(&writers, &table, &dims, &error), RINGMOE_OK);
        check_writers(&writers, &table, &dims);
        check_order(&writers);
        check_spread(&writers, &table, &dims);
        if (rank == 0) first = writers;
        assert_true(same_writers(&writers, &first));
        if (rank > 0) rm_writers_free(&writers);
        rm_parameter_table_free(&table);
    }
    rm_writers_free(&first);
}

static void every_parameter_has_one_writer(void **state)
{
    for (int pipeline = 1; pipeline <= 2; pipeline++)
        for (int data = 1; data <= 3; data++)
            for (int expert = 1; expert <= 4; expert *= 2)
                for (int tensor = 1; tensor <= 2; tensor++)
                    check_layout((ringmoe_mesh_dims){.pipeline = pipeline,
                                                     .data = data,
                                                     .expert = expert,
                                                     .tensor = tensor},
                                 data % 2);
}

static rm_shard shard_of(const rm_parameter_table *table, const rm_parameter *parameter,
                         const ringmoe_mesh_dims *dims)
{
    rm_error error = {""};
    rm_shard shard;
    bool is_expert = parameter->expert_rank >= 0;
    rm_shard_place place = {.kind = parameter->kind,
                            .expert_rank = parameter->expert_rank,
                            .axis_size = is_expert ? dims->data : dims->data * dims->expert,
                            .tensor_size = 1,
                            .n_slices = 1};
    assert_int_equal(rm_shard_create(&shard, table, place, &error), RINGMOE_OK);
    return shard;
}

/* Elements of the parameter's moments that its writer has not. */
static int64_t elsewhere(const rm_parameter_table *table, const rm_parameter *parameter,
                         const ringmoe_mesh_dims *dims, int writer)
{
    rm_shard shard = shard_of(table, parameter, dims);
    ringmoe_mesh_dims place = rm_mesh_place(dims, writer);
    int turn =
        parameter->expert_rank >= 0 ? place.data : place.data * dims->expert + place.expert;
    int64_t n = rm_shard_overlap(&shard, turn, parameter).n_elements;
    rm_shard_free(&shard);
    return parameter->n_elements - n;
}

/* Only parameters at the bounds of shards have moments on other ranks than the writer's. */
static void moments_stay_where_they_are(void **state)
{
    ringmoe_model_config config = config_of_test(0);
    ringmoe_mesh_dims dims = {.pipeline = 1, .data = 3, .expert = 2, .tensor = 1};
    rm_parameter_table table = table_of(&config, &dims, 0);
    rm_error error = {""};
    rm_writers writers;
    int n_cut = 0, n_bounds = dims.data * dims.expert - 1 + dims.expert * (dims.data - 1);
    assert_int_equal(rm_writers_create(&writers, &table, &dims, &error), RINGMOE_OK);
    for (int i = 0; i < table.n_parameters; i++)
        n_cut += elsewhere(&table, &table.parameters[i], &dims, writers.writer[i]) > 0;
    assert_true(n_cut <= n_bounds);
    rm_writers_free(&writers);
    rm_parameter_table_free(&table);
}

/* More ranks than parameters: those with nothing to write have no file. */
static void ranks_with_nothing_write_no_file(void **state)
{
    ringmoe_model_config config = config_of_test(0);
    ringmoe_mesh_dims dims = {.pipeline = 1, .data = 60, .expert = 1, .tensor = 1};
    rm_error error = {""};
    rm_writers writers;
    config.num_hidden_layers = 1;
    rm_parameter_table table = table_of(&config, &dims, 0);
    assert_int_equal(rm_writers_create(&writers, &table, &dims, &error), RINGMOE_OK);
    check_writers(&writers, &table, &dims);
    assert_true(writers.n_files < 60 && writers.n_files <= writers.n_written);
    rm_writers_free(&writers);
    rm_parameter_table_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_parameter_has_one_writer),
        cmocka_unit_test(moments_stay_where_they_are),
        cmocka_unit_test(ranks_with_nothing_write_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
