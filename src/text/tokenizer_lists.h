/* SPDX-License-Identifier: MIT */
#ifndef RM_TOKENIZER_LISTS_H
#define RM_TOKENIZER_LISTS_H

#include "text/tokenizer.h"

/* The lists that ringmoe_tokenizer_describe gave away. */
typedef struct rm_tokenizer_lists rm_tokenizer_lists;
void rm_tokenizer_lists_free(rm_tokenizer_lists **lists);

#endif
