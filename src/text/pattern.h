/* SPDX-License-Identifier: MIT
 *
 * Patterns that cut text into words. tokenizer.json writes them for Oniguruma in its Ruby
 * syntax; they are run by PCRE2. The two agree on most of what such patterns use; what they
 * read differently is translated, or refused by name.
 */
#ifndef RM_PATTERN_H
#define RM_PATTERN_H

#include <stdbool.h>

#include "base/status.h"

typedef struct rm_pattern rm_pattern;

/* A regular expression, or a text that is looked for as it is. FORMAT (says what in it),
 * MEMORY.
 */
ringmoe_status rm_pattern_compile(const char *text, int64_t bytes, bool is_literal,
                                  rm_pattern **pattern, rm_error *error);
void rm_pattern_free(rm_pattern **pattern);

/* What matching takes, for one thread. NULL without memory. */
typedef struct rm_matcher rm_matcher;
rm_matcher *rm_matcher_create(void);
void rm_matcher_free(rm_matcher **matcher);

/* The first match at or behind `from` in valid UTF-8: *found, *begin, *end. FORMAT: it takes
 * more work or memory than a pattern should. */
ringmoe_status rm_pattern_find(const rm_pattern *pattern, rm_matcher *matcher, const char *text,
                               int64_t bytes, int64_t from, bool *found, int64_t *begin,
                               int64_t *end, rm_error *error);

#endif
