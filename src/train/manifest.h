/* SPDX-License-Identifier: MIT
 *
 * A checkpoint's folder and its state.json: what step it is of, the recipe it was made by, and
 * hashes of what its tensor files hold.
 *
 *   config.json                         Hugging Face's, as are the weights
 *
 *   model-00001-of-00001.safetensors    with model.safetensors.index.json
 *
 *   optimizer.safetensors               exp_avg.<parameter>, exp_avg_sq.<parameter>
 *
 *   state.json
 */
#ifndef RM_MANIFEST_H
#define RM_MANIFEST_H

#include "train/recipe.h"

#define RM_CONFIG_FILE "config.json"
#define RM_WEIGHTS_FILE "model-00001-of-00001.safetensors"
#define RM_INDEX_FILE "model.safetensors.index.json"
#define RM_OPTIMIZER_FILE "optimizer.safetensors"
#define RM_STATE_FILE "state.json"
#define RM_MOMENT1_PREFIX "exp_avg."
#define RM_MOMENT2_PREFIX "exp_avg_sq."

typedef struct rm_manifest {
    int64_t step;
    rm_recipe recipe;
    char weights_hash[17], moment1_hash[17], moment2_hash[17];
    int64_t *balance_counts; /* the experts' counts of the last global batch; NULL: not kept */
    int64_t n_balance_counts;
    ringmoe_mesh_dims layout; /* for the record, as is the kernel level */
    const char *kernel_level; /* not read back */
} rm_manifest;

/* Both take the folder. */
ringmoe_status rm_manifest_write(const rm_manifest *manifest, const char *folder,
                                 rm_error *error);
/* FILE or FORMAT. The recipe's items are those of `expected`, in its order, with the values
 * found; one that is missing is FORMAT, as is another number of counts than n_balance_counts.
 * To be freed also after a failure. */
ringmoe_status rm_manifest_read(rm_manifest *manifest, const rm_recipe *expected,
                                int64_t n_balance_counts, const char *folder, rm_error *error);
void rm_manifest_free(rm_manifest *manifest);

#endif
