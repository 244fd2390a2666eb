/* SPDX-License-Identifier: MIT
 *
 * A folder's tokenizer as keys of a GGUF file.
 */
#ifndef RM_TOKENIZER_KEYS_H
#define RM_TOKENIZER_KEYS_H

#include <ringmoe/model.h>

#include "comm/context.h"
#include "format/gguf_write.h"

/* The keys of the tokenizer.json in the folder, whose list of tokens is filled up to the
 * model's vocabulary; without such a file, or
 * a folder, those of no tokenizer. Ids that the tokenizer does
 * not name are the configuration's. FILE, FORMAT, MEMORY. */
ringmoe_status rm_tokenizer_put_keys(ringmoe_context *context, const char *folder,
                                     const ringmoe_model_config *config,
                                     rm_gguf_writer *writer);
/* The keys that a GGUF file has of its tokenizer, as they are. */
void rm_tokenizer_copy_keys(const rm_gguf *file, rm_gguf_writer *writer);

#endif
