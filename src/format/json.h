/* SPDX-License-Identifier: MIT
 *
 * JSON from files that may come from anywhere, as jansson's values. The parser is our own:
 * jansson's does not notice when its buffer cannot grow, and then returns another text than it
 * was given. This one holds its caller's limits while it reads, so that neither deep nesting
 * nor very many values take memory that nobody has use for, and refuses what RFC 8259 does not
 * allow, duplicate keys, and NUL characters.
 */
#ifndef RM_JSON_H
#define RM_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"

typedef struct rm_json_limits {
    int64_t bytes;  /* of the file */
    int64_t values; /* of all kinds, at any depth */
    int depth;      /* lists and objects in each other */
    bool repairs;   /* \u0000 in a text stays, and half of a character becomes U+FFFD; else
                       both are refused, as they always are in keys */
} rm_json_limits;

/* An object or a list. FORMAT or MEMORY; messages do not name the file. The caller's to
 * json_decref. */
ringmoe_status rm_json_parse(const char *text, int64_t size, const rm_json_limits *limits,
                             json_t **root, rm_error *error);
/* A whole file. FILE, FORMAT or MEMORY; messages begin with its path. */
ringmoe_status rm_json_read(const char *path, const rm_json_limits *limits, json_t **root,
                            rm_error *error);

#endif
