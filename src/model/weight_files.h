/* SPDX-License-Identifier: MIT
 *
 * Files as one set of tensors: the safetensors of a folder, those an index names, a single one,
 * or those of a list; or a GGUF file.
 */
#ifndef RM_WEIGHT_FILES_H
#define RM_WEIGHT_FILES_H

#include "format/gguf.h"
#include "format/safetensors.h"

typedef struct rm_stored_tensor {
    const rm_tensor *tensor;
    int file; /* that has it */
} rm_stored_tensor;

typedef struct rm_weight_files {
    rm_safetensors **files; /* [n_files] */
    char **names;           /* of the files, without the folder */
    int n_files;
    rm_gguf *gguf;             /* NULL, or the only file, and n_files is 0 */
    rm_stored_tensor *tensors; /* of all files, sorted by name; no name is there twice */
    int64_t n_tensors;
} rm_weight_files;

/* Maps the files of model.safetensors.index.json, or model.safetensors alone. FILE; FORMAT,
 * also if a tensor lies in two files, in none, or in another than the index says, or if the
 * folder has a file of weights that the index does not name. `files` may be closed in any case.
 */
ringmoe_status rm_weight_files_open(const char *folder, rm_weight_files *files,
                                    rm_error *error);
/* Maps the n files of these names. */
ringmoe_status rm_weight_files_open_list(const char *folder, const char *const *names, int n,
                                         rm_weight_files *files, rm_error *error);
/* Maps a GGUF file. */
ringmoe_status rm_weight_files_open_gguf(const char *path, rm_weight_files *files,
                                         rm_error *error);
void rm_weight_files_close(rm_weight_files *files);
/* NULL if no file has a tensor of that name. */
const rm_stored_tensor *rm_weight_files_find(const rm_weight_files *files, const char *name);

#endif
