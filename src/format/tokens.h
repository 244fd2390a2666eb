/* SPDX-License-Identifier: MIT
 *
 * Token streams by their insides (public functions in ringmoe/data.h). A stream is a run of
 * little-endian ids of 1, 2 or 4 bytes that lie in a mapped file, in memory of the stream's
 * own, or in the stream it was split from.
 */
#ifndef RM_TOKENS_H
#define RM_TOKENS_H

#include <ringmoe/data.h>

#include "base/files.h"

struct ringmoe_tokens {
    const unsigned char *data; /* count * width bytes */
    int64_t count;
    int width;          /* bytes of an id; 1: text */
    double entropy;     /* nats a token; NaN: unknown */
    rm_file_map map;    /* of a single file, else zeroed */
    unsigned char *own; /* of a folder or a synthetic language, else NULL */
};

/* Without a context's error. Copies ids; bounds are the caller's duty. */
void rm_tokens_copy(const ringmoe_tokens *tokens, int64_t first, int64_t count, int32_t *ids);

/* The regular files below a folder, joined by newlines, in new memory. */
ringmoe_status rm_folder_read_text(const char *path, unsigned char **text, int64_t *size,
                                   rm_error *error);

/* ringmoe_tokens_synthetic's content: n bytes of the seed's language; returns its entropy in
 * nats a byte. */
double rm_language_write(int64_t seed, int64_t n, unsigned char *text);

#endif
