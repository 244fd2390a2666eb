/* SPDX-License-Identifier: MIT
 *
 * JSON from files that may come from anywhere. The text is looked through before it is parsed,
 * so that neither deep nesting nor very many values can take more memory than the reader that
 * asks has use for; duplicate keys, NUL characters and text behind the value are refused.
 */
#ifndef RM_JSON_H
#define RM_JSON_H

#include <jansson.h>

#include "base/status.h"

typedef struct rm_json_limits {
    int64_t bytes;  /* of the file */
    int64_t values; /* of all kinds, at any depth */
    int depth;      /* lists and objects in each other */
} rm_json_limits;

/* FORMAT or MEMORY; messages do not name the file. The caller's to json_decref. */
ringmoe_status rm_json_parse(const char *text, int64_t size, const rm_json_limits *limits,
                             json_t **root, rm_error *error);
/* A whole file. FILE, FORMAT or MEMORY; messages begin with its path. */
ringmoe_status rm_json_read(const char *path, const rm_json_limits *limits, json_t **root,
                            rm_error *error);

#endif
