/* SPDX-License-Identifier: MIT */
#include "text/added_tokens.h"

#include <stdlib.h>
#include <string.h>

/* Children of a node are a list: there are few of them. */
typedef struct rm_added_node {
    int32_t child, sibling; /* 0: none */
    int32_t token;          /* -1: none ends here */
    unsigned char byte;
} rm_added_node;

static ringmoe_status fail_memory(rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the added tokens");
}

/* Of an array with room for *room elements, one more. */
static bool grow(void **array, int32_t count, int32_t *room, size_t size)
{
    if (count < *room) return true;
    int32_t wanted = *room ? 2 * *room : 64;
    void *grown = realloc(*array, (size_t)wanted * size);
    if (!grown) return false;
    *array = grown;
    *room = wanted;
    return true;
}

static bool new_node(rm_added_tokens *added, unsigned char byte)
{
    void *nodes = added->nodes;
    bool done = grow(&nodes, added->n_nodes, &added->room, sizeof *added->nodes);
    added->nodes = nodes;
    if (done) added->nodes[added->n_nodes++] = (rm_added_node){.token = -1, .byte = byte};
    return done;
}

static int32_t child_of(const rm_added_tokens *added, int32_t node, unsigned char byte)
{
    int32_t child = added->nodes[node].child;
    while (child && added->nodes[child].byte != byte) child = added->nodes[child].sibling;
    return child;
}

/* The child of a node for a byte, made if need be; -1 without memory. */
static int32_t descend(rm_added_tokens *added, int32_t node, unsigned char byte)
{
    int32_t child = child_of(added, node, byte);
    if (child) return child;
    child = added->n_nodes;
    if (!new_node(added, byte)) return -1;
    added->nodes[child].sibling = added->nodes[node].child;
    added->nodes[node].child = child;
    return child;
}

static void add_root(rm_added_tokens *added, unsigned char byte)
{
    if (added->roots[byte]) return;
    added->roots[byte] = child_of(added, 0, byte);
    added->n_roots++;
    added->root = byte;
}

ringmoe_status rm_added_tokens_add(rm_added_tokens *added, const char *text, int64_t bytes,
                                   rm_added_token token, rm_error *error)
{
    int32_t node = 0;
    if (bytes == 0) return RINGMOE_OK;
    if (added->n_nodes == 0 && !new_node(added, 0)) return fail_memory(error);
    for (int64_t i = 0; i < bytes; i++) {
        node = descend(added, node, (unsigned char)text[i]);
        if (node < 0) return fail_memory(error);
    }
    add_root(added, (unsigned char)text[0]);
    if (added->nodes[node].token >= 0) return RINGMOE_OK;
    void *tokens = added->tokens;
    if (!grow(&tokens, added->n_tokens, &added->token_room, sizeof *added->tokens))
        return fail_memory(error);
    added->tokens = tokens;
    added->nodes[node].token = added->n_tokens;
    added->tokens[added->n_tokens++] = token;
    return RINGMOE_OK;
}

void rm_added_tokens_free(rm_added_tokens *added)
{
    free(added->nodes);
    free(added->tokens);
    *added = (rm_added_tokens){0};
}

/* The longest token that begins at a place, -1: none; its end in *end. */
static int32_t longest_at(const rm_added_tokens *added, const char *text, int64_t bytes,
                          int64_t begin, int64_t *end)
{
    int32_t node = added->roots[(unsigned char)text[begin]], token = -1;
    for (int64_t at = begin + 1; node; at++) {
        if (added->nodes[node].token >= 0) {
            token = added->nodes[node].token;
            *end = at;
        }
        node = at < bytes ? child_of(added, node, (unsigned char)text[at]) : 0;
    }
    return token;
}

/* The next place where a token may begin; `bytes`: nowhere. */
static int64_t next_root(const rm_added_tokens *added, const char *text, int64_t bytes,
                         int64_t at)
{
    if (at < bytes && added->n_roots == 1) {
        const char *found = memchr(text + at, added->root, (size_t)(bytes - at));
        return found ? found - text : bytes;
    }
    while (at < bytes && !added->roots[(unsigned char)text[at]]) at++;
    return at;
}

const rm_added_token *rm_added_tokens_find(const rm_added_tokens *added, const char *text,
                                           int64_t bytes, int64_t from, int64_t *begin,
                                           int64_t *end)
{
    if (added->n_tokens == 0) return NULL;
    for (int64_t at = from; (at = next_root(added, text, bytes, at)) < bytes; at++) {
        int32_t token = longest_at(added, text, bytes, at, end);
        *begin = at;
        if (token >= 0) return &added->tokens[token];
    }
    return NULL;
}
