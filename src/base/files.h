/* SPDX-License-Identifier: MIT
 *
 * Files, with errors in words: reading whole, mapping, and writing so that a reader sees the
 * old content or the new, never a part (temporary name, fsync, rename, fsync of the folder).
 */
#ifndef RM_FILES_H
#define RM_FILES_H

#include <dirent.h>
#include <stdbool.h>

#include "base/status.h"

/* A whole file in memory, NUL-terminated behind its size. The caller frees *content. A file of
 * more than `limit` bytes is refused. */
ringmoe_status rm_file_read(const char *path, int64_t limit, char **content, int64_t *size,
                            rm_error *error);

/* A read-only mapping of a file; an empty file gives data NULL, size 0. */
typedef struct rm_file_map {
    const unsigned char *data;
    int64_t size;
} rm_file_map;
ringmoe_status rm_file_map_open(const char *path, rm_file_map *map, rm_error *error);
/* Likewise; the caller closes *descriptor, which reads the same file; -1 after a failure. */
ringmoe_status rm_file_map_keep_open(const char *path, rm_file_map *map, int *descriptor,
                                     rm_error *error);
void rm_file_map_close(rm_file_map *map);

/* A file being written under "<path>.tmp"; rm_file_commit gives it its name. */
typedef struct rm_file_writer {
    int descriptor; /* -1: closed */
    char *path, *temporary;
} rm_file_writer;
ringmoe_status rm_file_create(const char *path, rm_file_writer *writer, rm_error *error);
/* Short writes and EINTR are retried. */
ringmoe_status rm_file_write(rm_file_writer *writer, const void *data, int64_t size,
                             rm_error *error);
ringmoe_status rm_file_commit(rm_file_writer *writer, rm_error *error);
/* Removes what was written. Also after a failed commit; a zeroed or committed writer: nothing.
 */
void rm_file_abandon(rm_file_writer *writer);
/* create, write, commit. */
ringmoe_status rm_file_write_whole(const char *path, const void *data, int64_t size,
                                   rm_error *error);

/* Likewise, but the name lasts only when a later file of the folder has been committed. */
ringmoe_status rm_file_write_early(const char *path, const void *data, int64_t size,
                                   rm_error *error);

/* "folder/name" in new memory, NULL when there is none. */
char *rm_path_join(const char *folder, const char *name);
bool rm_path_is_folder(const char *path);
/* Makes a folder and the ones above it, durably. */
ringmoe_status rm_folder_create(const char *path, rm_error *error);
/* opendir, however often a signal comes between. */
DIR *rm_folder_list(const char *path);
/* Removes a folder of regular files (not deeper), if it exists. */
ringmoe_status rm_folder_remove(const char *path, rm_error *error);
/* Renames and makes it durable. */
ringmoe_status rm_path_rename(const char *from, const char *to, rm_error *error);

/* fsync, or what does its work where fsync stops at the disk's own cache; signals do not cut it
 * off. Returns as fsync. */
int rm_descriptor_sync(int descriptor);

#endif
