/* SPDX-License-Identifier: MIT */
#ifndef RM_TOKENIZER_WRITE_H
#define RM_TOKENIZER_WRITE_H

#include "text/tokenizer.h"

/* The files of a tokenizer that was made from lists, into its `files`: tokenizer.json and
 * tokenizer_config.json. MEMORY. */
ringmoe_status rm_tokenizer_make_files(ringmoe_tokenizer *tokenizer, rm_error *error);

#endif
