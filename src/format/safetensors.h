/* SPDX-License-Identifier: MIT
 *
 * The safetensors format: 8 bytes of header length, a JSON header of names, dtypes, shapes and
 * offsets, then the tensors. The reader maps the file and enforces the format's own rules.
 */
#ifndef RM_SAFETENSORS_H
#define RM_SAFETENSORS_H

#include "base/files.h"
#include "simd/kernels.h"

#define RM_TENSOR_MAX_DIMS 8

typedef enum rm_dtype {
    RM_DTYPE_F32 = 0,
    RM_DTYPE_BF16,
    RM_DTYPE_F16,
    RM_DTYPE_F64,
    RM_DTYPE_Q8_0, /* blocks, format/quants.h; from here on in GGUF files only */
    RM_DTYPE_Q4_0,
    RM_DTYPE_Q4_1, /* from here on they are read only */
    RM_DTYPE_Q5_0,
    RM_DTYPE_Q5_1,
    RM_DTYPE_IQ4_NL,
    RM_DTYPE_Q2_K,
    RM_DTYPE_Q3_K,
    RM_DTYPE_Q4_K,
    RM_DTYPE_Q5_K,
    RM_DTYPE_Q6_K,
    RM_DTYPE_IQ4_XS,
} rm_dtype;

typedef struct rm_tensor {
    const char *name; /* owned by the file */
    rm_dtype dtype;
    int n_dims;
    int64_t shape[RM_TENSOR_MAX_DIMS];
    int64_t n_elements;
    const unsigned char *data;             /* inside the mapping, any alignment */
    const char *path;                      /* of the file that has it, which owns this too */
    const struct rm_tensor_source *source; /* that file, to read from; NULL: the data are all
                                              there is */
} rm_tensor;

typedef struct rm_safetensors rm_safetensors;

/* Maps a file and checks its header. FILE or FORMAT, naming the tensor and the rule. */
ringmoe_status rm_safetensors_open(const char *path, rm_safetensors **file, rm_error *error);
void rm_safetensors_close(rm_safetensors **file);
int rm_safetensors_count(const rm_safetensors *file);
const rm_tensor *rm_safetensors_tensor(const rm_safetensors *file, int index);
/* Where a tensor of this file begins, in bytes from the file's start. */
int64_t rm_safetensors_offset(const rm_safetensors *file, const rm_tensor *tensor);
/* NULL if there is none of that name. */
const rm_tensor *rm_safetensors_find(const rm_safetensors *file, const char *name);

/* A tensor to be written; `shape` as in rm_tensor. */
typedef struct rm_tensor_entry {
    char name[160];
    rm_dtype dtype;
    int n_dims;
    int64_t shape[RM_TENSOR_MAX_DIMS];
} rm_tensor_entry;

/* What stands before the data of a file with these tensors, in new memory. FORMAT (names and
 * shapes that cannot be stored), MEMORY. */
ringmoe_status rm_safetensors_header(const rm_tensor_entry *entries, int n_entries,
                                     char **header, int64_t *bytes, rm_error *error);

/* Writes a file tensor after tensor, in the order of the entries, to a temporary name; the last
 * call gives the file its name. The data of entry i is handed over by any number of
 * rm_safetensors_append calls in order. */
typedef struct rm_safetensors_writer rm_safetensors_writer;
ringmoe_status rm_safetensors_create(const char *path, const rm_tensor_entry *entries,
                                     int n_entries, rm_safetensors_writer **writer,
                                     rm_error *error);
ringmoe_status rm_safetensors_append(rm_safetensors_writer *writer, const void *data,
                                     int64_t bytes, rm_error *error);
/* FORMAT if less or more was appended than the entries say. Frees the writer in any case. */
ringmoe_status rm_safetensors_commit(rm_safetensors_writer **writer, rm_error *error);
/* Removes the unfinished file. */
void rm_safetensors_abandon(rm_safetensors_writer **writer);

/* n elements from `first` on, converted to rm_real. The file must not become shorter meanwhile;
 * that of a checkpoint never does. */
void rm_tensor_read(const rm_kernels *kernels, const rm_tensor *tensor, int64_t first,
                    int64_t n, rm_real *values);
/* Around the reading of about a MiB: brings these elements' pages in at once, FILE if the file
 * does not have them any more; and gives them back, so that no more of a file is resident than
 * what is being read. */
ringmoe_status rm_tensor_fetch(const rm_tensor *tensor, int64_t first, int64_t n,
                               rm_error *error);
void rm_tensor_release(const rm_tensor *tensor, int64_t first, int64_t n);

/* Has the disk begin to read these elements, which are about to be loaded. */
void rm_tensor_ask(const rm_tensor *tensor, int64_t first, int64_t n);

/* Memory of one thread to read into, which grows; zeroed at first, to be freed. */
typedef struct rm_read_buffer {
    void *bytes;
    int64_t room;
} rm_read_buffer;
/* A stretch of a tensor in such memory. */
typedef struct rm_tensor_window {
    rm_tensor tensor; /* its element i is i + first of the whole */
    int64_t first;
} rm_tensor_window;
/* Reads elements [first, first + n), with whole blocks around them, without touching the
 * mapping. FILE if the file does not have them any more; MEMORY. */
ringmoe_status rm_tensor_load(const rm_tensor *tensor, int64_t first, int64_t n,
                              rm_read_buffer *buffer, rm_tensor_window *window,
                              rm_error *error);

#endif
