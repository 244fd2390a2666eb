/* SPDX-License-Identifier: MIT */
#ifndef RM_UNICODE_AGES_H
#define RM_UNICODE_AGES_H

#include <stdbool.h>
#include <stdint.h>

/* A range of characters that PCRE2 may not know the category of. */
typedef struct rm_late_range {
    char category[3]; /* "" ends the list */
    int32_t first, last;
} rm_late_range;
extern const rm_late_range rm_late_categories[];

/* Whether normalizing must leave a character alone and not let others reach across it. */
bool rm_has_late_form(int32_t code);

#endif
