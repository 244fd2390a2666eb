/* SPDX-License-Identifier: MIT
 *
 * Token files with headers: the first byte chooses how FILE.bin is read, the next two how many
 * of the others are FILE.idx. What opens has ids in the vocabulary only.
 */
#include "text/tokens.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ringmoe_token_format formats[] = {RINGMOE_TOKENS_AUTO, RINGMOE_TOKENS_LLMC,
                                                   RINGMOE_TOKENS_MEGATRON};
    if (size < 3) return 0;
    size_t index = (size_t)data[1] + 256 * (size_t)data[2];
    if (index > size - 3) index = size - 3;
    fuzz_file("file.idx", data + 3, index);
    const char *path = fuzz_file("file.bin", data + 3 + index, size - 3 - index);
    int vocab_size = data[0] & 4 ? 1 << 20 : 300;
    ringmoe_tokens *tokens;
    ringmoe_status status =
        ringmoe_tokens_open(NULL, path, formats[data[0] % 3], vocab_size, &tokens);
    FUZZ_CHECK((status == RINGMOE_OK) == (tokens != NULL));
    FUZZ_CHECK(status == RINGMOE_OK || status == RINGMOE_ERROR_FORMAT);
    for (int64_t i = 0; tokens && i < ringmoe_tokens_count(tokens); i++) {
        int32_t id;
        FUZZ_CHECK(ringmoe_tokens_read(tokens, i, 1, &id) == RINGMOE_OK);
        FUZZ_CHECK(id >= 0 && id < vocab_size);
    }
    ringmoe_tokens_destroy(&tokens);
    return 0;
}
