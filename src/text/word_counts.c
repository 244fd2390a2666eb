/* SPDX-License-Identifier: MIT */
#include "text/word_counts.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { LEAST_ROOM = 1 << 10 };

/* The word's entry, or the free one where it belongs. */
static rm_counted_word *look_up(const rm_word_counts *counts, const char *text, int64_t bytes,
                                uint64_t hash)
{
    uint64_t mask = (uint64_t)counts->room - 1;
    for (uint64_t at = hash & mask;; at = (at + 1) & mask) {
        rm_counted_word *entry = &counts->entries[at];
        if (!entry->text) return entry;
        if (entry->hash == hash && entry->bytes == bytes &&
            !memcmp(entry->text, text, (size_t)bytes))
            return entry;
    }
}

static bool grow(rm_word_counts *counts)
{
    rm_word_counts wider = *counts;
    wider.room = counts->room ? 2 * counts->room : LEAST_ROOM;
    wider.entries = calloc((size_t)wider.room, sizeof *wider.entries);
    if (!wider.entries) return false;
    for (int64_t i = 0; i < counts->room; i++) {
        const rm_counted_word *word = &counts->entries[i];
        if (word->text) *look_up(&wider, word->text, word->bytes, word->hash) = *word;
    }
    free(counts->entries);
    *counts = wider;
    return true;
}

static bool add(rm_word_counts *counts, rm_counted_word word)
{
    if (2 * (counts->n_words + 1) > counts->room && !grow(counts)) return false;
    rm_counted_word *entry = look_up(counts, word.text, word.bytes, word.hash);
    if (entry->text) {
        entry->count += word.count;
        return true;
    }
    word.text = rm_text_pool_add(&counts->texts, word.text, word.bytes);
    if (!word.text) return false;
    *entry = word;
    counts->n_words++;
    return true;
}

bool rm_word_counts_add(rm_word_counts *counts, const char *text, int64_t bytes, int64_t count)
{
    uint64_t hash = XXH3_64bits(text, (size_t)bytes);
    return add(counts, (rm_counted_word){text, hash, count, bytes});
}

bool rm_word_counts_join(rm_word_counts *counts, const rm_word_counts *from)
{
    for (int64_t i = 0; i < from->room; i++)
        if (from->entries[i].text && !add(counts, from->entries[i])) return false;
    return true;
}

void rm_word_counts_free(rm_word_counts *counts)
{
    rm_text_pool_free(&counts->texts);
    free(counts->entries);
    *counts = (rm_word_counts){0};
}
