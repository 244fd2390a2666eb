/* SPDX-License-Identifier: MIT
 *
 * How byte-level vocabularies spell bytes (GPT-2): the printable characters of Latin-1 stand
 * for themselves, all other bytes, in their order, for U+0100, U+0101, ...
 */
#include <stdio.h>
#include <string.h>

#include "text/tokenizer.h"

static bool stands_for_itself(int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* The others in their order: 0x00 to 0x20, 0x7F to 0xA0, 0xAD. */
enum { FIRST_OTHER = 0x100, N_LOW = 0x21, N_OTHERS = 0x44 };

static int character_of(int byte)
{
    if (stands_for_itself(byte)) return byte;
    if (byte < N_LOW) return FIRST_OTHER + byte;
    return byte == 0xAD ? FIRST_OTHER + N_OTHERS - 1 : FIRST_OTHER + N_LOW + byte - 0x7F;
}

/* -1: the character stands for no byte. */
static int byte_of(int code)
{
    if (code < FIRST_OTHER) return stands_for_itself(code) ? code : -1;
    int other = code - FIRST_OTHER;
    if (other < N_LOW) return other;
    if (other == N_OTHERS - 1) return 0xAD;
    return other < N_OTHERS ? 0x7F + other - N_LOW : -1;
}

int rm_byte_level_encode(unsigned char byte, char spelling[2])
{
    int code = character_of(byte);
    if (code < 0x80) {
        spelling[0] = (char)code;
        return 1;
    }
    spelling[0] = (char)(0xC0 | code >> 6);
    spelling[1] = (char)(0x80 | (code & 0x3F));
    return 2;
}

int64_t rm_byte_level_decode(const char *spelling, int64_t n, char *bytes)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        int code = (unsigned char)spelling[i];
        if (code >= 0x80) {
            if (code >= 0xE0 || i + 1 == n) return -1;
            code = (code & 0x1F) << 6 | ((unsigned char)spelling[++i] & 0x3F);
        }
        int byte = byte_of(code);
        if (byte < 0) return -1;
        bytes[count++] = (char)byte;
    }
    return count;
}

int rm_byte_token(const char *spelling, int64_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    if (n != 6 || memcmp(spelling, "<0x", 3) != 0 || spelling[5] != '>') return -1;
    const char *high = memchr(digits, spelling[3], 16), *low = memchr(digits, spelling[4], 16);
    return high && low ? (int)((high - digits) << 4 | (low - digits)) : -1;
}
