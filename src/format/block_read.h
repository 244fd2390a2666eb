/* SPDX-License-Identifier: MIT
 *
 * One block of a file that a manifest lists: read, compared with its checksum, and on the way
 * put where its bytes are wanted. Reading goes through calls and not through a mapping, so that
 * a file that shrinks meanwhile is an error and resident memory stays small.
 */
#ifndef RM_BLOCK_READ_H
#define RM_BLOCK_READ_H

#include <stdbool.h>

#include "format/manifest.h"

typedef struct rm_block_place {
    int file;       /* in the manifest's list */
    int64_t number; /* in the file */
    int64_t begin, bytes;
} rm_block_place;

/* Block `index` of all files' blocks. */
rm_block_place rm_block_find(const rm_file_manifest *manifest, int64_t index);

/* A thread's means to read with. */
typedef struct rm_block_reader {
    const rm_file_manifest *manifest;
    const char *folder;
    const rm_block_sink *sink; /* or NULL */
    struct XXH3_state_s *state;
    char *buffer;
    int file, descriptor; /* the one that is open; -1: none */
    char *path;
} rm_block_reader;

/* False if there is no memory. To be closed in any case; a zeroed one may be. */
bool rm_block_reader_open(rm_block_reader *reader, const rm_file_manifest *manifest,
                          const char *folder, const rm_block_sink *sink);
void rm_block_reader_close(rm_block_reader *reader);

/* FORMAT with file and range of bytes if they are not what was written; FILE. */
ringmoe_status rm_block_read(rm_block_reader *reader, const rm_block_place *block,
                             rm_error *error);

#endif
