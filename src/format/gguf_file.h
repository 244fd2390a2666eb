/* SPDX-License-Identifier: MIT
 *
 * The inside of an opened GGUF file, for the sources that read its header.
 */
#ifndef RM_GGUF_FILE_H
#define RM_GGUF_FILE_H

#include "format/gguf_cursor.h"
#include "format/tensor_source.h"

enum { RM_GGUF_NAME_BYTES = 64, RM_GGUF_ALIGNMENT = 32, RM_GGUF_DIMS_MOST = 4 };

struct rm_gguf {
    rm_gguf **parts; /* [n_parts], the model's further files; they have tensors only */
    int n_parts;
    rm_tensor_source source;
    unsigned char *header; /* a copy of the file's beginning; keys and values lie in it */
    rm_gguf_value *values; /* [n_values], in the order of the file */
    const rm_gguf_value **by_key;
    int n_values;
    rm_tensor *tensors; /* [n_tensors], in the order of the file */
    char (*names)[RM_GGUF_NAME_BYTES];
    int n_tensors;
};

/* The keys and values at the cursor, `count` of them; FORMAT or MEMORY. */
ringmoe_status rm_gguf_read_values(rm_gguf *file, rm_gguf_cursor *cursor, uint64_t count,
                                   rm_error *error);
/* The tensors at the cursor, `count` of them, and where their data lie in the file. */
ringmoe_status rm_gguf_read_tensors(rm_gguf *file, rm_gguf_cursor *cursor, uint64_t count,
                                    rm_error *error);

/* Opens the further files, if this one is the first of several; FILE, FORMAT or MEMORY. */
ringmoe_status rm_gguf_open_parts(rm_gguf *file, rm_error *error);
/* A file by itself. */
ringmoe_status rm_gguf_open_one(const char *path, rm_gguf **file, rm_error *error);
/* That no tensor is there twice, in all files. */
ringmoe_status rm_gguf_check_names(const rm_gguf *file, rm_error *error);

/* Bytes of a number of the type; 0: it has no fixed size. */
int rm_gguf_width(rm_gguf_type type);
/* How GGUF counts a type that is read here. */
uint32_t rm_gguf_dtype_number(rm_dtype dtype);

#endif
