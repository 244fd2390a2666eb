/* SPDX-License-Identifier: MIT
 *
 * What files.c asks of the system, seen by functions that stand in for it: folders that are
 * made last, names that are in time, and without memory nothing is removed that was never made.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"

static char synced[8][PATH_MAX]; /* in order */
static int n_synced, n_removed;
static bool is_without_copies; /* strdup finds no memory */

int fsync(int descriptor)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    if (n_synced < 8) {
        ssize_t length = readlink(link, synced[n_synced], PATH_MAX - 1);
        synced[n_synced++][length > 0 ? length : 0] = 0;
    }
    return (int)syscall(SYS_fsync, descriptor);
}

int unlink(const char *path)
{
    (void)path;
    n_removed++;
    return 0;
}

#undef strdup
char *strdup(const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *copy = is_without_copies ? NULL : malloc(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}

static void made_folders_are_synced_upwards(void **state)
{
    (void)state;
    rm_error error = {""};
    const char *above = getenv("TMPDIR");
    char folder[PATH_MAX / 2], path[PATH_MAX];
    snprintf(folder, sizeof folder, "%.200s/ringmoe-calls-XXXXXX", above ? above : "/tmp");
    assert_non_null(mkdtemp(folder));
    n_synced = 0;
    snprintf(path, sizeof path, "%s/run/checkpoints", folder);
    assert_int_equal(rm_folder_create(path, &error), RINGMOE_OK);
    assert_int_equal(n_synced, 2);
    assert_string_equal(synced[0], folder);
    assert_non_null(strstr(synced[1], "/run"));
    assert_int_equal(rm_folder_create(path, &error), RINGMOE_OK);
    assert_int_equal(n_synced, 2); /* nothing was made */
    assert_int_equal(rmdir(path), 0);
    snprintf(path, sizeof path, "%s/run", folder);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* A name that a later one makes last costs no look at the folder; the content is there. */
static void early_names_wait_for_a_later_one(void **state)
{
    (void)state;
    rm_error error = {""};
    const char *above = getenv("TMPDIR");
    char folder[PATH_MAX / 2], path[PATH_MAX];
    snprintf(folder, sizeof folder, "%.200s/ringmoe-calls-XXXXXX", above ? above : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    for (int i = 0; i < 2; i++) {
        n_synced = 0;
        assert_int_equal(i ? rm_file_write_whole(path, "x", 1, &error)
                           : rm_file_write_early(path, "x", 1, &error),
                         RINGMOE_OK);
        assert_int_equal(n_synced, 1 + i);
        assert_non_null(strstr(synced[0], "/file"));
        if (i) assert_string_equal(synced[1], folder);
        assert_int_equal(access(path, R_OK), 0);
    }
    assert_int_equal(remove(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void without_memory_nothing_is_removed(void **state)
{
    (void)state;
    rm_error error = {""};
    rm_file_writer writer;
    n_removed = 0;
    is_without_copies = true;
    ringmoe_status status = rm_file_create("/nowhere/file", &writer, &error);
    is_without_copies = false;
    assert_int_equal(status, RINGMOE_ERROR_MEMORY);
    rm_file_abandon(&writer);
    assert_int_equal(n_removed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_folders_are_synced_upwards),
        cmocka_unit_test(early_names_wait_for_a_later_one),
        cmocka_unit_test(without_memory_nothing_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
