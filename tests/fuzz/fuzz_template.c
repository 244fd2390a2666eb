/* SPDX-License-Identifier: MIT
 *
 * A chat template: renders, or is refused.
 */
#include <string.h>

#include "text/tokenizer.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ringmoe_chat_message chat[] = {{"system", "be"}, {"user", " a\xc3\xa9 "}};
    struct ringmoe_tokenizer tokenizer = {.bos = -1, .eos = -1, .padding = -1, .unknown = -1};
    char *template = malloc(size + 1), text[64];
    int64_t n;
    FUZZ_CHECK(template);
    if (size > 0) memcpy(template, data, size);
    template[size] = '\0';
    tokenizer.unknown_name = -1;
    tokenizer.chat_template = template;
    ringmoe_status status =
        ringmoe_tokenizer_chat(&tokenizer, chat, 2, size & 1, text, sizeof text, &n);
    FUZZ_CHECK(status == RINGMOE_OK || status == RINGMOE_ERROR_FORMAT);
    FUZZ_CHECK(status == RINGMOE_OK || n == 0);
    FUZZ_CHECK(memchr(text, '\0', sizeof text));
    free(template);
    return 0;
}
