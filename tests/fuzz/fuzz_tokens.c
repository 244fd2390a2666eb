/* SPDX-License-Identifier: MIT
 *
 * Token files: the first byte chooses how the others are read. Each id of a stream that opens
 * is in the vocabulary, also after a split.
 */
#include "text/tokens.h"
#include "fuzz.h"

static void read_all(const ringmoe_tokens *tokens, int vocab_size)
{
    int64_t n = ringmoe_tokens_count(tokens);
    char hex[17];
    FUZZ_CHECK(n > 0);
    for (int64_t i = 0; i < n; i++) {
        int32_t id;
        FUZZ_CHECK(ringmoe_tokens_read(tokens, i, 1, &id) == RINGMOE_OK);
        FUZZ_CHECK(id >= 0 && id < vocab_size);
    }
    int32_t none;
    FUZZ_CHECK(ringmoe_tokens_read(tokens, n, 1, &none) == RINGMOE_ERROR_ARGUMENT);
    FUZZ_CHECK(ringmoe_tokens_hash(tokens, hex) == RINGMOE_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int vocabularies[] = {1, 100, 256, 257, 65536, 1 << 24};
    if (size == 0) return 0;
    int vocab_size = vocabularies[data[0] / 4 % 6];
    ringmoe_tokens *tokens, *first, *last;
    const char *path = fuzz_file("tokens", data + 1, size - 1);
    ringmoe_status status = ringmoe_tokens_open(NULL, path, (ringmoe_token_format)(data[0] % 4),
                                                vocab_size, &tokens);
    FUZZ_CHECK((status == RINGMOE_OK) == (tokens != NULL));
    if (!tokens) return 0;
    read_all(tokens, vocab_size);
    status = ringmoe_tokens_split(NULL, tokens, (data[0] + 0.5) / 256, &first, &last);
    FUZZ_CHECK((status == RINGMOE_OK) == (ringmoe_tokens_count(tokens) > 1));
    if (status == RINGMOE_OK) {
        read_all(first, vocab_size);
        read_all(last, vocab_size);
    }
    ringmoe_tokens_destroy(&first);
    ringmoe_tokens_destroy(&last);
    ringmoe_tokens_destroy(&tokens);
    return 0;
}
