/* SPDX-License-Identifier: MIT */
#ifndef RM_TOKENIZER_WRITE_H
#define RM_TOKENIZER_WRITE_H

#include "format/learn_merges.h"
#include "format/tokenizer.h"

/* Adds what tokenizer.json says of a vocabulary over bytes; `special` spells its first ids.
 * False without memory. */
bool rm_tokenizer_write(const rm_vocabulary *vocabulary, const char *const *special,
                        const rm_named_pattern *pattern, rm_bytes *text);

#endif
