/* SPDX-License-Identifier: MIT
 *
 * Experts that stay in their files: packed forms of those that were used last are kept in a
 * fixed number of slots.
 */
#ifndef RM_EXPERT_CACHE_H
#define RM_EXPERT_CACHE_H

#include "model/load.h"

typedef struct rm_expert_cache rm_expert_cache;

/* Gives a model whose experts are apart a cache of so many bytes, which takes `opened` over.
 * ARGUMENT if that is less than one expert takes; MEMORY. Local; rm_expert_cache_free is to
 * follow after a failure too. */
ringmoe_status rm_expert_cache_create(ringmoe_model *model, rm_opened_weights *opened,
                                      int64_t bytes, rm_error *error);
void rm_expert_cache_free(ringmoe_model *model);
/* What failed since the last call on any rank of the expert and tensor axes, or OK; of a model
 * without a cache, which all ranks know alike, always OK. Collective over these axes. */
ringmoe_status rm_expert_cache_settle(const ringmoe_model *model);
int64_t rm_expert_cache_bytes(const ringmoe_model *model);

#endif
