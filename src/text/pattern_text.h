/* SPDX-License-Identifier: MIT */
#ifndef RM_PATTERN_TEXT_H
#define RM_PATTERN_TEXT_H

#include "text/unicode.h"

/* A pattern of Oniguruma's Ruby syntax in PCRE2's. FORMAT: it has something that is not
 * translated; MEMORY. */
ringmoe_status rm_pattern_translate(const char *text, int64_t bytes, rm_bytes *translated,
                                    rm_error *error);

#endif
