/* SPDX-License-Identifier: MIT
 *
 * model.safetensors.index.json: which file of a folder has which tensor. It must agree with the
 * files, or one of them is not of this model:
 *
 *   {"metadata": {..}, "weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors",
 * ..}}
 */
#ifndef RM_WEIGHT_INDEX_H
#define RM_WEIGHT_INDEX_H

#include <jansson.h>

#include "model/weight_files.h"

#define RM_WEIGHT_INDEX_NAME "model.safetensors.index.json"
#define RM_SINGLE_WEIGHTS_NAME "model.safetensors"

typedef struct rm_weight_index {
    char *path;
    json_t *root, *map; /* tensor to file */
    json_t *distinct;   /* the files, as keys: owns `files` */
    const char **files;
    int n_files;
} rm_weight_index;

/* FILE, FORMAT or MEMORY. To be freed in any case. */
ringmoe_status rm_weight_index_read(const char *folder, rm_weight_index *index,
                                    rm_error *error);
void rm_weight_index_free(rm_weight_index *index);
/* The folder has no model*.safetensors that the index does not name. */
ringmoe_status rm_weight_index_check_folder(const rm_weight_index *index, const char *folder,
                                            rm_error *error);
/* The files have the tensors of the index, each where it says, and no others. */
ringmoe_status rm_weight_index_check_tensors(const rm_weight_index *index,
                                             const rm_weight_files *files, rm_error *error);

#endif
