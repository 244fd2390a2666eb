/* SPDX-License-Identifier: MIT
 *
 * A large file written once from start to end, in blocks. Where the file system allows it the
 * blocks go past the system's cache (O_DIRECT): that costs no copy, no memory, and leaves the
 * processors to the computation. Elsewhere each block is sent on to the disk while the next one
 * is written, and then leaves the cache.
 */
#ifndef RM_DISK_H
#define RM_DISK_H

#include <stdbool.h>

#include "base/status.h"

/* Of blocks and of their place in the file and in memory, all but the last block's size. */
#define RM_DISK_ALIGN 4096

typedef struct rm_disk_file {
    const char *path; /* the caller's */
    int descriptor;   /* -1: closed */
    bool direct;
    int64_t written; /* bytes */
    int64_t sent;    /* of them, those that have been given to the disk */
} rm_disk_file;

/* Creates a file that must not be there yet. FILE. */
ringmoe_status rm_disk_create(rm_disk_file *file, const char *path, rm_error *error);
/* Short writes and EINTR are retried. FILE. */
ringmoe_status rm_disk_write(rm_disk_file *file, const void *data, int64_t bytes,
                             rm_error *error);
/* Everything is on the disk afterwards. FILE. Closes the file in any case. */
ringmoe_status rm_disk_finish(rm_disk_file *file, rm_error *error);
/* Closes it; a closed one: nothing. */
void rm_disk_close(rm_disk_file *file);

#endif
