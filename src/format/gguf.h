/* SPDX-License-Identifier: MIT
 *
 * GGUF, the file format of llama.cpp, version 3 (2 is the same in what is read here):
 *
 *   | magic, version, counts | keys and values | tensors' names, shapes, types, offsets |
 *   | padding | data of the tensors, each padded to the alignment |
 *
 * The reader maps the file, keeps a copy of what stands before the data, and hands out nothing
 * that it has not checked.
 */
#ifndef RM_GGUF_H
#define RM_GGUF_H

#include "format/safetensors.h"

/* The numbers of the format. */
typedef enum rm_gguf_type {
    RM_GGUF_U8 = 0,
    RM_GGUF_I8,
    RM_GGUF_U16,
    RM_GGUF_I16,
    RM_GGUF_U32,
    RM_GGUF_I32,
    RM_GGUF_F32,
    RM_GGUF_BOOL,
    RM_GGUF_STRING,
    RM_GGUF_ARRAY,
    RM_GGUF_U64,
    RM_GGUF_I64,
    RM_GGUF_F64,
    RM_GGUF_N_TYPES
} rm_gguf_type;

typedef struct rm_gguf_text {
    const char *bytes; /* not terminated */
    int64_t length;
} rm_gguf_text;

/* A key and what it says. Of an array `type` is that of its elements. */
typedef struct rm_gguf_value {
    rm_gguf_text key;
    rm_gguf_type type;
    bool is_array;
    int64_t n;                 /* elements; 1 if it is no array */
    const unsigned char *data; /* of numbers: n of them, little-endian, any alignment */
    rm_gguf_text *texts;       /* of strings: n of them */
} rm_gguf_value;

typedef struct rm_gguf rm_gguf;

/* Of a model in several files the first is given. FILE; FORMAT, naming the key or tensor and
 * the rule; MEMORY. */
ringmoe_status rm_gguf_open(const char *path, rm_gguf **file, rm_error *error);
void rm_gguf_close(rm_gguf **file);
const char *rm_gguf_path(const rm_gguf *file);
int rm_gguf_file_count(const rm_gguf *file);

/* Tensors in the order of the files; shapes are row-major, so GGUF's turned round. Types that
 * rm_dtype has not were refused. */
int rm_gguf_count(const rm_gguf *file);
const rm_tensor *rm_gguf_tensor(const rm_gguf *file, int index);

/* Values in the order of the (first) file. */
int rm_gguf_value_count(const rm_gguf *file);
const rm_gguf_value *rm_gguf_value_at(const rm_gguf *file, int index);
/* NULL if the key is not there. */
const rm_gguf_value *rm_gguf_find(const rm_gguf *file, const char *key);

/* A number or a boolean of an array, or the one there is; false: it is of another kind, or a
 * whole number was asked for and it is none or does not fit. */
bool rm_gguf_integer(const rm_gguf_value *value, int64_t index, int64_t *integer);
bool rm_gguf_number(const rm_gguf_value *value, int64_t index, double *number);

/* The shortest decimal number that is this one in single precision: 1e-5, not 9.99999975e-06.
 */
double rm_gguf_decimal(double number);

/* A path that ends in .gguf and is no folder. */
bool rm_path_is_gguf(const char *path);

#endif
