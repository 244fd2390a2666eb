/* SPDX-License-Identifier: MIT
 *
 * Texts that stay where they are, and numbers found by them: the words of a vocabulary. Bytes
 * of any value, lengths instead of NUL at the end.
 */
#ifndef RM_TEXT_MAP_H
#define RM_TEXT_MAP_H

#include <stdbool.h>

#include "base/status.h"

/* Texts in chunks that never move. A zeroed one is empty. */
typedef struct rm_text_pool {
    struct rm_text_chunk *chunk; /* the newest, which leads to the others */
} rm_text_pool;

/* A copy of the text with NUL behind it; NULL without memory. */
char *rm_text_pool_add(rm_text_pool *pool, const char *text, int64_t bytes);
void rm_text_pool_free(rm_text_pool *pool);

typedef struct rm_text_entry {
    const char *text; /* NULL: free */
    int32_t bytes, number;
} rm_text_entry;

/* Open addressing. A zeroed one is empty and has room for nothing. */
typedef struct rm_text_map {
    rm_text_entry *entries;
    int64_t mask; /* entries - 1 */
} rm_text_map;

/* Room for so many texts. MEMORY. */
ringmoe_status rm_text_map_init(rm_text_map *map, int64_t most, rm_error *error);
void rm_text_map_free(rm_text_map *map);
/* Keeps the pointer. A text that is there keeps its number; false then. */
bool rm_text_map_put(rm_text_map *map, const char *text, int64_t bytes, int32_t number);
/* -1: not there. */
int32_t rm_text_map_find(const rm_text_map *map, const char *text, int64_t bytes);

#endif
