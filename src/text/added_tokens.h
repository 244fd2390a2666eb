/* SPDX-License-Identifier: MIT
 *
 * Tokens that are looked for in a text as a whole: at each place the longest one, and the next
 * is looked for behind it.
 */
#ifndef RM_ADDED_TOKENS_H
#define RM_ADDED_TOKENS_H

#include <stdbool.h>

#include "base/status.h"

typedef struct rm_added_token {
    int32_t id;
    bool takes_left, takes_right; /* blanks beside it become part of it */
    bool is_special;
} rm_added_token;

/* A tree of bytes; node 0 is its root. A zeroed one has no tokens. */
typedef struct rm_added_tokens {
    struct rm_added_node *nodes;
    int32_t n_nodes, room;
    rm_added_token *tokens;
    int32_t n_tokens, token_room;
    int32_t roots[256]; /* the node of a first byte; 0: none */
    int n_roots;
    unsigned char root; /* the first byte where all tokens have the same */
} rm_added_tokens;

/* A text that is there stays as it is. MEMORY. */
ringmoe_status rm_added_tokens_add(rm_added_tokens *added, const char *text, int64_t bytes,
                                   rm_added_token token, rm_error *error);
void rm_added_tokens_free(rm_added_tokens *added);

/* The first one in text[from .. bytes - 1], NULL: none; where it is in *begin and *end. */
const rm_added_token *rm_added_tokens_find(const rm_added_tokens *added, const char *text,
                                           int64_t bytes, int64_t from, int64_t *begin,
                                           int64_t *end);

#endif
