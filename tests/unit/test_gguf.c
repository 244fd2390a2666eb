/* SPDX-License-Identifier: MIT
 *
 * GGUF files: what the writer makes the reader reads; each way in which readers of the format
 * have gone wrong is a damaged file here, and so is every good one that is cut short.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "format/dtype.h"
#include "format/gguf.h"
#include "format/gguf_write.h"
#include "scratch.h"

/* --- files by hand --- */

static unsigned char bytes[1 << 16];
static size_t n_bytes;

static void put(const void *data, size_t size)
{
    assert_true(n_bytes + size <= sizeof bytes);
    memcpy(bytes + n_bytes, data, size);
    n_bytes += size;
}

static void put_u32(uint32_t value)
{
    put(&value, sizeof value);
}

static void put_u64(uint64_t value)
{
    put(&value, sizeof value);
}

static void put_text(const char *text)
{
    put_u64(strlen(text));
    put(text, strlen(text));
}

static void begin(uint64_t n_tensors, uint64_t n_values)
{
    n_bytes = 0;
    put("GGUF", 4);
    put_u32(3);
    put_u64(n_tensors);
    put_u64(n_values);
}

static void put_tensor(const char *name, uint32_t type, uint64_t columns, uint64_t rows,
                       uint64_t offset)
{
    put_text(name);
    put_u32(2);
    put_u64(columns);
    put_u64(rows);
    put_u32(type);
    put_u64(offset);
}

/* The padding behind the header and `size` bytes of data. */
static void put_data(size_t size)
{
    static const unsigned char zeros[4096];
    put(zeros, (32 - n_bytes % 32) % 32);
    put(zeros, size);
}

static void check_refused(const char *words)
{
    rm_error error = {""};
    rm_gguf *file;
    const char *path = scratch_file("bad.gguf", bytes, n_bytes);
    assert_int_equal(rm_gguf_open(path, &file, &error), RINGMOE_ERROR_FORMAT);
    assert_null(file);
    if (!strstr(error.text, words) || !strstr(error.text, "bad.gguf: "))
        fail_msg("\"%s\" does not say \"%s\"", error.text, words);
}

static void check_accepted(void)
{
    rm_error error = {""};
    rm_gguf *file;
    const char *path = scratch_file("good.gguf", bytes, n_bytes);
    if (rm_gguf_open(path, &file, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    rm_gguf_close(&file);
}

/* --- what is written is read --- */

static void write_some(const char *path)
{
    static const char *const texts[] = {"a", "", "\xe2\x96\x81word"};
    static const int32_t types[] = {1, 3, 6};
    rm_tensor_entry first = {"first", RM_DTYPE_F32, 2, {3, 5}};
    rm_tensor_entry second = {"second", RM_DTYPE_Q8_0, 3, {2, 1, 64}};
    rm_error error = {""};
    rm_gguf_writer *writer;
    char data[15 * 4 + 4 * 34];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (char)i;
    assert_int_equal(rm_gguf_writer_create(&writer, &error), RINGMOE_OK);
    rm_gguf_put_text(writer, "general.architecture", "llama");
    rm_gguf_put_u32(writer, "number", 4000000000u);
    rm_gguf_put_f32(writer, "real", 0.5);
    rm_gguf_put_bool(writer, "truth", true);
    rm_gguf_put_texts(writer, "texts", texts, 3);
    rm_gguf_put_numbers(writer, "types", RM_GGUF_I32, types, 3);
    assert_int_equal(rm_gguf_put_tensor(writer, &first, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_put_tensor(writer, &second, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_begin(writer, path, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_append(writer, data, 7, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_append(writer, data + 7, sizeof data - 7, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_append(writer, data, 1, &error), RINGMOE_ERROR_FORMAT);
    assert_int_equal(rm_gguf_commit(&writer, &error), RINGMOE_OK);
}

static void check_values(const rm_gguf *file)
{
    int64_t whole;
    double real;
    assert_int_equal(rm_gguf_value_count(file), 6);
    assert_null(rm_gguf_find(file, "numbe"));
    assert_true(rm_gguf_integer(rm_gguf_find(file, "number"), 0, &whole));
    assert_true(whole == 4000000000);
    assert_true(rm_gguf_number(rm_gguf_find(file, "real"), 0, &real) && real == 0.5);
    assert_false(rm_gguf_integer(rm_gguf_find(file, "real"), 0, &whole));
    assert_true(rm_gguf_integer(rm_gguf_find(file, "truth"), 0, &whole) && whole == 1);
    const rm_gguf_value *texts = rm_gguf_find(file, "texts");
    assert_true(texts->is_array && texts->n == 3 && texts->type == RM_GGUF_STRING);
    assert_int_equal(texts->texts[1].length, 0);
    assert_memory_equal(texts->texts[2].bytes, "\xe2\x96\x81word", 7);
    assert_false(rm_gguf_integer(texts, 0, &whole) || rm_gguf_number(texts, 0, &real));
    const rm_gguf_value *types = rm_gguf_find(file, "types");
    assert_true(rm_gguf_integer(types, 2, &whole) && whole == 6);
    assert_false(rm_gguf_integer(types, 3, &whole) || rm_gguf_integer(types, -1, &whole) ||
                 rm_gguf_number(types, 3, &real));
}

static void reads_what_was_written(void **state)
{
    rm_error error = {""};
    rm_gguf *file;
    const char *path = scratch_path("some.gguf");
    write_some(path);
    if (rm_gguf_open(path, &file, &error) != RINGMOE_OK) fail_msg("%s", error.text);
    check_values(file);
    assert_int_equal(rm_gguf_count(file), 2);
    const rm_tensor *first = rm_gguf_tensor(file, 0), *second = rm_gguf_tensor(file, 1);
    assert_string_equal(first->name, "first");
    assert_true(first->n_dims == 2 && first->shape[0] == 3 && first->shape[1] == 5);
    assert_true(first->dtype == RM_DTYPE_F32 && first->data[14] == 14);
    assert_true(second->n_dims == 3 && second->shape[0] == 2 && second->shape[2] == 64);
    assert_true(second->dtype == RM_DTYPE_Q8_0 && second->n_elements == 128);
    assert_true((second->data - first->data) == 64 && second->data[0] == 60);
    assert_true(rm_tensor_at(second, 96) == second->data + 3 * 34);
    rm_gguf_close(&file);
}

static void refuses_to_write_nonsense(void **state)
{
    rm_tensor_entry odd = {"odd", RM_DTYPE_Q4_0, 2, {4, 33}};
    rm_tensor_entry empty = {"empty", RM_DTYPE_F32, 2, {4, 0}};
    rm_tensor_entry whole = {"whole", RM_DTYPE_F32, 1, {4}};
    rm_error error = {""};
    rm_gguf_writer *writer;
    assert_int_equal(rm_gguf_writer_create(&writer, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_put_tensor(writer, &odd, &error), RINGMOE_ERROR_FORMAT);
    assert_int_equal(rm_gguf_put_tensor(writer, &empty, &error), RINGMOE_ERROR_FORMAT);
    memset(whole.name, 'x', 64);
    assert_int_equal(rm_gguf_put_tensor(writer, &whole, &error), RINGMOE_ERROR_FORMAT);
    whole.name[63] = 0;
    assert_int_equal(rm_gguf_put_tensor(writer, &whole, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_begin(writer, scratch_path("cut.gguf"), &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_append(writer, "1234", 4, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_commit(&writer, &error), RINGMOE_ERROR_FORMAT);
    assert_null(writer);
    assert_int_not_equal(access(scratch_path("cut.gguf"), F_OK), 0);
}

/* --- damaged files --- */

static void refuses_other_files(void **state)
{
    begin(0, 0);
    check_accepted();
    bytes[0] = 'g';
    check_refused("is no GGUF file");
    begin(0, 0);
    bytes[4] = 1;
    check_refused("is of version 1");
    memcpy(bytes + 4, "\0\0\0\3", 4);
    check_refused("big-endian");
}

static void refuses_lengths_that_wrap(void **state)
{
    static const uint64_t counts[] = {UINT64_MAX, (uint64_t)1 << 61, ((uint64_t)1 << 62) + 1,
                                      (uint64_t)1 << 40};
    for (int i = 0; i < 4; i++) {
        begin(0, counts[i]);
        check_refused("its header goes on");
        begin(counts[i], 0);
        check_refused("its header goes on");
        for (uint32_t type = 0; type < RM_GGUF_N_TYPES; type++) {
            if (type == RM_GGUF_ARRAY) continue;
            begin(0, 1);
            put_text("list");
            put_u32(RM_GGUF_ARRAY);
            put_u32(type);
            put_u64(counts[i]);
            check_refused("its header goes on");
        }
        begin(0, 1);
        put_text("text");
        put_u32(RM_GGUF_STRING);
        put_u64(counts[i]);
        check_refused("its header goes on");
        begin(0, 1);
        put_u64(counts[i]);
        check_refused("its header goes on");
    }
}

static void refuses_sizes_that_wrap(void **state)
{
    begin(1, 0);
    put_tensor("t", 0, (uint64_t)1 << 32, (uint64_t)1 << 32, 0);
    check_refused("tensor t: the product of its sizes overflows");
    begin(1, 0);
    put_tensor("t", 0, (uint64_t)1 << 31, (uint64_t)1 << 31, 0);
    check_refused("tensor t: its size overflows");
    begin(1, 0); /* the bytes fit, the padding does not */
    put_tensor("t", 30, ((uint64_t)1 << 62) - 1, 1, 0);
    check_refused("tensor t: its size overflows");
    begin(1, 0);
    put_tensor("t", 0, UINT64_MAX, 1, 0);
    check_refused("tensor t: has a size of none");
    begin(1, 0);
    put_tensor("t", 0, 0, 1, 0);
    check_refused("tensor t: has a size of none");
    begin(3, 0); /* each fits, the sum does not */
    put_tensor("a", 30, (uint64_t)1 << 60, 1, 0);
    put_tensor("b", 30, (uint64_t)1 << 60, 1, (uint64_t)1 << 61);
    put_tensor("c", 30, (uint64_t)1 << 61, 1, (uint64_t)1 << 62);
    check_refused("tensor c: its size overflows");
}

static void refuses_data_elsewhere(void **state)
{
    begin(2, 0);
    put_tensor("a", 0, 4, 1, 0);
    put_tensor("b", 0, 4, 1, 32);
    put_data(48);
    check_accepted();
    n_bytes += 16;
    check_accepted();
    n_bytes += 1;
    check_refused("its tensors take 48 bytes, and 65 are there");
    n_bytes -= 18;
    check_refused("or cut short");
    static const uint64_t offsets[] = {0, 16, 64, UINT64_MAX, (uint64_t)1 << 63};
    for (int i = 0; i < 5; i++) {
        begin(2, 0);
        put_tensor("a", 0, 4, 1, 0);
        put_tensor("b", 0, 4, 1, offsets[i]);
        put_data(96);
        check_refused("tensor b: its data does not begin where the tensor before it ends");
    }
}

static void begin_alignment(uint32_t type, uint64_t value, size_t size)
{
    begin(1, 1);
    put_text("general.alignment");
    put_u32(type);
    put(&value, size);
    put_tensor("t", 0, 4, 1, 0);
}

static void refuses_alignments(void **state)
{
    static const uint32_t bad[] = {0, 3, 48, 1 << 17, UINT32_MAX, 1u << 31};
    for (int i = 0; i < 6; i++) {
        begin_alignment(RM_GGUF_U32, bad[i], 4);
        put_data(32);
        check_refused("general.alignment");
    }
    begin_alignment(RM_GGUF_I32, (uint32_t)-32, 4);
    check_refused("general.alignment");
    begin_alignment(RM_GGUF_F32, 0x42000000, 4);
    check_refused("general.alignment");
    begin_alignment(RM_GGUF_STRING, 0, 8);
    check_refused("general.alignment");
    begin_alignment(RM_GGUF_U32, 8, 4);
    while (n_bytes % 8) put("", 1);
    put("0123456789abcdef", 16);
    check_accepted();
}

static void refuses_numbers_out_of_range(void **state)
{
    static const uint32_t dims[] = {0, 5, UINT32_MAX, 1u << 31};
    for (int i = 0; i < 4; i++) {
        begin(1, 0);
        put_text("t");
        put_u32(dims[i]);
        put_data(256);
        check_refused("tensor t: has no dimensions or more than 4");
    }
    static const uint32_t types[] = {9, 4, 39, 28, 200, UINT32_MAX};
    for (int i = 0; i < 6; i++) {
        begin(1, 0);
        put_tensor("t", types[i], 32, 1, 0);
        put_data(256);
        check_refused("is not read; take a file in F32, F16, BF16");
    }
    for (uint32_t type = RM_GGUF_N_TYPES; type < RM_GGUF_N_TYPES + 4; type++) {
        begin(0, 1);
        put_text("key");
        put_u32(type == RM_GGUF_N_TYPES + 3 ? UINT32_MAX : type);
        put_data(64);
        check_refused("key key: is of an unknown type");
        begin(0, 1);
        put_text("key");
        put_u32(RM_GGUF_ARRAY);
        put_u32(type == RM_GGUF_N_TYPES + 3 ? 1u << 31 : type);
        put_data(64);
        check_refused("key key: is of an unknown type");
    }
    begin(1, 0);
    put_tensor("t", 8, 48, 2, 0);
    put_data(256);
    check_refused("tensor t: its rows are no whole blocks");
}

static void refuses_values(void **state)
{
    begin(0, 1);
    put_text("key");
    put_u32(RM_GGUF_BOOL);
    put("\2", 1);
    check_refused("key key: holds a truth value");
    begin(0, 1);
    put_text("key");
    put_u32(RM_GGUF_ARRAY);
    put_u32(RM_GGUF_ARRAY);
    put_u64(1);
    put_data(64);
    check_refused("key key: is a list of lists");
    for (int i = 0; i < 2; i++) {
        begin(0, 2);
        for (int j = 0; j < 2; j++) {
            put_text(i == 0 ? "key" : "\x1b[2J");
            put_u32(RM_GGUF_U8);
            put("", 1);
        }
        check_refused(i == 0 ? "key key: is there twice" : "key ?[2J: is there twice");
    }
}

static void refuses_names(void **state)
{
    char name[65];
    memset(name, 'n', sizeof name - 1);
    name[64] = 0;
    begin(1, 0);
    put_tensor(name, 0, 4, 1, 0);
    put_data(16);
    check_refused("a tensor's name has 64 bytes");
    name[63] = 0;
    begin(1, 0);
    put_tensor(name, 0, 4, 1, 0);
    put_data(16);
    check_accepted();
    begin(1, 0);
    put_tensor("", 0, 4, 1, 0);
    put_data(16);
    check_refused("a tensor's name has 0 bytes");
    begin(2, 0);
    put_tensor("t", 0, 4, 1, 0);
    put_tensor("t", 0, 4, 1, 32);
    put_data(48);
    check_refused("tensor t: is there twice");
    begin(0, 1);
    put_u64(3);
    put("a\0b", 3);
    put_data(64);
    check_refused("has a zero byte in it");
    begin(0, 1);
    put_u64(0);
    put_data(64);
    check_refused("is empty or longer");
}

static void refuses_every_cut(void **state)
{
    const char *path = scratch_path("some.gguf");
    write_some(path);
    FILE *file = fopen(path, "rb");
    size_t whole = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    /* The last 24 bytes are padding. */
    for (n_bytes = 0; n_bytes < whole - 24; n_bytes++) check_refused("");
    for (; n_bytes <= whole; n_bytes++) check_accepted();
}

/* A header that is longer than what is read of it at first. */
static void reads_a_long_header(void **state)
{
    enum { N = 300000 };
    const char *path = scratch_path("long.gguf");
    rm_error error = {""};
    rm_gguf_writer *writer;
    rm_gguf *file;
    const char **texts = calloc(N, sizeof *texts);
    for (int i = 0; i < N; i++) texts[i] = i % 2 ? "odd" : "evenly";
    assert_int_equal(rm_gguf_writer_create(&writer, &error), RINGMOE_OK);
    rm_gguf_put_texts(writer, "texts", texts, N);
    rm_gguf_put_u32(writer, "last", 7);
    assert_int_equal(rm_gguf_begin(writer, path, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_commit(&writer, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_open(path, &file, &error), RINGMOE_OK);
    assert_int_equal(rm_gguf_find(file, "texts")->n, N);
    assert_memory_equal(rm_gguf_find(file, "texts")->texts[N - 1].bytes, "odd", 3);
    assert_non_null(rm_gguf_find(file, "last"));
    rm_gguf_close(&file);
    free(texts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_was_written),
        cmocka_unit_test(refuses_to_write_nonsense),
        cmocka_unit_test(refuses_other_files),
        cmocka_unit_test(refuses_lengths_that_wrap),
        cmocka_unit_test(refuses_sizes_that_wrap),
        cmocka_unit_test(refuses_data_elsewhere),
        cmocka_unit_test(refuses_alignments),
        cmocka_unit_test(refuses_numbers_out_of_range),
        cmocka_unit_test(refuses_values),
        cmocka_unit_test(refuses_names),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(reads_a_long_header),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
