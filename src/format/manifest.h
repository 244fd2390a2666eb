/* SPDX-License-Identifier: MIT
 *
 * manifest.json: every other file of a checkpoint's folder with its size and a checksum a
 * block,
 *
 *   {"format_version": 1, "block_bytes": 4194304, "files": [
 *   {"name": "config.json", "bytes": 812, "xxh3_64": ["16 hex digits", ..]},
 *   ..],
 *   "checksum": "16 hex digits"}
 *
 * The checksum is XXH3-64 of all bytes of the file that come before it. The reader asks for
 * these bytes and no others, so no bit of the manifest can change unseen.
 */
#ifndef RM_FILE_MANIFEST_H
#define RM_FILE_MANIFEST_H

#include "base/block_hash.h"

#define RM_FILE_MANIFEST_NAME "manifest.json"
/* What the names of the optimizer's files begin with: a model does without them. */
#define RM_OPTIMIZER_PREFIX "optimizer-"

typedef struct rm_listed_file {
    char *name; /* of a file in the same folder */
    int64_t bytes;
    int64_t n_blocks;
    uint64_t *hashes; /* [n_blocks] */
} rm_listed_file;

/* Zeroed: no files. */
typedef struct rm_file_manifest {
    int64_t block_bytes; /* 0: no file was added yet */
    rm_listed_file *files;
    int n_files;
} rm_file_manifest;

/* Adds a file by what rm_block_hasher found; copies everything. ARGUMENT (a name or a number of
 * blocks that cannot be), MEMORY. */
ringmoe_status rm_file_manifest_add(rm_file_manifest *manifest, const char *name, int64_t bytes,
                                    const uint64_t *hashes, int64_t n_hashes, rm_error *error);
/* Adds a file whose content is at hand. */
ringmoe_status rm_file_manifest_add_content(rm_file_manifest *manifest, const char *name,
                                            const void *content, int64_t bytes,
                                            rm_error *error);
/* The text of manifest.json in new memory. */
ringmoe_status rm_file_manifest_text(const rm_file_manifest *manifest, char **text,
                                     int64_t *size, rm_error *error);

/* The manifest of a folder. FILE, FORMAT (names manifest.json and why), ARGUMENT (whole, but of
 * another version), MEMORY. To be freed in any case. */
ringmoe_status rm_file_manifest_read(const char *folder, rm_file_manifest *manifest,
                                     rm_error *error);
/* The same from memory; messages begin with `path`. */
ringmoe_status rm_file_manifest_parse(const char *text, int64_t size, const char *path,
                                      rm_file_manifest *manifest, rm_error *error);
void rm_file_manifest_free(rm_file_manifest *manifest);

/* NULL if it is not listed. */
const rm_listed_file *rm_file_manifest_find(const rm_file_manifest *manifest, const char *name);
int64_t rm_file_manifest_bytes(const rm_file_manifest *manifest);
int64_t rm_file_manifest_blocks(const rm_file_manifest *manifest);

/* Every listed file is there with its size. FORMAT with the first, in the manifest's order,
 * that is missing, cut short or too long; FILE if one cannot be looked at. */
ringmoe_status rm_file_manifest_check_sizes(const rm_file_manifest *manifest,
                                            const char *folder, rm_error *error);

/* Where bytes of the files go while they are compared, for a reader that wants some of them. */
typedef struct rm_block_sink {
    /* Byte `at` of file `file` of the list, and the *n - 1 behind it that have the same fate:
     * where they belong; NULL: nobody wants them. Called by several threads at a time. */
    char *(*place)(const void *argument, int file, int64_t at, int64_t *n);
    const void *argument;
} rm_block_sink;

/* A rank's share of the blocks of all files, counted through in the manifest's order. */
typedef struct rm_block_share {
    int number, of; /* of so many equal shares, one behind the other, the one of this number */
    int n_threads;
    const int64_t *list; /* or these n_listed, ascending, instead of them */
    int64_t n_listed;
    const rm_block_sink *sink; /* or NULL */
} rm_block_share;

typedef struct rm_block_findings {
    int64_t bytes; /* that were checked and are good */
    int64_t block; /* the first damaged one; INT64_MAX: none. The lowest over the ranks is the
                      first damage of the checkpoint */
} rm_block_findings;

/* Checks sizes as above, then reads the share's blocks. FORMAT with file and range of bytes of
 * the first damaged block of the share; FILE if one cannot be read. What goes to the sink goes
 * there before its block is known to be good. */
ringmoe_status rm_file_manifest_verify(const rm_file_manifest *manifest, const char *folder,
                                       rm_block_share share, rm_block_findings *findings,
                                       rm_error *error);

#endif
