/* SPDX-License-Identifier: MIT
 *
 * The only way to read bytes of a GGUF file's header: a cursor that never passes the end, with
 * lengths whose products are checked before they are used. A function that is asked for more
 * than there is sets ran_out, and is_over if the whole file has not so much either, and returns
 * FORMAT without a message.
 */
#ifndef RM_GGUF_CURSOR_H
#define RM_GGUF_CURSOR_H

#include <string.h>

#include "format/gguf.h"

typedef struct rm_gguf_cursor {
    const unsigned char *begin, *at, *end;
    uint64_t behind; /* bytes of the file that `end` is not the end of */
    bool ran_out, is_over;
} rm_gguf_cursor;

/* Whether there may be `count` things of at least `width` bytes each, width > 0: to be asked
 * before memory is taken for them. */
static inline ringmoe_status rm_gguf_expect(rm_gguf_cursor *cursor, uint64_t count, int width)
{
    uint64_t left = (uint64_t)(cursor->end - cursor->at);
    if (count <= left / (uint64_t)width) return RINGMOE_OK;
    cursor->ran_out = true;
    cursor->is_over = count > (left + cursor->behind) / (uint64_t)width;
    return RINGMOE_ERROR_FORMAT;
}

/* `count` things of `width` bytes. */
static inline ringmoe_status rm_gguf_take(rm_gguf_cursor *cursor, uint64_t count, int width,
                                          const unsigned char **data)
{
    RM_TRY(rm_gguf_expect(cursor, count, width));
    *data = cursor->at;
    cursor->at += count * (uint64_t)width;
    return RINGMOE_OK;
}

static inline ringmoe_status rm_gguf_take_u32(rm_gguf_cursor *cursor, uint32_t *value)
{
    const unsigned char *data;
    RM_TRY(rm_gguf_take(cursor, 1, sizeof *value, &data));
    memcpy(value, data, sizeof *value);
    return RINGMOE_OK;
}

static inline ringmoe_status rm_gguf_take_u64(rm_gguf_cursor *cursor, uint64_t *value)
{
    const unsigned char *data;
    RM_TRY(rm_gguf_take(cursor, 1, sizeof *value, &data));
    memcpy(value, data, sizeof *value);
    return RINGMOE_OK;
}

/* A length and that many bytes. */
static inline ringmoe_status rm_gguf_take_text(rm_gguf_cursor *cursor, rm_gguf_text *text)
{
    uint64_t length;
    const unsigned char *data;
    RM_TRY(rm_gguf_take_u64(cursor, &length));
    RM_TRY(rm_gguf_take(cursor, length, 1, &data));
    *text = (rm_gguf_text){(const char *)data, (int64_t)length};
    return RINGMOE_OK;
}

#endif
