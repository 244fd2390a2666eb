/* SPDX-License-Identifier: MIT
 *
 * Large copies that will not be read soon: several threads share them, and where the processor
 * can, they go past its caches, which saves reading the target first.
 */
#ifndef RM_COPY_H
#define RM_COPY_H

#include <stdint.h>

/* Any alignment; the two do not overlap. Complete for all threads when it returns. */
void rm_copy(void *to, const void *from, int64_t bytes, int n_threads);

#endif
