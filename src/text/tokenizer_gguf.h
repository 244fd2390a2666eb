/* SPDX-License-Identifier: MIT */
#ifndef RM_TOKENIZER_GGUF_H
#define RM_TOKENIZER_GGUF_H

#include "text/tokenizer.h"

/* As ringmoe_tokenizer_open for a GGUF file; messages begin with its path. */
ringmoe_status rm_tokenizer_from_gguf(ringmoe_context *context, const char *path,
                                      ringmoe_tokenizer **tokenizer, rm_error *error);

#endif
