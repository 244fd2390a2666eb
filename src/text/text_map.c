/* SPDX-License-Identifier: MIT */
#include "text/text_map.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { CHUNK_BYTES = 1 << 16 };

typedef struct rm_text_chunk {
    struct rm_text_chunk *older;
    int64_t used, room;
    char text[];
} rm_text_chunk;

static rm_text_chunk *new_chunk(rm_text_chunk *older, int64_t room)
{
    rm_text_chunk *chunk = malloc(sizeof *chunk + (size_t)room);
    if (chunk) *chunk = (rm_text_chunk){.older = older, .room = room};
    return chunk;
}

char *rm_text_pool_add(rm_text_pool *pool, const char *text, int64_t bytes)
{
    rm_text_chunk *chunk = pool->chunk;
    if (!chunk || chunk->room - chunk->used <= bytes) {
        chunk = new_chunk(chunk, bytes < CHUNK_BYTES ? CHUNK_BYTES : bytes + 1);
        if (!chunk) return NULL;
        pool->chunk = chunk;
    }
    char *copy = chunk->text + chunk->used;
    if (bytes > 0) memcpy(copy, text, (size_t)bytes);
    copy[bytes] = '\0';
    chunk->used += bytes + 1;
    return copy;
}

void rm_text_pool_free(rm_text_pool *pool)
{
    while (pool->chunk) {
        rm_text_chunk *older = pool->chunk->older;
        free(pool->chunk);
        pool->chunk = older;
    }
}

ringmoe_status rm_text_map_init(rm_text_map *map, int64_t most, rm_error *error)
{
    int64_t room = 16;
    while (room < 2 * most) room *= 2;
    map->mask = room - 1;
    map->entries = calloc((size_t)room, sizeof *map->entries);
    if (map->entries) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a vocabulary of %lld tokens",
                   (long long)most);
}

void rm_text_map_free(rm_text_map *map)
{
    free(map->entries);
    *map = (rm_text_map){0};
}

/* The text's entry, or the free one where it belongs. */
static rm_text_entry *look_up(const rm_text_map *map, const char *text, int64_t bytes)
{
    int64_t at = (int64_t)XXH3_64bits(text, (size_t)bytes) & map->mask;
    for (;; at = (at + 1) & map->mask) {
        rm_text_entry *entry = &map->entries[at];
        if (!entry->text) return entry;
        if (entry->bytes == bytes && !memcmp(entry->text, text, (size_t)bytes)) return entry;
    }
}

bool rm_text_map_put(rm_text_map *map, const char *text, int64_t bytes, int32_t number)
{
    rm_text_entry *entry = look_up(map, text, bytes);
    if (entry->text) return false;
    *entry = (rm_text_entry){text, (int32_t)bytes, number};
    return true;
}

int32_t rm_text_map_find(const rm_text_map *map, const char *text, int64_t bytes)
{
    if (!map->entries) return -1;
    const rm_text_entry *entry = look_up(map, text, bytes);
    return entry->text ? entry->number : -1;
}
