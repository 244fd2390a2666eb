/* SPDX-License-Identifier: MIT
 *
 * Comparing a checkpoint's folder with its manifest, byte for byte, by all ranks together. Of
 * a folder without a manifest nothing is known and nothing asked.
 */
#ifndef RM_VERIFY_H
#define RM_VERIFY_H

#include <stdbool.h>

#include "comm/context.h"
#include "format/manifest.h"

/* The manifest alone. FILE; FORMAT, also if the folder has none; ARGUMENT (of another version);
 * MEMORY. Local. */
ringmoe_status rm_checkpoint_read_manifest(const char *folder, rm_file_manifest *manifest,
                                           rm_error *error);
/* Whether the folder has a manifest. */
bool rm_is_checkpoint(const char *folder);

/* Compares every byte of the listed files with the manifest. FORMAT: the first damage in the
 * manifest's order. `bytes`: over all ranks; or NULL. Collective over the context. */
ringmoe_status rm_checkpoint_verify_files(ringmoe_context *context, const char *folder,
                                          const rm_file_manifest *manifest, int64_t *bytes);
/* Likewise, each rank a share of the blocks that it chose itself; `bytes` counts a block as
 * often as ranks have it in theirs. Collective over the context. */
ringmoe_status rm_checkpoint_verify_shares(ringmoe_context *context, const char *folder,
                                           const rm_file_manifest *manifest,
                                           rm_block_share share, int64_t *bytes);
/* The first for all files but the optimizer's, if the folder has a manifest; else nothing.
 * FILE; FORMAT; ARGUMENT (of another version); MEMORY; MPI. Collective over the context. */
ringmoe_status rm_verify_weights(ringmoe_context *context, const char *folder);

#endif
