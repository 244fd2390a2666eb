/* SPDX-License-Identifier: MIT
 *
 * Files and folders, in a folder of its own that is removed at the end: what is written is
 * read, a failure leaves one line and nothing half-written.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"

/* The test's folder, and a path in it. */
typedef struct place {
    char folder[256], path[300];
} place;

static int make_place(void **state)
{
    place *here = calloc(1, sizeof *here);
    const char *above = getenv("TMPDIR");
    if (!here) return -1;
    snprintf(here->folder, sizeof here->folder, "%.200s/ringmoe-files-XXXXXX",
             above ? above : "/tmp");
    if (!mkdtemp(here->folder)) return -1;
    snprintf(here->path, sizeof here->path, "%s/file", here->folder);
    *state = here;
    return 0;
}

static int remove_place(void **state)
{
    place *here = *state;
    rm_error error = {""};
    int status = rm_folder_remove(here->folder, &error) == RINGMOE_OK ? 0 : -1;
    free(here);
    return status;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void assert_fails(ringmoe_status status, ringmoe_status expected, const rm_error *error,
                         const char *word)
{
    assert_int_equal(status, expected);
    assert_non_null(strstr(error->text, word));
    assert_null(strchr(error->text, '\n'));
}

static void test_reads_what_was_written(void **state)
{
    const place *here = *state;
    static const char content[] = "one\0two\n";
    rm_error error = {""};
    char *got;
    int64_t size;
    assert_int_equal(rm_file_write_whole(here->path, content, sizeof content, &error), 0);
    assert_int_equal(rm_file_read(here->path, 100, &got, &size, &error), RINGMOE_OK);
    assert_int_equal(size, sizeof content);
    assert_memory_equal(got, content, sizeof content);
    assert_int_equal(got[size], 0);
    free(got);
    rm_file_map map;
    assert_int_equal(rm_file_map_open(here->path, &map, &error), RINGMOE_OK);
    assert_int_equal(map.size, sizeof content);
    assert_memory_equal(map.data, content, sizeof content);
    rm_file_map_close(&map);
    rm_file_map_close(&map);
}

static void test_empty_file(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    char *got;
    int64_t size;
    rm_file_map map;
    assert_int_equal(rm_file_write_whole(here->path, "", 0, &error), RINGMOE_OK);
    assert_int_equal(rm_file_read(here->path, 0, &got, &size, &error), RINGMOE_OK);
    assert_string_equal(got, "");
    free(got);
    assert_int_equal(rm_file_map_open(here->path, &map, &error), RINGMOE_OK);
    assert_null(map.data);
    assert_int_equal(map.size, 0);
    rm_file_map_close(&map);
}

static void test_refuses_what_is_no_file(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    char *got;
    int64_t size;
    rm_file_map map;
    assert_fails(rm_file_read(here->path, 100, &got, &size, &error), RINGMOE_ERROR_FILE, &error,
                 strerror(ENOENT));
    assert_null(got);
    assert_fails(rm_file_map_open(here->path, &map, &error), RINGMOE_ERROR_FILE, &error,
                 here->path);
    assert_fails(rm_file_read(here->folder, 100, &got, &size, &error), RINGMOE_ERROR_FILE,
                 &error, "not a regular file");
    assert_fails(rm_file_map_open(here->folder, &map, &error), RINGMOE_ERROR_FILE, &error,
                 "not a regular file");
    assert_fails(rm_file_read("/dev/null", 100, &got, &size, &error), RINGMOE_ERROR_FILE,
                 &error, "/dev/null");
    assert_int_equal(mkfifo(here->path, 0600), 0);
    alarm(20); /* nobody will ever write into the pipe */
    assert_fails(rm_file_read(here->path, 100, &got, &size, &error), RINGMOE_ERROR_FILE, &error,
                 "not a regular file");
    alarm(0);
    /* What was closed has no number that might be closed again. */
    int descriptor = 0;
    assert_fails(rm_file_map_keep_open(here->path, &map, &descriptor, &error),
                 RINGMOE_ERROR_FILE, &error, "not a regular file");
    assert_int_equal(descriptor, -1);
    unlink(here->path);
}

static void test_refuses_a_file_above_the_limit(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    char *got;
    int64_t size;
    assert_int_equal(rm_file_write_whole(here->path, "12345", 5, &error), RINGMOE_OK);
    assert_fails(rm_file_read(here->path, 4, &got, &size, &error), RINGMOE_ERROR_FORMAT, &error,
                 "5 bytes");
    assert_null(got);
    assert_int_equal(rm_file_read(here->path, 5, &got, &size, &error), RINGMOE_OK);
    free(got);
}

/* Until the commit a reader sees the old content. */
static void test_commit_replaces_at_once(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    rm_file_writer writer;
    char *got;
    int64_t size;
    assert_int_equal(rm_file_write_whole(here->path, "old", 3, &error), RINGMOE_OK);
    assert_int_equal(rm_file_create(here->path, &writer, &error), RINGMOE_OK);
    assert_int_equal(rm_file_write(&writer, "new", 3, &error), RINGMOE_OK);
    assert_int_equal(rm_file_read(here->path, 100, &got, &size, &error), RINGMOE_OK);
    assert_string_equal(got, "old");
    free(got);
    assert_int_equal(rm_file_commit(&writer, &error), RINGMOE_OK);
    rm_file_abandon(&writer);
    assert_int_equal(rm_file_read(here->path, 100, &got, &size, &error), RINGMOE_OK);
    assert_string_equal(got, "new");
    free(got);
}

static void test_abandon_leaves_nothing(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    rm_file_writer writer;
    assert_int_equal(rm_file_create(here->path, &writer, &error), RINGMOE_OK);
    assert_int_equal(rm_file_write(&writer, "part", 4, &error), RINGMOE_OK);
    char *temporary = strdup(writer.temporary);
    assert_true(temporary && exists(temporary));
    rm_file_abandon(&writer);
    rm_file_abandon(&writer);
    assert_false(exists(temporary));
    assert_false(exists(here->path));
    free(temporary);
}

/* A full disk: the writer's descriptor is replaced by the device that has no room. */
static void test_full_disk(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    rm_file_writer writer;
    assert_int_equal(rm_file_create(here->path, &writer, &error), RINGMOE_OK);
    close(writer.descriptor);
    writer.descriptor = open("/dev/full", O_WRONLY);
    if (writer.descriptor < 0) {
        rm_file_abandon(&writer);
        skip();
    }
    assert_fails(rm_file_write(&writer, "x", 1, &error), RINGMOE_ERROR_FILE, &error,
                 strerror(ENOSPC));
    assert_non_null(strstr(error.text, here->path));
    rm_file_abandon(&writer);
    assert_false(exists(here->path));
}

static void test_cannot_write_into_a_missing_folder(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    rm_file_writer writer;
    char *path = rm_path_join(here->path, "below");
    assert_fails(rm_file_create(path, &writer, &error), RINGMOE_ERROR_FILE, &error, path);
    rm_file_abandon(&writer);
    free(path);
}

/* The name is taken by a folder, which the commit cannot replace. */
static void test_cannot_replace_a_folder(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    assert_int_equal(rm_folder_create(here->path, &error), RINGMOE_OK);
    assert_fails(rm_file_write_whole(here->path, "x", 1, &error), RINGMOE_ERROR_FILE, &error,
                 here->path);
    assert_true(rm_path_is_folder(here->path));
    assert_int_equal(rm_folder_remove(here->path, &error), RINGMOE_OK);
}

static void test_folders(void **state)
{
    const place *here = *state;
    rm_error error = {""};
    char *deep = rm_path_join(here->path, "b"), *file = rm_path_join(deep, "c");
    char *moved = rm_path_join(here->path, "d");
    assert_int_equal(rm_folder_create(deep, &error), RINGMOE_OK);
    assert_int_equal(rm_folder_create(deep, &error), RINGMOE_OK);
    assert_true(rm_path_is_folder(deep));
    assert_int_equal(rm_file_write_whole(file, "x", 1, &error), RINGMOE_OK);
    assert_fails(rm_folder_create(file, &error), RINGMOE_ERROR_FILE, &error, file);
    assert_int_equal(rm_path_rename(deep, moved, &error), RINGMOE_OK);
    assert_fails(rm_path_rename(deep, moved, &error), RINGMOE_ERROR_FILE, &error, moved);
    assert_int_equal(rm_folder_remove(moved, &error), RINGMOE_OK);
    assert_int_equal(rm_folder_remove(moved, &error), RINGMOE_OK);
    assert_int_equal(rm_folder_remove(here->path, &error), RINGMOE_OK);
    assert_false(exists(here->path));
    free(deep);
    free(file);
    free(moved);
}

#define IN_A_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(test_reads_what_was_written),
        IN_A_FOLDER(test_empty_file),
        IN_A_FOLDER(test_refuses_what_is_no_file),
        IN_A_FOLDER(test_refuses_a_file_above_the_limit),
        IN_A_FOLDER(test_commit_replaces_at_once),
        IN_A_FOLDER(test_abandon_leaves_nothing),
        IN_A_FOLDER(test_full_disk),
        IN_A_FOLDER(test_cannot_write_into_a_missing_folder),
        IN_A_FOLDER(test_cannot_replace_a_folder),
        IN_A_FOLDER(test_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
