/* SPDX-License-Identifier: MIT
 *
 * A checkpoint's folder that is read: its parts are opened in this order, so that what is
 * cheap to see is refused first, and nothing counts before its checksum was seen.
 *
 *   manifest    sizes of all files
 *   state.json  its checksum, then what it says
 *   tensors     headers of the tensor files: names, shapes, places
 *   contents    every block of every file, read once and shared out over the ranks
 */
#ifndef RM_CHECKPOINT_H
#define RM_CHECKPOINT_H

#include "model/verify.h"
#include "model/weight_files.h"
#include "train/state.h"

/* Zeroed: nothing is open. */
typedef struct rm_checkpoint {
    const char *folder; /* the caller's */
    rm_file_manifest manifest;
    rm_state state;
    rm_weight_files weights, moments;
} rm_checkpoint;

/* The manifest, with sizes of files, and the state without the routers' biases. FILE; FORMAT,
 * also if the folder has no manifest. Local. To be closed in any case. */
ringmoe_status rm_checkpoint_open(rm_checkpoint *checkpoint, const char *folder,
                                  rm_error *error);
/* The biases, of a checkpoint whose recipe is that of the model. Local. */
ringmoe_status rm_checkpoint_read_biases(rm_checkpoint *checkpoint,
                                         const ringmoe_model_config *config, rm_error *error);
/* The tensor files of the weights; likewise those of the moments. Local. */
ringmoe_status rm_checkpoint_open_weights(rm_checkpoint *checkpoint, rm_error *error);
ringmoe_status rm_checkpoint_open_moments(rm_checkpoint *checkpoint, rm_error *error);
void rm_checkpoint_close(rm_checkpoint *checkpoint);

#endif
