/* SPDX-License-Identifier: MIT
 *
 * A rank's part of a stored matrix: rows, narrow and wide columns, whole and from the middle,
 * for any number of threads; what the disk is asked for; and a file that was cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#include "format/dtype.h"
#include "model/part_read.h"
#include "scratch.h"

/* What this program's madvise was asked to have read. */
static struct request {
    const char *begin;
    int64_t bytes;
    int n;
} asked;

/* Hidden from UCX, which puts its own in the place of the one it finds. */
__attribute__((visibility("hidden"))) int madvise(void *address, size_t length, int advice)
{
    if (advice == MADV_WILLNEED)
        asked = (struct request){address, (int64_t)length, asked.n + 1};
    return 0;
}

/* A matrix whose element i is i; exact in fp32. */
static rm_safetensors *open_matrix(int64_t rows, int64_t columns)
{
    rm_tensor_entry entry = {"m", RM_DTYPE_F32, 2, {rows, columns}};
    const char *path = scratch_path("matrix.safetensors");
    rm_error error = {""};
    rm_safetensors_writer *writer;
    rm_safetensors *file;
    int64_t n = rows * columns;
    float *data = calloc((size_t)n, sizeof *data);
    assert_true(data && n < 1 << 24);
    for (int64_t i = 0; i < n; i++) data[i] = (float)i;
    assert_int_equal(rm_safetensors_create(path, &entry, 1, &writer, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_append(writer, data, n * (int64_t)sizeof *data, &error),
                     RINGMOE_OK);
    assert_int_equal(rm_safetensors_commit(&writer, &error), RINGMOE_OK);
    free(data);
    assert_int_equal(rm_safetensors_open(path, &file, &error), RINGMOE_OK);
    return file;
}

/* Reads elements [first, first + n) of a part and compares them with where they should lie. */
static void check_range(const rm_tensor *tensor, const rm_parameter *parameter,
                        const rm_parameter_part *part, int64_t first, int64_t n, int n_threads)
{
    rm_compute compute = {.kernels = rm_kernels_best(), .n_threads = n_threads};
    rm_error error = {""};
    rm_real *values = calloc((size_t)n + 1, sizeof *values);
    values[n] = -1;
    rm_weight_place place = {.tensor = tensor};
    assert_int_equal(rm_part_read(&compute, &place, parameter, part, first, n, values, &error),
                     RINGMOE_OK);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = part->first_row + (first + i) / part->n_columns;
        int64_t column = part->first_column + (first + i) % part->n_columns;
        if (values[i] != (rm_real)(row * parameter->shape[1] + column))
            fail_msg("element %lld of the part is %g", (long long)(first + i),
                     (double)values[i]);
    }
    assert_true(values[n] == -1);
    free(values);
}

/* Whole rows come as they are stored. */
static void check_copy(const rm_tensor *tensor, const rm_parameter *parameter,
                       const rm_parameter_part *part)
{
    rm_compute compute = {.kernels = rm_kernels_best(), .n_threads = 3};
    rm_error error = {""};
    size_t bytes = (size_t)part->n_elements * sizeof(float);
    char *stored = malloc(bytes + 1);
    stored[bytes] = 'x';
    rm_weight_place place = {.tensor = tensor};
    assert_int_equal(rm_part_copy(&compute, &place, parameter, part, stored, &error),
                     RINGMOE_OK);
    assert_memory_equal(stored, rm_tensor_at(tensor, part->first_row * parameter->shape[1]),
                        bytes);
    assert_int_equal(stored[bytes], 'x');
    free(stored);
}

static void check_matrix(int64_t rows, int64_t columns, rm_slice slice, int n_ranks)
{
    rm_safetensors *file = open_matrix(rows, columns);
    const rm_tensor *tensor = rm_safetensors_find(file, "m");
    rm_parameter parameter = {.n_dims = 2, .shape = {rows, columns}, .slice = slice};
    for (int rank = 0; rank < n_ranks; rank++) {
        rm_parameter_part part = rm_parameter_part_of(&parameter, n_ranks, rank);
        int64_t n = part.n_elements;
        check_range(tensor, &parameter, &part, 0, n, 1 + rank);
        check_range(tensor, &parameter, &part, n / 3, n / 2, 3);
        check_range(tensor, &parameter, &part, n - 1, 1, 2);
        check_range(tensor, &parameter, &part, n, 0, 2);
        if (slice != RM_SLICE_COLUMNS) check_copy(tensor, &parameter, &part);
    }
    rm_safetensors_close(&file);
}

static void reads_rows(void **state)
{
    check_matrix(1000, 700, RM_SLICE_NONE, 1);
    check_matrix(1000, 700, RM_SLICE_ROWS, 3);
    check_matrix(2, 3, RM_SLICE_ROWS, 2);
}

static void reads_narrow_columns(void **state)
{
    check_matrix(3000, 301, RM_SLICE_COLUMNS, 3);
    check_matrix(100000, 9, RM_SLICE_COLUMNS, 4);
    check_matrix(5, 200000, RM_SLICE_COLUMNS, 20);
}

static void reads_wide_columns(void **state)
{
    check_matrix(11, 70001, RM_SLICE_COLUMNS, 2);
    check_matrix(2, 700001, RM_SLICE_COLUMNS, 2);
}

/* The part's bytes are asked for, from its first to its last, and not a page more. */
static void check_asked(const rm_tensor *tensor, const rm_parameter *parameter,
                        const rm_parameter_part *part)
{
    const char *matrix = (const char *)tensor->data;
    int64_t page = sysconf(_SC_PAGESIZE), size = sizeof(float);
    int64_t last = part->n_elements - 1, row = last / part->n_columns;
    int64_t begin = part->first_row * parameter->shape[1] + part->first_column;
    int64_t end = (part->first_row + row) * parameter->shape[1] + part->first_column +
                  last % part->n_columns + 1;
    rm_weight_place place = {.tensor = tensor};
    asked = (struct request){0};
    rm_part_ask(&place, parameter, part, 0, part->n_elements);
    assert_int_equal(asked.n, 1);
    assert_true(asked.begin <= matrix + begin * size &&
                asked.begin > matrix + begin * size - page);
    assert_true(asked.begin + asked.bytes == matrix + end * size);
}

static void asks_for_parts(void **state)
{
    enum { ROWS = 1000, COLUMNS = 700, RANKS = 3 };
    static const rm_slice slices[] = {RM_SLICE_NONE, RM_SLICE_ROWS, RM_SLICE_COLUMNS};
    rm_safetensors *file = open_matrix(ROWS, COLUMNS);
    for (size_t i = 0; i < sizeof slices / sizeof *slices; i++) {
        rm_parameter parameter = {.n_dims = 2, .shape = {ROWS, COLUMNS}, .slice = slices[i]};
        for (int rank = 0; rank < RANKS; rank++) {
            rm_parameter_part part = rm_parameter_part_of(&parameter, RANKS, rank);
            check_asked(rm_safetensors_find(file, "m"), &parameter, &part);
        }
    }
    rm_safetensors_close(&file);
}

static void names_a_file_that_was_cut(void **state)
{
    enum { ROWS = 1000, COLUMNS = 700 };
    rm_safetensors *file = open_matrix(ROWS, COLUMNS);
    rm_parameter parameter = {.n_dims = 2, .shape = {ROWS, COLUMNS}};
    rm_parameter_part part = rm_parameter_part_of(&parameter, 1, 0);
    rm_compute compute = {.kernels = rm_kernels_best(), .n_threads = 2};
    rm_error error = {""};
    rm_real *values = calloc(ROWS * COLUMNS, sizeof *values);
    assert_int_equal(truncate(scratch_path("matrix.safetensors"), 1 << 20), 0);
    rm_weight_place place = {.tensor = rm_safetensors_find(file, "m")};
    rm_part_ask(&place, &parameter, &part, 0, part.n_elements);
    assert_int_equal(
        rm_part_read(&compute, &place, &parameter, &part, 0, part.n_elements, values, &error),
        RINGMOE_ERROR_FILE);
    assert_non_null(strstr(error.text, "matrix.safetensors: tensor m cannot be read"));
    free(values);
    rm_safetensors_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rows),
        cmocka_unit_test(reads_narrow_columns),
        cmocka_unit_test(reads_wide_columns),
        cmocka_unit_test(asks_for_parts),
        cmocka_unit_test(names_a_file_that_was_cut),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
