/* SPDX-License-Identifier: MIT
 *
 * Reading tokenizer.json with a word for each key that is not as expected.
 */
#ifndef RM_TOKENIZER_JSON_H
#define RM_TOKENIZER_JSON_H

#include "format/json.h"
#include "text/tokenizer.h"

/* FORMAT: a key of the object is not in the list "|a|b|". */
ringmoe_status rm_only_keys(const json_t *object, const char *where, const char *keys,
                            rm_error *error);
/* FORMAT: `what` of `where` "is not done" with that value. */
ringmoe_status rm_not_done(const char *where, const char *what, const json_t *value,
                           rm_error *error);
/* A boolean; missing or null: `otherwise`. */
ringmoe_status rm_flag(const json_t *object, const char *where, const char *key, bool otherwise,
                       bool *flag, rm_error *error);
/* A text; missing or null: NULL, or FORMAT if it is needed. Lives as long as the object. */
ringmoe_status rm_text(const json_t *object, const char *where, const char *key, bool is_needed,
                       const char **text, rm_error *error);
/* FORMAT: not null, false, "" or 0, which is what the key has where it does nothing. */
ringmoe_status rm_is_nothing(const json_t *object, const char *where, const char *key,
                             rm_error *error);
/* The list under a key of a Sequence. FORMAT: there is none. */
ringmoe_status rm_list(const json_t *component, const char *where, const char *key,
                       const json_t **list, rm_error *error);
/* A component, such as the normalizer, is an object with "type"; null: *type NULL. */
ringmoe_status rm_type(const json_t *component, const char *where, const char **type,
                       rm_error *error);
/* {"String": ...} or {"Regex": ...}. */
ringmoe_status rm_pattern_of(const json_t *component, const char *where, const char **text,
                             bool *is_literal, rm_error *error);

/* The parts of the file, in this order; the first sets `kind`. */
ringmoe_status rm_read_pre_tokenizer(ringmoe_tokenizer *tokenizer, const json_t *component,
                                     rm_error *error);
ringmoe_status rm_read_normalizer(ringmoe_tokenizer *tokenizer, const json_t *component,
                                  rm_error *error);
ringmoe_status rm_read_post_processor(ringmoe_tokenizer *tokenizer, const json_t *component,
                                      rm_error *error);
ringmoe_status rm_read_decoder(ringmoe_tokenizer *tokenizer, const json_t *component,
                               rm_error *error);
/* tokenizer_config.json and its like: special tokens and the chat template. */
ringmoe_status rm_read_tokenizer_config(ringmoe_tokenizer *tokenizer, rm_error *error);

#endif
