/* SPDX-License-Identifier: MIT
 *
 * The scalars of JSON text: a cursor that never passes the end, and what can be read at it.
 * Functions return false and leave *trouble as what is wrong; NULL there means no memory.
 */
#ifndef RM_JSON_TEXT_H
#define RM_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

typedef struct rm_json_cursor {
    const char *begin, *at, *end;
    const char *trouble;
    bool repairs; /* as rm_json_limits has it */
} rm_json_cursor;

/* The character at the cursor; -1 at the end. */
static inline int rm_json_peek(const rm_json_cursor *cursor)
{
    return cursor->at < cursor->end ? (unsigned char)*cursor->at : -1;
}

void rm_json_skip_blanks(rm_json_cursor *cursor);
/* A string, whose first quotation mark the cursor is at. */
bool rm_json_read_string(rm_json_cursor *cursor, json_t **value);
/* A number, true, false or null. */
bool rm_json_read_plain(rm_json_cursor *cursor, json_t **value);

#endif
