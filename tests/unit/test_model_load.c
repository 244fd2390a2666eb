/* SPDX-License-Identifier: MIT
 *
 * Loading a model's folder: one file or several under an index, fp32 or bf16; a tensor that is
 * missing, surplus, misshapen, there twice or elsewhere than the index says is named; the
 * selection biases come from state.json.
 */
#include <math.h>

#include "format/config.h"
#include "format/router_biases.h"
#include "format/safetensors.h"
#include "model/state.h"
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

static void add_entry(const char *name, const rm_tensor_entry *like)
{
    entries[n_entries] = *like;
    snprintf(entries[n_entries].name, sizeof entries->name, "%s", name);
    n_entries++;
}

/* Whether a head that is written has the embedding's values. */
static bool head_is_embedding;

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
        bool is_copy = head_is_embedding && !strcmp(entry->name, "lm_head.weight");
        float value = element(is_copy ? "model.embed_tokens.weight" : entry->name, i);
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

/* A model with the elements as its weights, packed. */
static ringmoe_model *make_expected(const model_fixture *f)
{
    ringmoe_model *expected;
    rm_model_settings settings = f->model->settings;
    settings.packed_only = false;
    assert_int_equal(rm_model_create(f->mesh, &f->model->config, &settings, &expected),
                     RINGMOE_OK);
    const rm_parameter_table *table = rm_model_parameters(expected);
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *p = &table->parameters[i];
        const char *name = p->tied ? table->parameters[0].name : p->name;
        rm_real *values = rm_model_weights(expected, p);
        for (int64_t e = 0; e < p->n_elements; e++) values[e] = element(name, e);
    }
    rm_model_pack(expected);
    return expected;
}

/* The rows of the embedding, which are kept as the file has them. */
static void check_embedding(const model_fixture *f)
{
    const ringmoe_model *model = f->model;
    const rm_parameter *p = rm_model_parameters(model)->parameters;
    int64_t width = p->shape[1];
    rm_tensor rows = {.dtype = model->settings.embedding, .data = model->stored_embedding};
    rm_real *values = malloc((size_t)width * sizeof *values);
    for (int64_t row = 0; row < p->shape[0]; row++) {
        rm_tensor_read(f->context->compute.kernels, &rows, row * width, width, values);
        for (int64_t i = 0; i < width; i++)
            assert_true(values[i] == element(p->name, row * width + i));
    }
    assert_int_equal(rows.dtype, entries[0].dtype);
    free(values);
}

/* Of matrices a loaded model has the packed forms alone. */
static void check_values(const model_fixture *f)
{
    ringmoe_model *expected = make_expected(f);
    const rm_parameter_table *table = rm_model_parameters(f->model);
    for (int i = 0; i < expected->n_matrices; i++)
        assert_memory_equal(
            f->model->matrices[i]->forward.data, expected->matrices[i]->forward.data,
            rm_matrix_packed_bytes(&f->context->compute, expected->matrices[i]));
    for (int i = 0; i < table->n_parameters; i++) {
        const rm_parameter *p = &table->parameters[i];
        const rm_real *values = rm_model_weights(f->model, p);
        assert_int_equal(values == NULL, p->is_matrix || i == 0);
        for (int64_t e = 0; values && e < p->n_elements; e++)
            assert_true(values[e] == element(p->name, e));
    }
    check_embedding(f);
    ringmoe_model_destroy(&expected);
}

static void check_loads(void)
{
    model_fixture f = open_mesh(2, RINGMOE_PRECISION_FP32);
    ringmoe_status status = ringmoe_model_load(f.mesh, scratch_folder, NULL, &f.model);
    if (status != RINGMOE_OK) fail_msg("%s", fixture_error(&f));
    check_values(&f);
    close_fixture(&f);
}

static void check_refuses(ringmoe_status expected, const char *words)
{
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    assert_int_equal(ringmoe_model_load(f.mesh, scratch_folder, NULL, &f.model), expected);
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

/* The head of a tied model is in no file, or in one, and has the embedding's values. */
static void test_tied_head(void **state)
{
    ringmoe_model_config config = fixture_config();
    config.tie_word_embeddings = 1;
    write_config(&config);
    list_entries(&config);
    write_tensors("model.safetensors", 0, n_entries);
    check_loads();
    add_entry("lm_head.weight", &entries[0]);
    write_tensors("model.safetensors", 0, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT,
                  "lm_head.weight is not model.embed_tokens.weight, though");
    head_is_embedding = true;
    write_tensors("model.safetensors", 0, n_entries);
    check_loads();
    entries[n_entries - 1].dtype = RM_DTYPE_BF16;
    write_tensors("model.safetensors", 0, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT, "lm_head.weight is not model.embed_tokens.weight");
    head_is_embedding = false;
}

/* Rotary frequencies, which old folders have, are config.json's matter. */
static void test_frequencies(void **state)
{
    ringmoe_model_config config = fixture_config();
    rm_tensor_entry frequencies = {.n_dims = 1, .shape = {4}};
    write_config(&config);
    list_entries(&config);
    add_entry("model.layers.1.self_attn.rotary_emb.inv_freq", &frequencies);
    write_tensors("model.safetensors", 0, n_entries);
    check_loads();
}

/* An index that places entries [0, cut) in the first file and the others in the second. */
static void write_index(int cut, int end)
{
    FILE *out = fopen(scratch_path("model.safetensors.index.json"), "w");
    assert_non_null(out);
    fprintf(out, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (int i = 0; i < end; i++)
        fprintf(out, "%s\"%s\": \"model-%d.safetensors\"", i ? ", " : "", entries[i].name,
                i < cut ? 1 : 2);
    fprintf(out, "}}");
    fclose(out);
}

static void test_indexed_files(void **state)
{
    ringmoe_model_config config = fixture_config();
    write_config(&config);
    list_entries(&config);
    write_tensors("model-1.safetensors", 0, 20);
    write_tensors("model-2.safetensors", 20, n_entries);
    write_index(20, n_entries);
    check_loads();
    scratch_text("optimizer-1.safetensors", "not looked at");
    check_loads();
    write_index(21, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT, "experts.1.w1.weight is in another file than it says");
    write_index(20, n_entries - 1);
    check_refuses(RINGMOE_ERROR_FORMAT,
                  "lm_head.weight is in a file, but not in its weight_map");
    write_index(20, n_entries);
    write_tensors("model-2.safetensors", 20, n_entries - 1);
    check_refuses(RINGMOE_ERROR_FORMAT, "lm_head.weight is in none of its files");
    write_tensors("model-2.safetensors", 19, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT,
                  "is in two files, model-1.safetensors and model-2.safetensors");
    write_tensors("model-2.safetensors", 20, n_entries);
    scratch_text("model-00003.safetensors", "");
    check_refuses(RINGMOE_ERROR_FORMAT, "does not name model-00003.safetensors");
    remove(scratch_path("model-00003.safetensors"));
    check_loads();
}

static void test_bad_indexes(void **state)
{
    static const struct {
        const char *text, *words;
    } indexes[] = {
        {"{\"weight_map\": {\"a\": \"../b\"}}", "file of tensor a"},
        {"{\"weight_map\": {\"a\": \"..\"}}", "file of tensor a"},
        {"{\"weight_map\": {\"a\": \"\"}}", "file of tensor a"},
        {"{\"weight_map\": {\"a\\n\": 3}}", "file of tensor a?"},
        {"{\"weight_map\": {\"a\": \"b\", \"a\": \"b\"}}", "duplicate"},
        {"{\"weight_map\": []}", "weight_map is missing"},
        {"{\"weight_map\": {}}", "weight_map is missing"},
        {"{}", "weight_map is missing"},
        {"[1, ", "line 1"},
        {"", "line 1"},
        {"[[[[[", "too deep in each other"},
    };
    ringmoe_model_config config = fixture_config();
    write_config(&config);
    remove(scratch_path("model-1.safetensors"));
    remove(scratch_path("model-2.safetensors"));
    for (size_t i = 0; i < sizeof indexes / sizeof *indexes; i++) {
        scratch_text("model.safetensors.index.json", indexes[i].text);
        check_refuses(RINGMOE_ERROR_FORMAT, indexes[i].words);
    }
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
    add_entry("model.layers.0.self_attn.q_proj.bias", &entries[1]);
    write_tensors("model.safetensors", 0, n_entries);
    check_refuses(RINGMOE_ERROR_FORMAT,
                  "q_proj.bias of model.safetensors belongs to no parameter");
}

/* Selection biases lie in state.json; a model that has them is never loaded without. */
static void test_router_bias(void **state)
{
    static const struct {
        const char *text, *words;
    } states[] = {
        {"{}", "state.json: router_biases is missing"},
        {"{\"router_biases\": {}}", "router_biases is missing or not a list of 3"},
        {"{\"router_biases\": [[], [1, 2, 3, 4]]}", "not a list of 3"},
        {"{\"router_biases\": [[0], [1, 2, 3, 4], [1, 2, 3, 4]]}",
         "of layer 0 must be an empty list"},
        {"{\"router_biases\": [[], [1, 2, 3, 4], [1, 2, 3]]}", "of layer 2 must be a list"},
        {"{\"router_biases\": [[], [1, 2, 3, \"4\"], [1, 2, 3, 4]]}",
         "of layer 1 must be made of finite"},
        {"{\"router_biases\": [[], [1, 2, 3, 1e300], [1, 2, 3, 4]]}",
         "of layer 1 must be made of finite"},
        {"{\"router_biases\": [[], [1, 2, 3, 1e400], [1, 2, 3, 4]]}", "not valid JSON"},
        {"{\"router_biases\": [", "not valid JSON"},
    };
    ringmoe_model_config config = fixture_config();
    config.router_bias_rate = 0.01;
    write_config(&config);
    list_entries(&config);
    write_tensors("model.safetensors", 0, n_entries);
    check_refuses(RINGMOE_ERROR_FILE, "state.json");
    for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
        scratch_text("state.json", states[i].text);
        check_refuses(RINGMOE_ERROR_FORMAT, states[i].words);
    }
    rm_real written[FIXTURE_LAYERS * FIXTURE_EXPERTS] = {0};
    for (int i = FIXTURE_EXPERTS; i < FIXTURE_LAYERS * FIXTURE_EXPERTS; i++)
        written[i] = (rm_real)(i - 7) / 3;
    FILE *out = fopen(scratch_path("state.json"), "w");
    fprintf(out, "{\"step\": 3, \"router_biases\": ");
    rm_router_biases_print(&config, written, out);
    fprintf(out, "}");
    fclose(out);
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    if (ringmoe_model_load(f.mesh, scratch_folder, NULL, &f.model) != RINGMOE_OK)
        fail_msg("%s", fixture_error(&f));
    assert_memory_equal(rm_model_router_bias(f.model), written, sizeof written);
    close_fixture(&f);
}

/* Logits of some texts by a model of these forms that has room for so many bytes of experts. */
static void decode_texts(ringmoe_weights weights, int64_t experts_in_memory,
                         rm_real logits[2 * FIXTURE_VOCAB])
{
    static const int32_t tokens[] = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7};
    const rm_decode_run runs[] = {{1, 0, 7, true}, {0, 0, 3, true}};
    model_fixture f = open_mesh(2, RINGMOE_PRECISION_FP32);
    ringmoe_load_settings settings;
    rm_arena arena = {0};
    rm_kv_cache cache;
    rm_error error;
    ringmoe_load_settings_default(&settings);
    settings.weights = weights;
    settings.experts_in_memory = experts_in_memory;
    if (ringmoe_model_load(f.mesh, scratch_folder, &settings, &f.model) != RINGMOE_OK)
        fail_msg("%s", fixture_error(&f));
    rm_kv_cache_layout(&cache, f.model, 2, 7, &arena);
    assert_int_equal(rm_arena_reserve(&arena, arena.used, &error), RINGMOE_OK);
    rm_kv_cache_layout(&cache, f.model, 2, 7, &arena);
    rm_decode_batch batch = {&cache, runs, 2, tokens, false};
    for (int i = 0; i < 2; i++)
        assert_int_equal(rm_model_decode(f.model, &batch, logits), RINGMOE_OK);
    rm_arena_free(&arena);
    close_fixture(&f);
}

/* Experts that stay in their files give the same bits, however few have room. */
static void test_experts_apart(void **state)
{
    ringmoe_model_config config = fixture_config();
    rm_real all[2 * FIXTURE_VOCAB], few[2 * FIXTURE_VOCAB];
    write_config(&config);
    list_entries(&config);
    write_tensors("model.safetensors", 0, n_entries);
    decode_texts(RINGMOE_WEIGHTS_AUTO, 0, all);
    for (int64_t bytes = 32 << 10; bytes <= 1 << 20; bytes *= 2) {
        decode_texts(RINGMOE_WEIGHTS_AUTO, bytes, few);
        assert_memory_equal(few, all, sizeof all);
    }
    model_fixture f = open_mesh(1, RINGMOE_PRECISION_FP32);
    ringmoe_load_settings settings;
    ringmoe_load_settings_default(&settings);
    settings.experts_in_memory = 100;
    assert_int_equal(ringmoe_model_load(f.mesh, scratch_folder, &settings, &f.model),
                     RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(fixture_error(&f), "experts_in_memory is 100 bytes; one expert"));
    assert_null(f.model);
    close_fixture(&f);
}

/* How far logits are from those of the weights themselves, over the norm of these, which are
 * compared without what all of a text's have in common. */
static double distance(const rm_real *logits, const rm_real *exact)
{
    double difference = 0, norm = 0;
    for (int text = 0; text < 2; text++) {
        double mean = 0;
        for (int i = 0; i < FIXTURE_VOCAB; i++)
            mean += (double)exact[text * FIXTURE_VOCAB + i] / FIXTURE_VOCAB;
        for (int i = text * FIXTURE_VOCAB; i < (text + 1) * FIXTURE_VOCAB; i++) {
            difference += pow((double)(logits[i] - exact[i]), 2);
            norm += pow((double)exact[i] - mean, 2);
        }
    }
    return sqrt(difference / norm);
}

/* All forms keep logits near those of the weights themselves. */
static void test_formats(void **state)
{
    rm_real exact[2 * FIXTURE_VOCAB], logits[2 * FIXTURE_VOCAB];
    static const double limits[] = {0, 1e-2, 1e-2, 1e-1};
    static const ringmoe_weights formats[] = {RINGMOE_WEIGHTS_FP32, RINGMOE_WEIGHTS_BF16,
                                              RINGMOE_WEIGHTS_Q8_0, RINGMOE_WEIGHTS_Q4_0};
    for (int i = 0; i < 4; i++) {
        model_fixture f = open_mesh(2, RINGMOE_PRECISION_FP32);
        ringmoe_load_settings settings;
        ringmoe_model_bytes bytes;
        ringmoe_load_settings_default(&settings);
        settings.weights = formats[i];
        if (ringmoe_model_load(f.mesh, scratch_folder, &settings, &f.model) != RINGMOE_OK)
            fail_msg("%s", fixture_error(&f));
        assert_int_equal(f.model->layers[1].moe.experts[0].gate.forward.precision, i);
        assert_int_equal(f.model->layers[1].moe.router.forward.precision, 0);
        assert_int_equal(f.model->head.forward.precision, i);
        ringmoe_model_get_bytes(f.model, &bytes);
        assert_true(bytes.token > 0 && bytes.token <= bytes.weights && bytes.position > 0);
        close_fixture(&f);
        decode_texts(formats[i], 0, logits);
        if (i == 0) memcpy(exact, logits, sizeof exact);
        if (distance(logits, exact) > limits[i])
            fail_msg("form %d: the logits are %g off", i, distance(logits, exact));
    }
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_file),    cmocka_unit_test(test_tied_head),
        cmocka_unit_test(test_frequencies), cmocka_unit_test(test_indexed_files),
        cmocka_unit_test(test_bad_indexes), cmocka_unit_test(test_spoiled_tensors),
        cmocka_unit_test(test_router_bias), cmocka_unit_test(test_experts_apart),
        cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}

int main(int argc, char **argv)
{
    return run_with_mpi(argc, argv, run);
}
