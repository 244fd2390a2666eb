/* SPDX-License-Identifier: MIT
 *
 * A fuzz target is one function that reads the bytes it is given as a file of some kind, and
 * must neither crash, leak, nor accept what it then cannot use. It is linked either with
 * libFuzzer (tests/fuzz/run) or with corpus.c, which hands it the files of its corpus.
 */
#ifndef RM_FUZZ_H
#define RM_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../unit/scratch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process with a line: what a reader accepted breaks its promise. */
#define FUZZ_CHECK(condition)                                                                  \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);            \
            abort();                                                                           \
        }                                                                                      \
    } while (0)

static inline void fuzz_remove_folder(void)
{
    scratch_teardown(NULL);
}

/* A file of the process's own folder with this content, and its path. */
static inline const char *fuzz_file(const char *name, const uint8_t *data, size_t size)
{
    if (!scratch_folder[0]) {
        FUZZ_CHECK(scratch_setup(NULL) == 0);
        atexit(fuzz_remove_folder);
    }
    return scratch_file(name, data, size);
}

#endif
