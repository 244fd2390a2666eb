/* SPDX-License-Identifier: MIT
 *
 * Token streams by their insides (public functions in ringmoe/data.h).
 */
#ifndef RM_TOKENS_H
#define RM_TOKENS_H

#include <ringmoe/data.h>

#include "base/status.h"

/* Without a context's error. Copies ids; bounds are the caller's duty. */
void rm_tokens_copy(const ringmoe_tokens *tokens, int64_t first, int64_t count, int32_t *ids);

#endif
