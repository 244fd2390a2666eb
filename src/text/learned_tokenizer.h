/* SPDX-License-Identifier: MIT */
#ifndef RM_LEARNED_TOKENIZER_H
#define RM_LEARNED_TOKENIZER_H

#include "text/learn_merges.h"
#include "text/tokenizer.h"

/* A tokenizer over bytes from a vocabulary, whose first ids `special` spells; `end` is the id
 * that ends a text, -1: none. ARGUMENT: no such pattern; MEMORY. */
ringmoe_status rm_learned_tokenizer(const rm_vocabulary *vocabulary, const char *const *special,
                                    const char *pattern, int end, ringmoe_tokenizer **tokenizer,
                                    rm_error *error);

#endif
