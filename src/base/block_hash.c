/* SPDX-License-Identifier: MIT */
#include "base/block_hash.h"

#include <stdlib.h>

#include "base/xxh3.h"

int64_t rm_block_count(int64_t bytes, int64_t block_bytes)
{
    return bytes / block_bytes + (bytes % block_bytes != 0);
}

ringmoe_status rm_block_hasher_init(rm_block_hasher *hasher, int64_t most_bytes,
                                    rm_error *error)
{
    int64_t room = rm_block_count(most_bytes, RM_BLOCK_BYTES);
    *hasher = (rm_block_hasher){.room = room};
    hasher->state = XXH3_createState();
    hasher->hashes = calloc((size_t)room + 1, sizeof *hasher->hashes);
    if (!hasher->state || !hasher->hashes)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld checksums",
                       (long long)room);
    XXH3_64bits_reset(hasher->state);
    return RINGMOE_OK;
}

static void end_block(rm_block_hasher *hasher)
{
    hasher->hashes[hasher->n_hashes++] = XXH3_64bits_digest(hasher->state);
    XXH3_64bits_reset(hasher->state);
}

void rm_block_hasher_add(rm_block_hasher *hasher, const void *data, int64_t bytes)
{
    for (const char *at = data; bytes > 0;) {
        int64_t left = RM_BLOCK_BYTES - hasher->bytes % RM_BLOCK_BYTES;
        int64_t n = bytes < left ? bytes : left;
        XXH3_64bits_update(hasher->state, at, (size_t)n);
        hasher->bytes += n;
        if (n == left) end_block(hasher);
        at += n;
        bytes -= n;
    }
}

void rm_block_hasher_finish(rm_block_hasher *hasher)
{
    if (hasher->bytes % RM_BLOCK_BYTES != 0) end_block(hasher);
}

void rm_block_hasher_free(rm_block_hasher *hasher)
{
    XXH3_freeState(hasher->state);
    free(hasher->hashes);
    *hasher = (rm_block_hasher){0};
}
