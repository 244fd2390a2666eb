/* SPDX-License-Identifier: MIT
 *
 * Loading a model's folder: one file or several under an index, fp32 or bf16; a tensor that is
 * missing, surplus, misshapen or there twice is named, and so is a bad index.
 */
#include "format/config.h"
#include "format/safetensors.h"
#include "model_fixture.h"
#include "scratch.h"

enum { MAX_ENTRIES = 64, MAX_ELEMENTS = 4096 };

/* Tensors of the model in hand, in a form that a test can spoil before they are written. */
static rm_tensor_entry entries[MAX_ENTRIES];
static int n_entries;

static void list_entries(const ringmoe_model_config *config)
{
    rm_parameter_table table;
    rm_error error;
    assert_int_equal(rm_parameter_table_create(config, &(rm_placement){0}, &table, &error),
                     RINGMOE_OK);
    n_entries = 0;
    for (int i = 0; i < table.n_parameters; i++) {
        const rm_parameter *p = &table.parameters[i];
        rm_tensor_entry *entry = &entries[n_entries];
        if (p->tied) continue;
        n_entries++;
        *entry = (rm_tensor_entry){.n_dims = p->n_dims, .shape = {p->shape[0], p->shape[1]}};
        memcpy(entry->name, p->name, sizeof p->name);
    }
    rm_parameter_table_free(&table);
}

static void list_biases(void)
{
    for (int layer = 1; layer < FIXTURE_LAYERS; layer++) {
        rm_tensor_entry *entry = &entries[n_entries++];
        *entry = (rm_tensor_entry){.n_dims = 1, .shape = {FIXTURE_EXPERTS}};
        snprintf(entry->name, sizeof entry->name, RM_ROUTER_BIAS_NAME, layer);
    }
}

/* Element i of a tensor: small numbers that bf16 holds exactly. */
static float element(const char *name, int64_t i)
{
    return (float)((rm_random_stream(name) + (uint64_t)i * 7) % 251) / 64;
}

static int64_t fill_data(const rm_tensor_entry *entry, void *data)
{
    int64_t n = entry->shape[0] * (entry->n_dims == 2 ? entry->shape[1] : 1);
    assert_true(n <= MAX_ELEMENTS);
    for (int64_t i = 0; i < n; i++) {
        float value = element(entry->name, i);
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        if (entry->dtype == RM_DTYPE_BF16)
            ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
        else
            ((float *)data)[i] = value;
    }
    return n * (entry->dtype == RM_DTYPE_BF16 ? 2 : 4);
}

/* Writes entries [first, end) to a file of the folder. */
static void write_tensors(const char *file, int first, int end)
{
    rm_safetensors_writer *writer;
    rm_error error;
    float data[MAX_ELEMENTS];
    assert_int_equal(rm_safetensors_create(scratch_path(file), entries + first, end - first,
                                           &writer, &error),
                     RINGMOE_OK);
    for (int i = first; i < end; i++) {
        int64_t bytes = fill_data(&entries[i], data);
        assert_int_equal(rm_safetensors_append(writer, data, bytes, &error), RINGMOE_OK);
    }
    assert_int_equal(rm_safetensors_commit(&writer, &error), RINGMOE_OK);
}

static void write_config(const ringmoe_model_config *config)
{
    rm_error error;
    assert_int_equal(rm_config_write(config, scratch_path("config.json"), &error), RINGMOE_OK);
    remove(scratch_path("model.safetensors"));
    remove(scratch_path("model.safetensors.index.json"));
}

static void check_values(const ringmoe_model *model)
{
    const rm_parameter_table *table = rm_model_parameters(model);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *p = &table->parameters[i];
        const rm_real *values = rm_model_weights(model, p);
        const char *name = p->tied ? table->parameters[0].name : p->name;
        for (int64_t e = 0; e < p->n_elements; e++) assert_true(values[e] == element(name, e));
    }
}

static void check_loads(void)
{
    model_fixture f = open_mesh(2, RINGMOE_PRECISION_FP32);
    ringmoe_status status = ringmoe_model_load(f.mesh, scratch_folder, 16, &f.model);
    if (status != RINGMOE_OK) fail_msg("%s", fixture_error(&f));
    check_values(f.model);
    close_fixture(&f);
}

static void check_refuses(ringmoe_status expected, const char *words)
{
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    assert_int_equal(ringmoe_model_load(f.mesh, scratch_folder, 16, &f.model), expected);
    assert_null(f.model);
    if (!strstr(fixture_error(&f), words))
        fail_msg("\"%s\" does not say \"%s\"", fixture_error(&f), words);
    close_fixture(&f);
}

static void test_one_file(void **state)
{
    ringmoe_model_config config = fixture_config();
    write_config(&config);
    list_entries(&config);
    write_tensors("model.safetensors", 0, n_entries);
    check_loads();
    for (int i = 0; i < n_entries; i += 2) entries[i].dtype = RM_DTYPE_BF16;
    write_tensors("model.safetensors", 0, n_entries);
    check_loads();
}

/* The head of a tied model is in no file and has the embedding's values. */
static void test_tied_head(void **state)
{
    ringmoe_model_config config = fixture_config();
    config.tie_word_embeddings = 1;
    write_config(&config);
    list_entries(&config);
    write_tensors("model.safetensors", 0, n_entries);
    check_loads();
}

static const char *const index_text =
    "{\"metadata\": {}, \"weight_map\": {\"model.embed_tokens.weight\": "
    "\"model-1.safetensors\","
    " \"lm_head.weight\": \"model-2.safetensors\", \"model.norm.weight\": "
    "\"model-2.safetensors\"}}";

static void test_indexed_files(void **state)
{
    ringmoe_model_config config = fixture_config();
    write_config(&config);
    list_entries(&config);
    write_tensors("model-1.safetensors", 0, 20);
    write_tensors("model-2.safetensors", 20, n_entries);
    scratch_text("model.safetensors.index.json", index_text);
    check_loads();
    write_tensors("model-2.safetensors", 19, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT, "experts.0.w3.weight is in two files");
    scratch_text("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"../b\"}}");
    check_refuses(RINGMOE_ERROR_FORMAT, "file of tensor a");
    scratch_text("model.safetensors.index.json", "{\"weight_map\": {\"a\": 3}}");
    check_refuses(RINGMOE_ERROR_FORMAT, "file of tensor a");
    scratch_text("model.safetensors.index.json", "{}");
    check_refuses(RINGMOE_ERROR_FORMAT, "weight_map is missing");
    scratch_text("model.safetensors.index.json", "[1, ");
    check_refuses(RINGMOE_ERROR_FORMAT, "line 1");
    scratch_text("model.safetensors.index.json", "{\"weight_map\": {\"a\": \"none\"}}");
    check_refuses(RINGMOE_ERROR_FILE, "none");
}

static void test_spoiled_tensors(void **state)
{
    ringmoe_model_config config = fixture_config();
    write_config(&config);
    check_refuses(RINGMOE_ERROR_FILE, "model.safetensors");
    list_entries(&config);
    write_tensors("model.safetensors", 1, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT, "model.embed_tokens.weight is missing");
    entries[2].shape[0] = 24;
    write_tensors("model.safetensors", 0, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT, "q_proj.weight has the shape [24, 48]");
    check_refuses(RINGMOE_ERROR_FORMAT, "asks for [48, 48]");
    list_entries(&config);
    entries[n_entries] = entries[1];
    strcpy(entries[n_entries++].name, "model.layers.0.self_attn.q_proj.bias");
    write_tensors("model.safetensors", 0, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT, "q_proj.bias belongs to no parameter");
}

static void test_router_bias(void **state)
{
    ringmoe_model_config config = fixture_config();
    config.router_bias_rate = 0.01;
    write_config(&config);
    list_entries(&config);
    write_tensors("model.safetensors", 0, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT,
                  "layers.1.block_sparse_moe.gate.e_score_correction_bias");
    list_biases();
    write_tensors("model.safetensors", 0, n_entries);
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    assert_int_equal(ringmoe_model_load(f.mesh, scratch_folder, 16, &f.model), RINGMOE_OK);
    const rm_real *biases = rm_model_router_bias(f.model);
    for (int i = 0; i < FIXTURE_EXPERTS; i++) {
        assert_true(biases[i] == 0); /* layer 0 is dense */
        assert_true(biases[2 * FIXTURE_EXPERTS + i] == element(entries[n_entries - 1].name, i));
    }
    close_fixture(&f);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_file),      cmocka_unit_test(test_tied_head),
        cmocka_unit_test(test_indexed_files), cmocka_unit_test(test_spoiled_tensors),
        cmocka_unit_test(test_router_bias),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

int main(int argc, char **argv)
{
    return run_with_mpi(argc, argv, run);
}
