/* SPDX-License-Identifier: MIT
 *
 * Large copies, which several threads share.
 */
#ifndef RM_COPY_H
#define RM_COPY_H

#include <stdint.h>

/* The two do not overlap. Complete when it returns. */
void rm_copy(void *to, const void *from, int64_t bytes, int n_threads);

#endif
