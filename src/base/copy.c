/* SPDX-License-Identifier: MIT */
#include "base/copy.h"

#include <string.h>

/* Bytes a thread copies at a time. */
enum { COPIED_BYTES = 1 << 20 };

void rm_copy(void *to, const void *from, int64_t bytes, int n_threads)
{
    int64_t n_pieces = (bytes + COPIED_BYTES - 1) / COPIED_BYTES;
#pragma omp parallel for num_threads(n_threads) if (n_pieces > 1)
    for (int64_t i = 0; i < n_pieces; i++) {
        int64_t first = i * COPIED_BYTES;
        int64_t n = bytes - first < COPIED_BYTES ? bytes - first : COPIED_BYTES;
        memcpy((char *)to + first, (const char *)from + first, (size_t)n);
    }
}
