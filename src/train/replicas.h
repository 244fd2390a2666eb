/* SPDX-License-Identifier: MIT
 *
 * Whether ranks that have the same weights have them to the bit: dense parameters over the
 * dense axis, experts over the data axis, what is not cut over the tensor axis, a tied head and
 * the embedding, the selection biases over all.
 */
#ifndef RM_REPLICAS_H
#define RM_REPLICAS_H

#include "train/trainer.h"

/* MISMATCH on all ranks, with the parameter and the first ranks that differ. Collective over
 * all ranks. */
ringmoe_status rm_replicas_check(const ringmoe_trainer *trainer);
/* Packs all matrices again; MISMATCH on all ranks if that changed a packed form. Collective
 * over all ranks. */
ringmoe_status rm_packs_check(const ringmoe_trainer *trainer);

#endif
