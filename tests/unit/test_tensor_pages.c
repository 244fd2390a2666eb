/* SPDX-License-Identifier: MIT
 *
 * Pages of a mapped file: one that is cut while it is open is an error, and what was read is
 * given back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/mman.h>

#include "format/safetensors.h"
#include "scratch.h"

/* A file of one tensor, "long", with the values 0, 1, .. */
static const char *write_long(int n)
{
    const rm_tensor_entry entry = {"long", RM_DTYPE_F32, 1, {n}};
    const char *path = scratch_path("long.safetensors");
    rm_error error = {""};
    rm_safetensors_writer *writer;
    float *data = calloc((size_t)n, sizeof *data);
    for (int i = 0; i < n; i++) data[i] = (float)i;
    assert_int_equal(rm_safetensors_create(path, &entry, 1, &writer, &error), RINGMOE_OK);
    assert_int_equal(rm_safetensors_append(writer, data, n * (int64_t)sizeof *data, &error),
                     RINGMOE_OK);
    assert_int_equal(rm_safetensors_commit(&writer, &error), RINGMOE_OK);
    free(data);
    return path;
}

/* A file that is cut while it is open is an error, not the end of the process. */
static void notices_files_that_shrink(void **state)
{
#ifdef MADV_POPULATE_READ
    enum { ELEMENTS = 1 << 16 };
    rm_error error = {""};
    rm_safetensors *file;
    const char *path = write_long(ELEMENTS);
    assert_int_equal(rm_safetensors_open(path, &file, &error), RINGMOE_OK);
    const rm_tensor *tensor = rm_safetensors_find(file, "long");
    assert_int_equal(rm_tensor_fetch(tensor, 0, ELEMENTS, &error), RINGMOE_OK);
    rm_tensor_release(tensor, 0, ELEMENTS);
    assert_int_equal(rm_tensor_fetch(tensor, ELEMENTS, 0, &error), RINGMOE_OK);
    assert_int_equal(truncate(path, 1 << 17), 0);
    assert_int_equal(rm_tensor_fetch(tensor, 0, 1 << 10, &error), RINGMOE_OK);
    assert_int_equal(rm_tensor_fetch(tensor, 0, ELEMENTS, &error), RINGMOE_ERROR_FILE);
    assert_non_null(strstr(error.text, "tensor long cannot be read; the file became shorter"));
    assert_int_equal(strncmp(error.text, path, strlen(path)), 0);
    rm_safetensors_close(&file);
#endif
}

/* Pages of this process that are files'. */
static long resident_file_bytes(void)
{
    long total = 0, resident = 0, shared = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm && fscanf(statm, "%ld %ld %ld", &total, &resident, &shared) != 3) shared = 0;
    if (statm) fclose(statm);
    return shared * sysconf(_SC_PAGESIZE);
}

static void gives_pages_back(void **state)
{
    enum { ELEMENTS = 1 << 22, BLOCK = 1 << 18 };
    static rm_real values[BLOCK];
    rm_error error = {""};
    rm_safetensors *file;
    const char *path = write_long(ELEMENTS);
    assert_int_equal(rm_safetensors_open(path, &file, &error), RINGMOE_OK);
    const rm_tensor *tensor = rm_safetensors_find(file, "long");
    long before = resident_file_bytes();
    for (int at = 0; at < ELEMENTS; at += BLOCK) {
        assert_int_equal(rm_tensor_fetch(tensor, at, BLOCK, &error), RINGMOE_OK);
        rm_tensor_read(rm_kernels_best(), tensor, at, BLOCK, values);
        rm_tensor_release(tensor, at, BLOCK);
        assert_true(values[0] == at && values[BLOCK - 1] == at + BLOCK - 1);
    }
    assert_true(resident_file_bytes() - before < 2 << 20);
    rm_safetensors_close(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notices_files_that_shrink),
        cmocka_unit_test(gives_pages_back),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
