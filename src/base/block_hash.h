/* SPDX-License-Identifier: MIT
 *
 * Checksums of a file's content, a block at a time: XXH3-64 of each RM_BLOCK_BYTES from its
 * start, the last block being what is left. They come while the bytes pass by on their way to
 * the disk, and several threads may check them afterwards.
 */
#ifndef RM_BLOCK_HASH_H
#define RM_BLOCK_HASH_H

#include "base/status.h"

#define RM_BLOCK_BYTES ((int64_t)4 << 20)

/* Blocks of a file of `bytes`; an empty file has none. */
int64_t rm_block_count(int64_t bytes, int64_t block_bytes);

typedef struct rm_block_hasher {
    struct XXH3_state_s *state;
    uint64_t *hashes; /* of the blocks that are full, and after finish of all */
    int64_t n_hashes, room;
    int64_t bytes; /* that were added */
} rm_block_hasher;

/* For a file of at most `most_bytes`, so that adding cannot fail. MEMORY. To be freed, also
 * after a failure; a zeroed one may be. */
ringmoe_status rm_block_hasher_init(rm_block_hasher *hasher, int64_t most_bytes,
                                    rm_error *error);
/* The next bytes of the file, in pieces of any size. */
void rm_block_hasher_add(rm_block_hasher *hasher, const void *data, int64_t bytes);
/* The last block. Afterwards hashes[0 .. n_hashes - 1] are the file's. */
void rm_block_hasher_finish(rm_block_hasher *hasher);
void rm_block_hasher_free(rm_block_hasher *hasher);

#endif
