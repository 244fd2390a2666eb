/* SPDX-License-Identifier: MIT
 *
 * UTF-8 that is repaired and normalized (Unicode Standard Annex 15, through utf8proc).
 */
#ifndef RM_UNICODE_H
#define RM_UNICODE_H

#include <stdbool.h>

#include "base/status.h"

/* Bytes that grow. A zeroed one is empty. */
typedef struct rm_bytes {
    char *data;
    int64_t count, room;
} rm_bytes;
/* False without memory. */
bool rm_bytes_add(rm_bytes *bytes, const char *data, int64_t n);
/* Room for so many more. */
bool rm_bytes_reserve(rm_bytes *bytes, int64_t n);
void rm_bytes_free(rm_bytes *bytes);

/* How many bytes at the beginning are UTF-8. */
int64_t rm_utf8_valid(const char *text, int64_t n);
/* Adds the text with U+FFFD for each longest piece that begins like a character and is none
 * (Unicode Standard, chapter 3, "U+FFFD Substitution of Maximal Subparts"). False without
 * memory. */
bool rm_utf8_repair(const char *text, int64_t n, rm_bytes *repaired);
/* Bytes of the character that a byte of valid UTF-8 begins. */
static inline int rm_utf8_length(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}
/* The code point of a valid character of so many bytes. */
int32_t rm_utf8_code(const char *text, int length);
/* The bytes of the blanks (White_Space) that a valid text begins with, and that it ends with.
 */
int64_t rm_utf8_blanks_before(const char *text, int64_t n);
int64_t rm_utf8_blanks_behind(const char *text, int64_t n);

typedef enum rm_unicode_form { RM_NFC, RM_NFD, RM_NFKC, RM_NFKD } rm_unicode_form;

/* Adds a valid text in a form. Linear but for what is taken together: a character with all its
 * marks. False without memory. */
bool rm_unicode_normalize(const char *text, int64_t n, rm_unicode_form form, rm_bytes *result);
/* Whether a text surely is in the form already: no character in it that the form changes or
 * that may join the one before. */
bool rm_unicode_is_plain(const char *text, int64_t n, rm_unicode_form form);

#endif
