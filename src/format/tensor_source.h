/* SPDX-License-Identifier: MIT
 *
 * A file of tensors as it is opened, whatever its format: its tensors' bytes are mapped, its
 * header is read into memory. What comes from a mapping must be there when it is touched; a
 * header is looked at with care, byte by byte, while somebody else may cut the file. Reading is
 * also the fastest way from a cold disk: the system reads ahead in large pages.
 */
#ifndef RM_TENSOR_SOURCE_H
#define RM_TENSOR_SOURCE_H

#include "base/files.h"

typedef struct rm_tensor_source {
    char *path;
    rm_file_map map; /* its size is the file's when it was opened */
    int descriptor;  /* reads it, until it is closed */
} rm_tensor_source;

/* Reads the header of `file`, which has the source; failures in words that follow its path. */
typedef ringmoe_status (*rm_header_reader)(void *file, rm_error *error);

/* Maps the file and has its header read. To be closed, also after a failure, which is one line
 * that names the path. FILE, MEMORY, or what the reader says. */
ringmoe_status rm_tensor_source_open(rm_tensor_source *source, const char *path,
                                     rm_header_reader read_header, void *file, rm_error *error);
/* n bytes from `at` on; false if they are not there any more or cannot be read. */
bool rm_tensor_source_get(const rm_tensor_source *source, int64_t at, void *bytes, int64_t n);
/* The same for a header's reader, with FILE. */
ringmoe_status rm_tensor_source_read(const rm_tensor_source *source, int64_t at, void *bytes,
                                     int64_t n, rm_error *error);
void rm_tensor_source_close(rm_tensor_source *source);

#endif
