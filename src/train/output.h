/* SPDX-License-Identifier: MIT
 *
 * What one rank writes of a checkpoint: a file of weights and one of moments, or nothing, as a
 * stream whose sizes are known before its first byte. The trainer keeps the ring from one save
 * to the next.
 */
#ifndef RM_OUTPUT_H
#define RM_OUTPUT_H

#include "base/arena.h"
#include "base/stream.h"
#include "train/tensor_files.h"

enum { RM_OUTPUT_FILES = 2 };
/* The kinds of the files, in their order. */
extern const rm_tensor_file *const rm_output_kinds[RM_OUTPUT_FILES];

/* Zeroed: nothing is written. */
typedef struct rm_output {
    int n_files; /* 0 or RM_OUTPUT_FILES: weights, moments */
    int n_own;   /* parameters */
    rm_stream_file files[RM_OUTPUT_FILES];
    char *headers[RM_OUTPUT_FILES];
    int64_t header_bytes[RM_OUTPUT_FILES];
    int64_t *sections; /* header, weights .., header, first and second moments .. */
    int n_sections;
    int64_t ring_bytes;
    bool gives_way;    /* to the training beside it */
    rm_stream *stream; /* NULL: nothing is written */
} rm_output;

/* Plans the files of rank `rank` in `folder`. MEMORY. To be closed also after a failure. */
ringmoe_status rm_output_plan(rm_output *output, const rm_parameter_table *table,
                              const rm_writers *writers, int rank, const char *folder,
                              rm_error *error);
/* Makes room for a ring of buffer_bytes (0: a small one), at most as large as the files, unless
 * the arena has enough. MEMORY. */
ringmoe_status rm_output_reserve(rm_output *output, rm_arena *arena, int64_t buffer_bytes,
                                 rm_error *error);
/* Opens the stream, with the ring in the arena. MEMORY. */
ringmoe_status rm_output_start(rm_output *output, const rm_arena *arena, rm_error *error);
/* Stops writing, if need be. */
void rm_output_close(rm_output *output);

/* After the stream was joined: XXH3-64 of tensor `which` (weights, first moments, second
 * moments) of the rank's own parameter `own`, counted in the model's order. */
uint64_t rm_output_tensor_hash(const rm_output *output, int own, int which);

#endif
