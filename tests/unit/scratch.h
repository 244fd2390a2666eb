/* SPDX-License-Identifier: MIT
 *
 * A folder of a test's own for the files it makes, with paths in static buffers.
 */
#ifndef RM_TEST_SCRATCH_H
#define RM_TEST_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_folder[256];

/* cmocka group setup: makes the folder. */
static inline int scratch_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    (void)state;
    snprintf(scratch_folder, sizeof scratch_folder, "%s/ringmoe-test-XXXXXX",
             base && strlen(base) < 200 ? base : "/tmp");
    return mkdtemp(scratch_folder) ? 0 : -1;
}

/* cmocka group teardown: removes the folder and all below it. */
static inline int scratch_teardown(void **state)
{
    char command[300];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", scratch_folder);
    return system(command);
}

/* The path of a file in the folder; valid until the next call but seven. */
static inline const char *scratch_path(const char *name)
{
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder, name);
    return path;
}

static inline const char *scratch_file(const char *name, const void *content, size_t size)
{
    const char *path = scratch_path(name);
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(content, 1, size, file) != size || fclose(file) != 0) abort();
    return path;
}

static inline const char *scratch_text(const char *name, const char *text)
{
    return scratch_file(name, text, strlen(text));
}

#endif
