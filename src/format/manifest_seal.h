/* SPDX-License-Identifier: MIT
 *
 * What the writer and the reader of manifest.json share: its last line, which holds the
 * checksum of all bytes before it, and what a listed file may be called.
 *
 *   "checksum": "0123456789abcdef"}
 */
#ifndef RM_MANIFEST_SEAL_H
#define RM_MANIFEST_SEAL_H

#include <stdio.h>
#include <xxhash.h>

#include "format/manifest.h"

enum {
    RM_FILE_MANIFEST_VERSION = 1,
    RM_SEAL_BYTES = sizeof "\"checksum\": \"0123456789abcdef\"}\n" - 1,
};

/* The last line for the text before it, with a NUL. */
static inline void rm_manifest_seal(const char *text, size_t length,
                                    char seal[RM_SEAL_BYTES + 1])
{
    snprintf(seal, RM_SEAL_BYTES + 1, "\"checksum\": \"%016llx\"}\n",
             (unsigned long long)XXH3_64bits(text, length));
}

/* NULL if a file of a checkpoint may have the name, else why not: "is .." or "has ..". */
const char *rm_listed_name_trouble(const char *name);

#endif
