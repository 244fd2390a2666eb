/* SPDX-License-Identifier: MIT
 *
 * What the tests of tokenizers share: a context, the small tokenizers, and a text.
 */
#ifndef RM_TOKENIZER_FIXTURE_H
#define RM_TOKENIZER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ringmoe/data.h>

#include "comm/context.h"
#include "scratch.h"

static struct ringmoe_context context;
static const char *folder; /* of the tokenizers */

static inline void must(ringmoe_status status)
{
    if (status != RINGMOE_OK) fail_msg("%s", context.error.text);
}

static inline ringmoe_tokenizer *opened(const char *name)
{
    char path[1024];
    ringmoe_tokenizer *tokenizer;
    snprintf(path, sizeof path, "%s/%s.json", folder, name);
    must(ringmoe_tokenizer_open(&context, path, &tokenizer));
    return tokenizer;
}

static inline const char *long_text(void)
{
    const char *path = scratch_path("long.txt");
    FILE *out = fopen(path, "w");
    for (int i = 0; i < 60000; i++)
        fprintf(out, "line %d of a text\nwith \xc3\xa9 and others, %d\n\n", i, i * 7919);
    assert_int_equal(fclose(out), 0);
    return path;
}

#endif
