/* SPDX-License-Identifier: MIT
 *
 * tokenizer.json: what is accepted encodes any text to ids it has, which have bytes, and can be
 * told as lists or says why not.
 */
#include "text/tokenizer.h"

#include <string.h>

#include "fuzz.h"

static const char text[] = "Hello <s> w\xc3\xb6rld\xff 12\n\n  \xe2\x96\x81x 'll";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int32_t ids[256];
    int64_t n;
    ringmoe_tokenizer *tokenizer;
    ringmoe_tokenizer_parts parts;
    const char *path = fuzz_file("tokenizer.json", data, size);
    ringmoe_status status = ringmoe_tokenizer_open(NULL, path, &tokenizer);
    FUZZ_CHECK((status == RINGMOE_OK) == (tokenizer != NULL));
    if (!tokenizer) return 0;
    for (int flags = 0; flags < 4; flags++) {
        status =
            ringmoe_tokenizer_encode(tokenizer, text, sizeof text - 1, flags, ids, 256, &n);
        FUZZ_CHECK(status == RINGMOE_OK || status == RINGMOE_ERROR_FORMAT);
        for (int64_t i = 0; i < n && i < 256; i++) {
            int bytes;
            FUZZ_CHECK(ids[i] >= 0 && ids[i] < ringmoe_tokenizer_vocab_size(tokenizer));
            ringmoe_tokenizer_bytes(tokenizer, ids[i], i == 0, &bytes);
            FUZZ_CHECK(bytes >= 0);
        }
    }
    status = ringmoe_tokenizer_describe(tokenizer, &parts);
    FUZZ_CHECK(status == RINGMOE_OK || status == RINGMOE_ERROR_FORMAT);
    ringmoe_tokenizer_destroy(&tokenizer);
    return 0;
}
