/* SPDX-License-Identifier: MIT */
#include "plan/system.h"

#include <string.h>

void rm_words_append(char words[RINGMOE_MACHINE_TEXT], const char *word)
{
    size_t used = strlen(words), length = strlen(word), gap = used > 0;
    if (used + gap + length >= RINGMOE_MACHINE_TEXT) return;
    if (gap) words[used] = ' ';
    memcpy(words + used + gap, word, length + 1);
}

bool rm_words_contain(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = words; *at; at += strspn(at, " \t\n")) {
        size_t size = strcspn(at, " \t\n");
        if (size == length && strncmp(at, word, length) == 0) return true;
        at += size;
    }
    return false;
}
