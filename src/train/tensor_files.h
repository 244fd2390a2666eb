/* SPDX-License-Identifier: MIT
 *
 * The tensor files of a checkpoint: which tensors the file of a writer holds, in which order,
 * and what the index says of them.
 *
 *   model-00002-of-00004.safetensors       the second writer's parameters, in the model's order
 *   optimizer-00002-of-00004.safetensors   of each of them exp_avg. and exp_avg_sq.
 */
#ifndef RM_TENSOR_FILES_H
#define RM_TENSOR_FILES_H

#include <stdio.h>

#include "format/manifest.h"
#include "format/safetensors.h"
#include "train/writers.h"

/* The dtype of rm_real in a file. */
#ifdef RINGMOE_DOUBLE
#define RM_DTYPE_REAL RM_DTYPE_F64
#else
#define RM_DTYPE_REAL RM_DTYPE_F32
#endif

#define RM_CONFIG_FILE "config.json"
#define RM_INDEX_FILE "model.safetensors.index.json"
#define RM_WEIGHTS_PREFIX "model-"
#define RM_MOMENT1_PREFIX "exp_avg."
#define RM_MOMENT2_PREFIX "exp_avg_sq."

enum { RM_TENSORS_MOST = 2 };

/* A kind of file. */
typedef struct rm_tensor_file {
    const char *prefix;                    /* of its name */
    int n_tensors;                         /* of each parameter */
    const char *prefixes[RM_TENSORS_MOST]; /* of their names */
} rm_tensor_file;

extern const rm_tensor_file rm_weights_file, rm_optimizer_file;

#define RM_FILE_NAME_BYTES 64
/* The name of file `number`, from 0. */
void rm_tensor_file_name(const rm_tensor_file *kind, int number, int n_files,
                         char name[RM_FILE_NAME_BYTES]);
/* What stands at the start of a rank's file, before its tensors; in new memory. */
ringmoe_status rm_tensor_file_header(const rm_tensor_file *kind,
                                     const rm_parameter_table *table, const rm_writers *writers,
                                     int rank, char **header, int64_t *bytes, rm_error *error);
/* The text of model.safetensors.index.json. */
void rm_tensor_index_print(FILE *out, const rm_parameter_table *table,
                           const rm_writers *writers);

#endif
