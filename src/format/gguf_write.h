/* SPDX-License-Identifier: MIT
 *
 * Writing GGUF: keys and tensors are put, in the order in which they shall be in the file; then
 * the data of the tensors follow, to a temporary name; the last call gives the file its name.
 */
#ifndef RM_GGUF_WRITE_H
#define RM_GGUF_WRITE_H

#include "format/gguf.h"

typedef struct rm_gguf_writer rm_gguf_writer;

/* Nothing is written yet. MEMORY. */
ringmoe_status rm_gguf_writer_create(rm_gguf_writer **writer, rm_error *error);

/* Keys. If memory runs out, rm_gguf_begin says so. */
void rm_gguf_put_u32(rm_gguf_writer *writer, const char *key, uint32_t value);
void rm_gguf_put_f32(rm_gguf_writer *writer, const char *key, double value);
void rm_gguf_put_bool(rm_gguf_writer *writer, const char *key, bool value);
void rm_gguf_put_text(rm_gguf_writer *writer, const char *key, const char *text);
void rm_gguf_put_texts(rm_gguf_writer *writer, const char *key, const char *const *texts,
                       int64_t n);
/* Numbers of four bytes: RM_GGUF_I32, RM_GGUF_U32 or RM_GGUF_F32. */
void rm_gguf_put_numbers(rm_gguf_writer *writer, const char *key, rm_gguf_type type,
                         const void *numbers, int64_t n);
/* One of another file. */
void rm_gguf_put_value(rm_gguf_writer *writer, const rm_gguf_value *value);
/* A tensor; shapes are row-major. FORMAT: its name or shape cannot be stored. */
ringmoe_status rm_gguf_put_tensor(rm_gguf_writer *writer, const rm_tensor_entry *entry,
                                  rm_error *error);

/* Writes what was put. */
ringmoe_status rm_gguf_begin(rm_gguf_writer *writer, const char *path, rm_error *error);
/* More data of the tensors, in their order and without padding. */
ringmoe_status rm_gguf_append(rm_gguf_writer *writer, const void *data, int64_t bytes,
                              rm_error *error);
/* FORMAT if less was appended than the tensors have. Frees the writer in any case. */
ringmoe_status rm_gguf_commit(rm_gguf_writer **writer, rm_error *error);
/* Removes an unfinished file. */
void rm_gguf_abandon(rm_gguf_writer **writer);

#endif
