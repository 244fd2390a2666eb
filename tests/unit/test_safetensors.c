/* SPDX-License-Identifier: MIT
 *
 * safetensors: round trips, every rule of the format broken once, truncation at every byte and
 * at any moment, random mutations, and exact conversion of stored numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/random.h"
#include "format/safetensors.h"
#include "format/tensor_source.h"
#include "scratch.h"

/* A file's bytes: the length of the header, the header, n_data bytes of data. */
static const char *header_file(const char *header, size_t n_data)
{
    static unsigned char bytes[4096];
    size_t length = strlen(header);
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (unsigned char)length, bytes[1] = (unsigned char)(length >> 8);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < n_data; i++) bytes[8 + length + i] = (unsigned char)i;
    return scratch_file("header.safetensors", bytes, 8 + length + n_data);
}

static void write_example(const char *path)
{
    static const rm_tensor_entry entries[] = {
        {"model.embed", RM_DTYPE_F32, 2, {3, 2}},
        {"empty", RM_DTYPE_F32, 2, {0, 7}},
        {"scalar", RM_DTYPE_F64, 0, {0}},
        {"half \"quoted\" \xc3\xa9", RM_DTYPE_F16, 1, {3}},
        {"brain", RM_DTYPE_BF16, 3, {1, 2, 1}},
    };
    static const float embed[6] = {1, -2, 3.5f, 0, 5, 6};
    static const double scalar = 0.1;
    static const uint16_t half[3] = {0x3C00, 0x0001, 0xC000}, brain[2] = {0x3F80, 0x8000};
    rm_error error = {""};
    rm_safetensors_writer *writer;
    unlink(path);
    assert_int_equal(rm_safetensors_create(path, entries, 5, &writer, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_append(writer, embed, 10, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_append(writer, (const char *)embed + 10, 14, &error),
                     RINGMOE_OK);
    assert_int_equal(rm_safetensors_append(writer, &scalar, 8, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_append(writer, half, 6, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_append(writer, brain, 4, &error), RINGMOE_OK);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(rm_safetensors_commit(&writer, &error), RINGMOE_OK);
    assert_null(writer);
}

static void reads_what_it_wrote(void **state)
{
    const char *path = scratch_path("example.safetensors");
    rm_error error = {""};
    rm_safetensors *file;
    rm_real values[6];
    write_example(path);
    assert_int_equal(rm_safetensors_open(path, &file, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_count(file), 5);

    const rm_tensor *embed = rm_safetensors_find(file, "model.embed");
    assert_non_null(embed);
    assert_int_equal(embed->n_dims, 2);
    assert_int_equal(embed->shape[0], 3);
    assert_int_equal(embed->n_elements, 6);
    rm_tensor_read(rm_kernels_best(), embed, 1, 4, values);
    assert_true(values[0] == -2 && values[1] == 3.5f && values[2] == 0 && values[3] == 5);

    const rm_tensor *scalar = rm_safetensors_find(file, "scalar");
    assert_true(scalar && scalar->n_dims == 0 && scalar->n_elements == 1);
    rm_tensor_read(rm_kernels_best(), scalar, 0, 1, values);
    assert_true(values[0] == (rm_real)0.1);

    rm_tensor_read(rm_kernels_best(), rm_safetensors_find(file, "half \"quoted\" \xc3\xa9"), 0,
                   3, values);
    assert_true(values[0] == 1 && values[1] == (rm_real)0x1p-24 && values[2] == -2);
    rm_tensor_read(rm_kernels_best(), rm_safetensors_find(file, "brain"), 0, 2, values);
    assert_true(values[0] == 1 && values[1] == 0 && signbit(values[1]));
    assert_int_equal(rm_safetensors_find(file, "empty")->n_elements, 0);
    assert_null(rm_safetensors_find(file, "model"));
    assert_null(rm_safetensors_find(file, ""));
    for (int i = 1; i < 5; i++)
        assert_true(rm_safetensors_tensor(file, i - 1)->data <=
                    rm_safetensors_tensor(file, i)->data);
    rm_safetensors_close(&file);
    assert_null(file);
    rm_safetensors_close(&file);
}

/* Shorthands for headers of one or two tensors of 4 bytes. */
#define ENTRY(name, dtype, shape, offsets)                                                     \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{" ENTRY("a", dtype, shape, offsets) "}"
#define TWO(offsets_a, offsets_b)                                                              \
    "{" ENTRY("a", "F32", "[1]", offsets_a) "," ENTRY("b", "F32", "[1]", offsets_b) "}"

static void refuses_broken_headers(void **state)
{
    static const struct {
        const char *header;
        size_t n_data;
        const char *message;
    } files[] = {
        {"", 4, "does not begin with {"},
        {" {}", 0, "does not begin with {"},
        {"[]", 0, "does not begin with {"},
        {"{", 0, "not valid JSON"},
        {"{} x", 0, "not valid JSON"},
        {"{\"a\xff\": 1}", 0, "not valid JSON"},
        {"{\"a\\u0000b\": 1}", 0, "not valid JSON"},
        {"{\"a\": 1}", 0, "tensor a: must have dtype"},
        {"{\"a\\n\\u001b\": 1}", 0, "tensor a??: must have dtype"},
        {"{\"a\": {}}", 0, "tensor a: must have dtype"},
        {"{\"a\": {\"dtype\":\"F32\",\"shape\":[1],\"offsets\":[0,4]}}", 4, "data_offsets"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4],\"more\":1") "}", 4, "nothing else"},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("a", "F32", "[1]", "[4,8]") "}", 8,
         "duplicate"},
        {ONE("I64", "[1]", "[0,8]"), 8, "tensor a: dtype I64 is not supported"},
        {ONE("f32", "[1]", "[0,4]"), 4, "tensor a: dtype f32 is none of safetensors'"},
        {ONE("", "[1]", "[0,4]"), 4, "is none of safetensors'"},
        {ONE("F32", "[1e999]", "[0,4]"), 4, "not valid JSON"},
        {ONE("F32", "[1e2]", "[0,400]"), 400, "not a size"},
        {ONE("F32", "[[[[1]]]]", "[0,4]"), 4, "too deep in each other"},
        {"{\"__metadata__\": {}, \"__metadata__\": {}}", 0, "duplicate"},
        {"{\"__metadata__\": {\"a\": null}}", 0, "not a string"},
        {"{\"a\\\\\": {}}", 0, "tensor a\\: must have dtype"},
        {"{\"a\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is missing"},
        {ONE("F32", "1", "[0,4]"), 4, "shape is missing"},
        {ONE("F32", "[-1]", "[0,4]"), 4, "not a size"},
        {ONE("F32", "[1.0]", "[0,4]"), 4, "not a size"},
        {ONE("F32", "[\"1\"]", "[0,4]"), 4, "not a size"},
        {ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "more than 8"},
        {ONE("F32", "[4294967296,4294967296]", "[0,4]"), 4, "overflows"},
        {ONE("F32", "[4294967296,4294967296,0]", "[0,0]"), 0, "overflows"},
        {ONE("F32", "[4611686018427387904]", "[0,0]"), 0, "need 4611686018427387904 elements"},
        {ONE("F32", "[9223372036854775808]", "[0,0]"), 0, "not a size"},
        {ONE("F32", "[1]", "[0]"), 4, "data_offsets"},
        {ONE("F32", "[1]", "[0,4,8]"), 4, "data_offsets"},
        {ONE("F32", "[1]", "{}"), 4, "data_offsets"},
        {ONE("F32", "[1]", "[0,4.0]"), 4, "data_offsets"},
        {ONE("F32", "[1]", "[-4,0]"), 4, "not inside"},
        {ONE("F32", "[1]", "[4,0]"), 4, "not inside"},
        {ONE("F32", "[1]", "[0,8]"), 4, "not inside"},
        {ONE("F32", "[1]", "[9223372036854775803,9223372036854775807]"), 4, "not inside"},
        {ONE("F32", "[2]", "[0,4]"), 4, "has 4 bytes of data"},
        {ONE("F16", "[1]", "[0,4]"), 4, "has 4 bytes of data"},
        {ONE("F32", "[1]", "[0,4]"), 5, "end at byte 4 of the data, which has 5"},
        {ONE("F32", "[1]", "[1,5]"), 5, "does not begin where"},
        {"{}", 1, "end at byte 0"},
        {TWO("[0,4]", "[0,4]"), 4, "does not begin where"},
        {TWO("[0,4]", "[2,6]"), 6, "does not begin where"},
        {TWO("[0,4]", "[5,9]"), 9, "does not begin where"},
        {"{\"__metadata__\": []}", 0, "__metadata__: is not an object"},
        {"{\"__metadata__\": {\"a\": 1}}", 0, "not a string"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        rm_error error = {""};
        rm_safetensors *file;
        const char *path = header_file(files[i].header, files[i].n_data);
        ringmoe_status status = rm_safetensors_open(path, &file, &error);
        if (status != RINGMOE_ERROR_FORMAT || !strstr(error.text, files[i].message) ||
            strncmp(error.text, path, strlen(path)) != 0)
            fail_msg("%s gave status %d, \"%s\"; expected \"%s\"", files[i].header, status,
                     error.text, files[i].message);
        assert_null(file);
    }
}

static void accepts_unusual_headers(void **state)
{
    static const struct {
        const char *header;
        size_t n_data;
        int count;
    } files[] = {
        {"{}", 0, 0},
        {"{}      ", 0, 0},
        {"{\"__metadata__\": {\"format\": \"pt\"}}", 0, 0},
        {TWO("[4,8]", "[0,4]"), 8, 2},
        {"{" ENTRY("a", "F32", "[1]", "[0,4]") "," ENTRY("b", "F32", "[0]", "[0,0]") "," ENTRY(
             "c", "F16", "[5,0]", "[4,4]") "}",
         4, 3},
        {ONE("F64", "[]", "[0,8]"), 8, 1},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        rm_error error = {""};
        rm_safetensors *file;
        const char *path = header_file(files[i].header, files[i].n_data);
        if (rm_safetensors_open(path, &file, &error) != RINGMOE_OK) fail_msg("%s", error.text);
        assert_int_equal(rm_safetensors_count(file), files[i].count);
        rm_safetensors_close(&file);
    }
}

static void refuses_bad_lengths(void **state)
{
    static const unsigned char lengths[][10] = {
        {3, 0, 0, 0, 0, 0, 0, 0, '{', '}'},
        {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, '{', '}'},
        {0xFA, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, '{', '}'},
        {0, 0, 0, 0, 0, 0, 0, 0x80, '{', '}'},
        {0, 0xE1, 0xF5, 5, 1, 0, 0, 0, '{', '}'},
    };
    rm_safetensors *file;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        rm_error error = {""};
        const char *path = scratch_file("length.safetensors", lengths[i], 10);
        assert_int_equal(rm_safetensors_open(path, &file, &error), RINGMOE_ERROR_FORMAT);
        assert_non_null(strstr(error.text, "header should have"));
    }
    rm_error error = {""};
    assert_int_equal(rm_safetensors_open(scratch_path("none"), &file, &error),
                     RINGMOE_ERROR_FILE);
    assert_int_equal(rm_safetensors_open(scratch_folder, &file, &error), RINGMOE_ERROR_FILE);
}

/* What would take memory or the stack is refused before it is parsed. */
static void refuses_bombs(void **state)
{
    static const struct {
        const char *unit, *message;
    } bombs[] = {{"[", "too deep in each other"},
                 {"{\"a\":", "too deep in each other"},
                 {"{},", "more values than"},
                 {"1,", "more values than such a file has"},
                 {"[],", "more values than such a file has"}};
    enum { BYTES = 1 << 16 };
    char *bytes = calloc(1, BYTES + 8);
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        size_t length = strlen(bombs[i].unit);
        bytes[2] = 1;
        memcpy(bytes + 8, "{\"a\":[", 6);
        for (size_t at = 6; at < BYTES; at++) bytes[8 + at] = bombs[i].unit[(at - 6) % length];
        const char *path = scratch_file("bomb.safetensors", bytes, BYTES + 8);
        rm_error error = {""};
        rm_safetensors *file;
        assert_int_equal(rm_safetensors_open(path, &file, &error), RINGMOE_ERROR_FORMAT);
        if (!strstr(error.text, bombs[i].message)) fail_msg("%s", error.text);
    }
    free(bytes);
}

/* The example as bytes; the caller frees them. */
static char *example_bytes(int64_t *size)
{
    const char *path = scratch_path("whole.safetensors");
    rm_error error = {""};
    char *bytes;
    write_example(path);
    assert_int_equal(rm_file_read(path, 1 << 20, &bytes, size, &error), RINGMOE_OK);
    return bytes;
}

static void refuses_every_truncation(void **state)
{
    int64_t size;
    char *bytes = example_bytes(&size);
    for (int64_t cut = 0; cut < size; cut++) {
        rm_error error = {""};
        rm_safetensors *file;
        const char *path = scratch_file("cut.safetensors", bytes, (size_t)cut);
        assert_int_equal(rm_safetensors_open(path, &file, &error), RINGMOE_ERROR_FORMAT);
        assert_true(error.text[0]);
    }
    free(bytes);
}

/* A header's reader that finds the file cut after it was looked at. */
static ringmoe_status read_cut_header(void *argument, rm_error *error)
{
    const rm_tensor_source *source = argument;
    char bytes[16];
    assert_int_equal(rm_tensor_source_read(source, 0, bytes, 16, error), RINGMOE_OK);
    assert_int_equal(truncate(source->path, 12), 0);
    return rm_tensor_source_read(source, 0, bytes, 16, error);
}

static void says_that_a_file_was_cut(void **state)
{
    int64_t size;
    char *bytes = example_bytes(&size);
    const char *path = scratch_file("shrinks.safetensors", bytes, (size_t)size);
    rm_tensor_source source;
    rm_error error = {""};
    assert_int_equal(rm_tensor_source_open(&source, path, read_cut_header, &source, &error),
                     RINGMOE_ERROR_FILE);
    assert_non_null(strstr(error.text, "shrinks.safetensors: its header"));
    assert_non_null(strstr(error.text, "became shorter"));
    rm_tensor_source_close(&source);
    free(bytes);
}

/* Somebody who cuts a file and fills it again, until told to stop. */
typedef struct cutter {
    const char *path, *bytes;
    size_t size;
    atomic_bool stop;
} cutter;

static void *cut_and_fill(void *argument)
{
    cutter *other = argument;
    int file = open(other->path, O_WRONLY | O_CLOEXEC);
    while (!atomic_load(&other->stop) && ftruncate(file, 9) == 0 &&
           pwrite(file, other->bytes, other->size, 0) > 0)
        continue;
    close(file);
    return NULL;
}

/* A header of many pages, so that there is time between looking at the file and reading. */
static void survives_being_cut(void **state)
{
    enum { SIZE = 1 << 20, LENGTH_BYTES = 8, OPENINGS = 1000 };
    char *bytes = calloc(1, SIZE);
    bytes[2] = 15;
    memset(bytes + LENGTH_BYTES, ' ', SIZE - LENGTH_BYTES);
    bytes[LENGTH_BYTES] = '{';
    cutter other = {scratch_file("other.safetensors", bytes, SIZE), bytes, SIZE, false};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cut_and_fill, &other), 0);
    for (int i = 0; i < OPENINGS; i++) {
        rm_error error = {""};
        rm_safetensors *file;
        assert_int_not_equal(rm_safetensors_open(other.path, &file, &error), RINGMOE_OK);
        assert_true(error.text[0]);
    }
    atomic_store(&other.stop, true);
    pthread_join(thread, NULL);
    free(bytes);
}

/* Whatever opens must be readable to its last element. */
static void read_everything(const rm_safetensors *file)
{
    for (int i = 0; i < rm_safetensors_count(file); i++) {
        const rm_tensor *tensor = rm_safetensors_tensor(file, i);
        rm_real values[64];
        assert_true(tensor->n_elements <= 64);
        rm_tensor_read(rm_kernels_best(), tensor, 0, tensor->n_elements, values);
        assert_ptr_equal(rm_safetensors_find(file, tensor->name), tensor);
    }
}

static void survives_mutations(void **state)
{
    static const char alphabet[] = "0123456789{}[]:,\"-FB ";
    int64_t size;
    char *bytes = example_bytes(&size), *mutated = malloc((size_t)size);
    int n_opened = 0;
    for (uint64_t trial = 0; trial < 4000; trial++) {
        uint32_t words[4];
        rm_random_words((rm_random_key){3, 4}, trial, words);
        memcpy(mutated, bytes, (size_t)size);
        char change = words[1] % 4 ? alphabet[(words[1] >> 8) % (sizeof alphabet - 1)]
                                   : (char)(words[1] >> 8);
        mutated[words[0] % (uint64_t)size] = change;
        if (words[3] % 2) mutated[words[2] % (uint64_t)size] = (char)(words[3] >> 8);
        rm_error error = {""};
        rm_safetensors *file;
        const char *path = scratch_file("mutated.safetensors", mutated, (size_t)size);
        ringmoe_status status = rm_safetensors_open(path, &file, &error);
        assert_true(status == RINGMOE_OK || status == RINGMOE_ERROR_FORMAT);
        if (status != RINGMOE_OK) continue;
        read_everything(file);
        rm_safetensors_close(&file);
        n_opened++;
    }
    assert_true(n_opened > 0);
    free(mutated);
    free(bytes);
}

static void writer_counts_bytes(void **state)
{
    static const rm_tensor_entry entry = {"a", RM_DTYPE_F32, 1, {2}};
    static const float data[3] = {1, 2, 3};
    const char *path = scratch_path("counted.safetensors");
    const char *temporary = scratch_path("counted.safetensors.tmp");
    rm_error error = {""};
    rm_safetensors_writer *writer;
    assert_int_equal(rm_safetensors_create(path, &entry, 1, &writer, &error), RINGMOE_OK);
    assert_int_equal(access(temporary, F_OK), 0);
    assert_int_equal(rm_safetensors_append(writer, data, 12, &error), RINGMOE_ERROR_FORMAT);
    assert_int_equal(rm_safetensors_append(writer, data, 4, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_commit(&writer, &error), RINGMOE_ERROR_FORMAT);
    assert_non_null(strstr(error.text, "got 4 bytes of data, but its entries promise 8"));
    assert_null(writer);
    assert_int_equal(rm_safetensors_create(path, &entry, 1, &writer, &error), RINGMOE_OK);
    rm_safetensors_abandon(&writer);
    rm_safetensors_abandon(&writer);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(temporary, F_OK), 0);
}

static void writer_refuses_bad_entries(void **state)
{
    static const rm_tensor_entry twice[] = {{"a", RM_DTYPE_F32, 1, {2}},
                                            {"a", RM_DTYPE_F32, 1, {2}}};
    static const rm_tensor_entry bad[] = {{"n", RM_DTYPE_F32, 1, {-1}},
                                          {"o", RM_DTYPE_F32, 2, {INT64_MAX / 4, 8}},
                                          {"d", RM_DTYPE_F32, 9, {1}},
                                          {"\xff", RM_DTYPE_F32, 1, {1}}};
    const char *path = scratch_path("bad.safetensors");
    rm_error error = {""};
    rm_safetensors_writer *writer;
    assert_int_equal(rm_safetensors_create(path, twice, 2, &writer, &error),
                     RINGMOE_ERROR_FORMAT);
    assert_non_null(strstr(error.text, "named twice"));
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rm_safetensors_create(path, &bad[i], 1, &writer, &error),
                         RINGMOE_ERROR_FORMAT);
        assert_null(writer);
    }
    assert_int_equal(rm_safetensors_create(scratch_path("no/where"), twice, 1, &writer, &error),
                     RINGMOE_ERROR_FILE);
    assert_null(writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_wrote),
        cmocka_unit_test(refuses_broken_headers),
        cmocka_unit_test(accepts_unusual_headers),
        cmocka_unit_test(refuses_bad_lengths),
        cmocka_unit_test(refuses_bombs),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(says_that_a_file_was_cut),
        cmocka_unit_test(survives_being_cut),
        cmocka_unit_test(survives_mutations),
        cmocka_unit_test(writer_counts_bytes),
        cmocka_unit_test(writer_refuses_bad_entries),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
