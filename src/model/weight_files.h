/* SPDX-License-Identifier: MIT
 *
 * The safetensors files of a model's folder: one, or the several an index names.
 */
#ifndef RM_WEIGHT_FILES_H
#define RM_WEIGHT_FILES_H

#include "format/safetensors.h"

typedef struct rm_weight_files {
    rm_safetensors **files;
    int n_files;
} rm_weight_files;

/* Maps the files of model.safetensors.index.json, or model.safetensors alone. FILE or FORMAT.
 * `files` may be closed in any case. */
ringmoe_status rm_weight_files_open(const char *folder, rm_weight_files *files,
                                    rm_error *error);
void rm_weight_files_close(rm_weight_files *files);
/* Tensors of all files. */
int64_t rm_weight_files_count(const rm_weight_files *files);
/* NULL if no file has a tensor of that name. */
const rm_tensor *rm_weight_files_find(const rm_weight_files *files, const char *name);

#endif
