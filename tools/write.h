/* SPDX-License-Identifier: MIT
 *
 * Writing files so that a reader sees the old content or the new. On failure errno tells why.
 */
#ifndef TOOLS_WRITE_H
#define TOOLS_WRITE_H

#include <stdbool.h>
#include <stddef.h>

/* Retries short writes and interrupted calls. */
bool write_fully(int descriptor, const void *data, size_t size);
/* What was made, renamed or removed in a folder is on the disk when this returns. */
bool sync_folder(const char *path);
/* Under a temporary name, then renamed, and on the disk when this returns; nothing stays of a
 * failed attempt, unless it is only not certain to last. */
bool write_atomically(const char *path, const void *data, size_t size);
/* A folder and the ones above it, on the disk too; true if it is there already. */
bool make_folders(const char *path);

#endif
