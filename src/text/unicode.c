/* SPDX-License-Identifier: MIT */
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>

bool rm_bytes_reserve(rm_bytes *bytes, int64_t n)
{
    if (bytes->room - bytes->count >= n) return true;
    int64_t room = 2 * bytes->room + n + 64;
    char *data = realloc(bytes->data, (size_t)room);
    if (!data) return false;
    bytes->data = data;
    bytes->room = room;
    return true;
}

bool rm_bytes_add(rm_bytes *bytes, const char *data, int64_t n)
{
    if (!rm_bytes_reserve(bytes, n)) return false;
    if (n > 0) memcpy(bytes->data + bytes->count, data, (size_t)n);
    bytes->count += n;
    return true;
}

void rm_bytes_free(rm_bytes *bytes)
{
    free(bytes->data);
    *bytes = (rm_bytes){0};
}

/* Bytes of the character at the beginning, below 0 where there is none: minus the bytes that
 * could begin one (Table 3-7 of the standard). */
static int character(const unsigned char *text, int64_t n)
{
    unsigned lead = text[0], low = 0x80, high = 0xBF;
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return -1;
    int length = rm_utf8_length((unsigned char)lead);
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (int i = 1; i < length; i++) {
        if (i >= n || text[i] < low || text[i] > high) return -i;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

int64_t rm_utf8_valid(const char *text, int64_t n)
{
    const unsigned char *at = (const unsigned char *)text, *end = at + n;
    while (at < end) {
        uint64_t eight;
        while (end - at >= 8) {
            memcpy(&eight, at, 8);
            if (eight & 0x8080808080808080u) break;
            at += 8;
        }
        if (at == end) break;
        int length = character(at, end - at);
        if (length < 0) break;
        at += length;
    }
    return at - (const unsigned char *)text;
}

bool rm_utf8_repair(const char *text, int64_t n, rm_bytes *repaired)
{
    for (int64_t at = 0; at < n;) {
        int64_t good = rm_utf8_valid(text + at, n - at);
        if (!rm_bytes_add(repaired, text + at, good)) return false;
        at += good;
        if (at == n) break;
        at -= character((const unsigned char *)text + at, n - at);
        if (!rm_bytes_add(repaired, "\xEF\xBF\xBD", 3)) return false;
    }
    return true;
}

int32_t rm_utf8_code(const char *text, int length)
{
    static const unsigned char masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    int32_t code = (unsigned char)text[0] & masks[length];
    for (int i = 1; i < length; i++) code = code << 6 | ((unsigned char)text[i] & 0x3F);
    return code;
}

/* Unicode's property White_Space. */
static bool is_blank(int32_t code)
{
    static const int32_t others[] = {0x20,   0x85,   0xA0,   0x1680, 0x2028,
                                     0x2029, 0x202F, 0x205F, 0x3000};
    if ((code >= 9 && code <= 13) || (code >= 0x2000 && code <= 0x200A)) return true;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (code == others[i]) return true;
    return false;
}

int64_t rm_utf8_blanks_before(const char *text, int64_t n)
{
    int64_t at = 0;
    while (at < n) {
        int length = rm_utf8_length((unsigned char)text[at]);
        if (!is_blank(rm_utf8_code(text + at, length))) break;
        at += length;
    }
    return at;
}

int64_t rm_utf8_blanks_behind(const char *text, int64_t n)
{
    int64_t end = n;
    while (end > 0) {
        int64_t at = end - 1;
        while (at > 0 && ((unsigned char)text[at] & 0xC0) == 0x80) at--;
        if (!is_blank(rm_utf8_code(text + at, (int)(end - at)))) break;
        end = at;
    }
    return n - end;
}
