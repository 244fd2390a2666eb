/* SPDX-License-Identifier: MIT
 *
 * The two tensor files of a checkpoint: which tensors they hold, in which order, and how their
 * data is gathered from the ranks.
 */
#ifndef RM_TENSOR_FILES_H
#define RM_TENSOR_FILES_H

#include "train/transfer.h"

typedef struct rm_tensor_file {
    const char *name;
    /* Fills the entries, of which there is room for rm_tensor_entries_most; returns how many.
     */
    int (*list)(const ringmoe_trainer *trainer, rm_tensor_entry *entries);
    /* The data of the entries in their order. Collective. */
    ringmoe_status (*collect)(const ringmoe_trainer *trainer, rm_collector *collector);
} rm_tensor_file;

/* Parameters and router biases; first and second moments of each parameter. */
extern const rm_tensor_file rm_weights_file, rm_optimizer_file;

int rm_tensor_entries_most(const ringmoe_trainer *trainer);
/* True if the layer's router has a selection bias. */
bool rm_has_router_bias(const ringmoe_trainer *trainer, int layer);

/* Writes a file to the folder from rank 0. Collective; a failure is everyone's. */
ringmoe_status rm_tensor_file_write(const ringmoe_trainer *trainer, const rm_tensor_file *file,
                                    const char *folder);

#endif
