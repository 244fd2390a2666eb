/* SPDX-License-Identifier: MIT
 *
 * What GGUF files of other makers have: blocks that are not made by ggml's plain rule, models
 * in several files, scaled rotary positions as a tensor, keys that say nothing.
 *
 *   test_convert_gguf FOLDER    tests/golden/data
 */
#include "convert_fixture.h"

#include "format/config_rope.h"
#include "format/dtype.h"
#include "format/gguf_file.h"
#include "format/gguf_rope.h"
#include "format/quants.h"
#include "model/state.h"

/* --- files made of files --- */

static rm_gguf *open_gguf(const char *path)
{
    rm_error error = {""};
    rm_gguf *file;
    if (rm_gguf_open(path, &file, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    return file;
}

typedef void (*key_putter)(rm_gguf_writer *writer, const void *user);

/* Tensors [first, end) of a file, all of its keys or none, and further ones. */
static void write_part(const rm_gguf *from, int first, int end, bool with_keys,
                       key_putter put_keys, const void *user, const char *to)
{
    rm_error error = {""};
    rm_gguf_writer *writer;
    assert_int_equal(rm_gguf_writer_create(&writer, &error), RINGMOE_OK);
    for (int i = 0; with_keys && i < rm_gguf_value_count(from); i++)
        rm_gguf_put_value(writer, rm_gguf_value_at(from, i));
    if (put_keys) put_keys(writer, user);
    for (int i = first; i < end; i++) {
        const rm_tensor *tensor = rm_gguf_tensor(from, i);
        rm_tensor_entry entry = {.dtype = tensor->dtype, .n_dims = tensor->n_dims};
        snprintf(entry.name, sizeof entry.name, "%s", tensor->name);
        memcpy(entry.shape, tensor->shape, sizeof entry.shape);
        assert_int_equal(rm_gguf_put_tensor(writer, &entry, &error), RINGMOE_OK);
    }
    assert_int_equal(rm_gguf_begin(writer, to, &error), RINGMOE_OK);
    for (int i = first; i < end; i++) {
        const rm_tensor *tensor = rm_gguf_tensor(from, i);
        assert_int_equal(rm_gguf_append(writer, tensor->data,
                                        rm_dtype_size(tensor->dtype, tensor->n_elements),
                                        &error),
                         RINGMOE_OK);
    }
    assert_int_equal(rm_gguf_commit(&writer, &error), RINGMOE_OK);
}

static void make_gguf(const ringmoe_model_config *config, ringmoe_weights type,
                      const char *path)
{
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_GGUF, type);
    const char *folder = fresh("");
    write_model(folder, config, NULL);
    convert(folder, path, &settings);
}

static void check_open_refused(const char *path, const char *words)
{
    rm_error error = {""};
    opened_model model;
    ringmoe_status status = try_open(path, &model, &error);
    if (status == RINGMOE_OK || !strstr(error.text, words))
        fail_msg("%s: \"%s\" does not say \"%s\"", path, error.text, words);
    close_model(&model);
}

/* --- blocks --- */

/* Blocks as an importance matrix may leave them: without the type's greatest number, so that
 * quantising their numbers again would choose another scale. */
static void spoil_blocks(const char *path, rm_dtype dtype)
{
    rm_gguf *file = open_gguf(path);
    FILE *stream = fopen(path, "r+b");
    int n_spoiled = 0;
    for (int i = 0; i < rm_gguf_count(file); i++) {
        const rm_tensor *tensor = rm_gguf_tensor(file, i);
        int64_t block = dtype == RM_DTYPE_Q4_0 ? RM_Q4_0_BYTES : RM_Q8_0_BYTES;
        if (tensor->dtype != dtype) continue;
        for (int64_t at = 0; at < rm_dtype_size(dtype, tensor->n_elements); at++) {
            int low = 4 + (int)((at * 7 + i) % 9), high = 4 + (int)((at * 5 + i) % 9);
            if (at % block < 2) continue; /* the scale */
            fseek(stream, (long)(tensor->data - file->source.map.data + at), SEEK_SET);
            fputc(dtype == RM_DTYPE_Q4_0 ? high << 4 | low : high * 6 + low, stream);
        }
        n_spoiled++;
    }
    assert_true(n_spoiled > 6);
    fclose(stream);
    rm_gguf_close(&file);
}

static void check_same_bytes(const char *left_path, const char *right_path)
{
    rm_gguf *left = open_gguf(left_path), *right = open_gguf(right_path);
    assert_int_equal(rm_gguf_count(left), rm_gguf_count(right));
    for (int i = 0; i < rm_gguf_count(left); i++) {
        const rm_tensor *a = rm_gguf_tensor(left, i), *b = rm_gguf_tensor(right, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->dtype, b->dtype);
        if (memcmp(a->data, b->data, (size_t)rm_dtype_size(a->dtype, a->n_elements)) != 0)
            fail_msg("%s differs", a->name);
    }
    rm_gguf_close(&left);
    rm_gguf_close(&right);
}

/* Of llama's family too, whose queries' and keys' rows are turned. */
static void copies_blocks_of_others(void **state)
{
    static const int families[] = {RINGMOE_FAMILY_LLAMA, RINGMOE_FAMILY_MIXTRAL,
                                   RINGMOE_FAMILY_QWEN3_MOE};
    static const struct {
        ringmoe_weights type;
        rm_dtype dtype;
    } types[] = {{RINGMOE_WEIGHTS_Q4_0, RM_DTYPE_Q4_0}, {RINGMOE_WEIGHTS_Q8_0, RM_DTYPE_Q8_0}};
    for (int i = 0; i < 6; i++) {
        ringmoe_model_config config = plain_config(families[i % 3]);
        ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_GGUF, 0);
        const char *path = fresh(".gguf"), *again = fresh(".gguf");
        make_gguf(&config, types[i / 3].type, path);
        spoil_blocks(path, types[i / 3].dtype);
        convert(path, again, &settings);
        check_same_bytes(path, again);
    }
}

/* --- blocks that are read only --- */

/* Matrices in blocks of two kinds, of 32 numbers each; the others as they are. */
static rm_dtype read_only_type(const rm_tensor *tensor, int index)
{
    bool is_small = tensor->n_dims < 2 || strstr(tensor->name, "ffn_gate_inp");
    if (is_small) return tensor->dtype;
    return index % 2 ? RM_DTYPE_Q5_0 : RM_DTYPE_IQ4_NL;
}

/* Bytes of such a tensor: each block's scale is 1/16. */
static void append_blocks(rm_gguf_writer *writer, rm_dtype dtype, int64_t n_elements)
{
    rm_error error = {""};
    unsigned char block[64];
    for (int64_t i = 0; i < n_elements / rm_dtype_block(dtype); i++) {
        for (int at = 0; at < rm_dtype_bytes(dtype); at++)
            block[at] = (unsigned char)(i * 31 + at * 7);
        block[0] = 0, block[1] = 0x2c;
        assert_int_equal(rm_gguf_append(writer, block, rm_dtype_bytes(dtype), &error),
                         RINGMOE_OK);
    }
}

static void write_read_only(const rm_gguf *from, const char *to)
{
    rm_error error = {""};
    rm_gguf_writer *writer;
    assert_int_equal(rm_gguf_writer_create(&writer, &error), RINGMOE_OK);
    for (int i = 0; i < rm_gguf_value_count(from); i++)
        rm_gguf_put_value(writer, rm_gguf_value_at(from, i));
    for (int i = 0; i < rm_gguf_count(from); i++) {
        const rm_tensor *tensor = rm_gguf_tensor(from, i);
        rm_tensor_entry entry = {.dtype = read_only_type(tensor, i), .n_dims = tensor->n_dims};
        snprintf(entry.name, sizeof entry.name, "%s", tensor->name);
        memcpy(entry.shape, tensor->shape, sizeof entry.shape);
        assert_int_equal(rm_gguf_put_tensor(writer, &entry, &error), RINGMOE_OK);
    }
    assert_int_equal(rm_gguf_begin(writer, to, &error), RINGMOE_OK);
    for (int i = 0; i < rm_gguf_count(from); i++) {
        const rm_tensor *tensor = rm_gguf_tensor(from, i);
        rm_dtype dtype = read_only_type(tensor, i);
        if (dtype != tensor->dtype)
            append_blocks(writer, dtype, tensor->n_elements);
        else
            assert_int_equal(
                rm_gguf_append(writer, tensor->data, 4 * tensor->n_elements, &error),
                RINGMOE_OK);
    }
    assert_int_equal(rm_gguf_commit(&writer, &error), RINGMOE_OK);
}

/* They come into a folder as the numbers they are, and into memory as Q8_0. */
static void reads_other_blocks(void **state)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_MIXTRAL);
    ringmoe_convert_settings to_folder = settings_of(RINGMOE_MODEL_FOLDER, 0);
    const char *whole = fresh(".gguf"), *made = fresh(".gguf"), *folder = fresh("");
    ringmoe_mesh *mesh;
    ringmoe_model *model;
    make_gguf(&config, RINGMOE_WEIGHTS_FP32, whole);
    rm_gguf *file = open_gguf(whole);
    write_read_only(file, made);
    rm_gguf_close(&file);
    convert(made, folder, &to_folder);
    check_same(made, folder);
    assert_int_equal(ringmoe_mesh_create(context, NULL, config.num_local_experts, &mesh),
                     RINGMOE_OK);
    if (ringmoe_model_load(mesh, made, NULL, &model) != RINGMOE_OK)
        fail_msg("%s", ringmoe_context_error(context));
    assert_int_equal(model->formats.experts, RINGMOE_PRECISION_Q8_0);
    assert_int_equal(model->formats.dense, RINGMOE_PRECISION_Q8_0);
    assert_int_equal(model->formats.head, RINGMOE_PRECISION_Q8_0);
    ringmoe_model_destroy(&model);
    ringmoe_mesh_destroy(&mesh);
}

/* --- several files --- */

typedef struct split_keys {
    uint32_t no, count, n_tensors;
} split_keys;

static void put_split_keys(rm_gguf_writer *writer, const void *user)
{
    const split_keys *keys = user;
    rm_gguf_put_u32(writer, "split.no", keys->no);
    rm_gguf_put_u32(writer, "split.count", keys->count);
    rm_gguf_put_u32(writer, "split.tensors.count", keys->n_tensors);
}

static const char *part_path(const char *stem, int no, int count)
{
    char name[64];
    snprintf(name, sizeof name, "%s-%05d-of-%05d.gguf", stem, no, count);
    return scratch_path(name);
}

/* Three files; the second has no tensors. */
static void split(const char *path, const char *stem)
{
    rm_gguf *file = open_gguf(path);
    int n = rm_gguf_count(file);
    const int begins[] = {0, n / 3, n / 3, n};
    for (uint32_t no = 0; no < 3; no++) {
        split_keys keys = {no, 3, (uint32_t)n};
        write_part(file, begins[no], begins[no + 1], no == 0, put_split_keys, &keys,
                   part_path(stem, (int)no + 1, 3));
    }
    rm_gguf_close(&file);
}

static void reads_several_files(void **state)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_MIXTRAL);
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_GGUF, 0);
    char whole[600], joined[600];
    snprintf(whole, sizeof whole, "%s", fresh(".gguf"));
    snprintf(joined, sizeof joined, "%s", fresh(".gguf"));
    make_gguf(&config, 0, whole);
    split(whole, "some");
    check_same(whole, part_path("some", 1, 3));
    convert(part_path("some", 1, 3), joined, &settings);
    check_same_bytes(whole, joined);
    rm_gguf *file = open_gguf(joined);
    assert_null(rm_gguf_find(file, "split.count"));
    rm_gguf_close(&file);
}

static void refuses_wrong_parts(void **state)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_QWEN3);
    char whole[600], first[600], second[600], other[600];
    snprintf(whole, sizeof whole, "%s", fresh(".gguf"));
    snprintf(first, sizeof first, "%s", part_path("bad", 1, 3));
    snprintf(second, sizeof second, "%s", part_path("bad", 2, 3));
    snprintf(other, sizeof other, "%s", scratch_path("odd.gguf"));
    make_gguf(&config, 0, whole);
    split(whole, "bad");
    check_open_refused(second, "is file 2 of 3 of a model; give the first");
    rename(first, other);
    check_open_refused(other, "its name must end in -00001-of-00003.gguf");
    rename(other, first);
    rename(second, other);
    check_open_refused(first, "bad-00002-of-00003.gguf");
    rm_gguf *file = open_gguf(whole);
    int n = rm_gguf_count(file);
    split_keys keys = {2, 3, (uint32_t)n};
    write_part(file, 0, 0, false, put_split_keys, &keys, second);
    check_open_refused(first, "says it is file 3 of 3");
    keys.no = 1;
    write_part(file, 0, 1, false, put_split_keys, &keys, second);
    check_open_refused(first, "tensors and have");
    keys = (split_keys){0, 3, (uint32_t)n + 1};
    write_part(file, 0, n / 3, true, put_split_keys, &keys, first);
    check_open_refused(first, "is there twice");
    rm_gguf_close(&file);
}

/* --- rotary positions --- */

/* What comes of a model's divisors: settings that make the same ones. */
static void check_found(ringmoe_model_config config)
{
    ringmoe_model_config found;
    rm_error error = {""};
    float *before = calloc((size_t)config.head_dim, sizeof *before);
    float *after = calloc((size_t)config.head_dim, sizeof *after);
    const char *path = fresh(".gguf");
    rm_gguf *file;
    make_gguf(&config, 0, path);
    if (rm_config_read(path, &found, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    file = open_gguf(path);
    assert_string_equal(rm_gguf_tensor(file, rm_gguf_count(file) - 1)->name,
                        "rope_freqs.weight");
    rm_gguf_close(&file);
    rm_gguf_rope_divisors(&config, before);
    rm_gguf_rope_divisors(&found, after);
    for (int i = 0; i < config.head_dim / 2; i++)
        if (!(fabsf(before[i] - after[i]) <= 2e-5f * before[i]))
            fail_msg("divisor %d is %g, not %g", i, (double)after[i], (double)before[i]);
    free(before);
    free(after);
}

static ringmoe_model_config scaled_config(double factor, double low, double high, int original)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_LLAMA);
    config.rope_type = RINGMOE_ROPE_LLAMA3;
    config.rope_factor = factor;
    config.rope_low_factor = low;
    config.rope_high_factor = high;
    config.rope_original_positions = original;
    return config;
}

static void keeps_scaled_positions(void **state)
{
    ringmoe_convert_settings to_gguf = settings_of(RINGMOE_MODEL_GGUF, 0);
    ringmoe_convert_settings to_folder = settings_of(RINGMOE_MODEL_FOLDER, 0);
    const char *file = fresh(".gguf"), *back = fresh(""), *from = case_path("llama3");
    convert(from, file, &to_gguf);
    check_same(from, file);
    convert(file, back, &to_folder);
    check_same(file, back);
    /* Llama 3.1's and 3.2's, on heads of their size; then few pairs, and other factors. */
    ringmoe_model_config config = scaled_config(8, 1, 4, 8192);
    config.head_dim = 128;
    config.num_attention_heads = config.num_key_value_heads = 1;
    config.rope_theta = 500000;
    check_found(config);
    config.rope_factor = 32;
    check_found(config);
    /* No binary fraction either: exactly this one. */
    config.rope_factor = 8.1;
    const char *again = fresh(".gguf");
    make_gguf(&config, 0, again);
    opened_model model = open_path(again);
    assert_true(model.config.rope_factor == 8.1 && model.config.rope_low_factor == 1 &&
                model.config.rope_high_factor == 4);
    assert_int_equal(model.config.rope_original_positions, 8192);
    close_model(&model);
    static const double factors[][2] = {{1.2, 3}, {1.2, 1.3}, {0.9, 3}, {0.35, 1}, {0.35, 1.1}};
    for (int i = 0; i < 5; i++) {
        config = scaled_config(8, factors[i][0], factors[i][1], 64);
        config.head_dim = 16;
        config.num_attention_heads = config.num_key_value_heads = 2;
        check_found(config);
    }
    check_found(scaled_config(8, 1, 4, 32));
    check_found(scaled_config(4, 1, 4, 8192));
    check_found(scaled_config(4, 1.5, 1.75, 10));
    check_found(scaled_config(2, 3, 50, 300));
    check_found(scaled_config(2, 3, 50, 100));
    check_found(scaled_config(6, 0.5, 1000, 4000));
}

/* llama.cpp divides the frequencies of all its architectures. */
static void keeps_linear_positions(void **state)
{
    for (int family = 0; rm_family_of(family); family++) {
        ringmoe_model_config config = plain_config(family);
        ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_GGUF, 0);
        const char *folder = fresh(""), *file = fresh(".gguf");
        config.rope_type = RINGMOE_ROPE_LINEAR;
        config.rope_factor = 1.1; /* no binary fraction */
        write_model(folder, &config, NULL);
        convert(folder, file, &settings);
        check_same(folder, file);
    }
}

static void put_yarn(rm_gguf_writer *writer, const void *user)
{
    rm_gguf_put_text(writer, "llama.rope.scaling.type", "yarn");
    rm_gguf_put_f32(writer, "llama.rope.scaling.factor", 4);
}

static void refuses_other_scalings(void **state)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_LLAMA);
    ringmoe_convert_settings settings = settings_of(RINGMOE_MODEL_GGUF, 0);
    const char *path = fresh(".gguf"), *yarn = fresh(".gguf"), *own = fresh(".gguf");
    make_gguf(&config, 0, path);
    rm_gguf *file = open_gguf(path);
    write_part(file, 0, rm_gguf_count(file), true, put_yarn, NULL, yarn);
    check_open_refused(yarn, "llama.rope.scaling.type: must be none or linear");
    rm_gguf_close(&file);
    config = scaled_config(8, 1, 4, 32);
    make_gguf(&config, 0, own);
    file = open_gguf(own);
    const rm_tensor *divisors = rm_gguf_tensor(file, rm_gguf_count(file) - 1);
    FILE *stream = fopen(own, "r+b");
    fseek(stream, (long)(divisors->data - file->source.map.data) + 12, SEEK_SET);
    fwrite(&(float){3}, 4, 1, stream);
    fclose(stream);
    rm_gguf_close(&file);
    check_open_refused(own, "rope_freqs.weight: is no scaling of Llama 3's kind");
    config = plain_config(RINGMOE_FAMILY_QWEN3);
    config.rope_type = RINGMOE_ROPE_LLAMA3;
    config.rope_factor = 8;
    config.rope_low_factor = 1;
    config.rope_high_factor = 4;
    config.rope_original_positions = 32;
    const char *folder = fresh("");
    write_model(folder, &config, NULL);
    assert_int_equal(ringmoe_convert(context, folder, fresh(".gguf"), &settings),
                     RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(ringmoe_context_error(context), "rope_type llama3"));
}

/* --- keys --- */

static void put_no_experts(rm_gguf_writer *writer, const void *user)
{
    rm_gguf_put_u32(writer, "llama.expert_count", 0);
    rm_gguf_put_u32(writer, "llama.expert_used_count", 0);
}

static void reads_no_experts(void **state)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_LLAMA);
    const char *path = fresh(".gguf"), *more = fresh(".gguf");
    make_gguf(&config, 0, path);
    rm_gguf *file = open_gguf(path);
    write_part(file, 0, rm_gguf_count(file), true, put_no_experts, NULL, more);
    rm_gguf_close(&file);
    check_same(path, more);
}

/* Of a model without a tokenizer; a GGUF file has room for one end. */
static void keeps_ids(void **state)
{
    ringmoe_model_config config = plain_config(RINGMOE_FAMILY_QWEN3), found;
    ringmoe_convert_settings to_folder = settings_of(RINGMOE_MODEL_FOLDER, 0);
    rm_error error = {""};
    const char *folder = fresh(""), *copy = fresh(""), *file = fresh(".gguf");
    config.eos_token_id = (ringmoe_token_ids){2, {7, 9}};
    config.pad_token_id = (ringmoe_token_ids){1, {-1}};
    make_gguf(&config, 0, file);
    assert_int_equal(rm_config_read(file, &found, &error), RINGMOE_OK);
    assert_int_equal(found.bos_token_id.n, 0);
    assert_int_equal(found.eos_token_id.n, 1);
    assert_int_equal(found.eos_token_id.ids[0], 7);
    assert_int_equal(found.pad_token_id.n, 0);
    write_model(folder, &config, NULL);
    convert(folder, copy, &to_folder);
    assert_int_equal(rm_config_read(copy, &found, &error), RINGMOE_OK);
    assert_memory_equal(&found.eos_token_id, &config.eos_token_id, sizeof found.eos_token_id);
    assert_memory_equal(&found.pad_token_id, &config.pad_token_id, sizeof found.pad_token_id);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_blocks_of_others),
        cmocka_unit_test(reads_other_blocks),
        cmocka_unit_test(reads_several_files),
        cmocka_unit_test(refuses_wrong_parts),
        cmocka_unit_test(keeps_scaled_positions),
        cmocka_unit_test(keeps_linear_positions),
        cmocka_unit_test(refuses_other_scalings),
        cmocka_unit_test(reads_no_experts),
        cmocka_unit_test(keeps_ids),
    };
    if (argc != 2) return 2;
    golden = argv[1];
    MPI_Init(&argc, &argv);
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    MPI_Finalize();
    return failed;
}
