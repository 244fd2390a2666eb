/* SPDX-License-Identifier: MIT
 *
 * The tokenizer of a GGUF file: what is accepted encodes any text to ids it has, and opens
 * again as the tokenizer.json that is saved of it; over bytes with the same ids.
 */
#include "text/tokenizer.h"
#include "fuzz.h"

enum { MOST_IDS = 256 };
static const char text[] = "Hello <s> w\xc3\xb6rld\xff 12\n\n  \xe2\x96\x81x 'll";

static int64_t encode(ringmoe_tokenizer *tokenizer, int32_t ids[MOST_IDS])
{
    int64_t n;
    ringmoe_status status = ringmoe_tokenizer_encode(tokenizer, text, sizeof text - 1,
                                                     RINGMOE_ENCODE_FRAME, ids, MOST_IDS, &n);
    FUZZ_CHECK(status == RINGMOE_OK && n <= MOST_IDS);
    for (int64_t i = 0; i < n; i++)
        FUZZ_CHECK(ids[i] >= 0 && ids[i] < ringmoe_tokenizer_vocab_size(tokenizer));
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int32_t ids[MOST_IDS], again[MOST_IDS];
    ringmoe_tokenizer *tokenizer, *saved;
    ringmoe_status status =
        ringmoe_tokenizer_open(NULL, fuzz_file("lists.gguf", data, size), &tokenizer);
    FUZZ_CHECK((status == RINGMOE_OK) == (tokenizer != NULL));
    if (!tokenizer) return 0;
    int64_t n = encode(tokenizer, ids);
    FUZZ_CHECK(ringmoe_tokenizer_save(tokenizer, scratch_folder) == RINGMOE_OK);
    FUZZ_CHECK(ringmoe_tokenizer_open(NULL, scratch_folder, &saved) == RINGMOE_OK);
    int64_t n_again = encode(saved, again);
    if (ringmoe_tokenizer_get_kind(tokenizer) == RINGMOE_TOKENIZER_BYTES)
        FUZZ_CHECK(n == n_again && !memcmp(ids, again, (size_t)n * sizeof *ids));
    ringmoe_tokenizer_destroy(&saved);
    ringmoe_tokenizer_destroy(&tokenizer);
    return 0;
}
