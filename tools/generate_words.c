/* SPDX-License-Identifier: MIT */
#include "generate.h"

#include <stdlib.h>
#include <string.h>

#include "source.h"

bool words_open(generate_words *words, ringmoe_context *context, const char *path,
                bool must_be_there, int vocab_size, char *text, size_t size)
{
    *words = (generate_words){.are_bytes = vocab_size <= TEXT_VOCABULARY};
    if (!must_be_there && !source_may_have_tokenizer(path)) {
        if (vocab_size >= TEXT_VOCABULARY) return true;
        snprintf(text, size,
                 "--model %s: its vocabulary of %d has no bytes: not a model of text", path,
                 vocab_size);
        return false;
    }
    ringmoe_status status = ringmoe_tokenizer_open(context, path, &words->tokenizer);
    if (status == RINGMOE_OK) words->are_bytes = false;
    if (status == RINGMOE_OK || (status == RINGMOE_ERROR_STATE && !must_be_there)) return true;
    snprintf(text, size, "%s", ringmoe_context_error(context));
    return false;
}

void words_close(generate_words *words)
{
    ringmoe_tokenizer_destroy(&words->tokenizer);
}

/* "17 4 399" as tokens; how many they are, or -1 for anything else than ids of the model. */
static int64_t read_ids(const char *text, int vocab_size, int32_t *tokens)
{
    static const char blanks[] = " \t\r\n";
    int64_t count = 0;
    for (text += strspn(text, blanks); *text; text += strspn(text, blanks)) {
        char *end;
        long id = strtol(text, &end, 10);
        bool is_whole = end != text && (*end == '\0' || strchr(blanks, *end));
        if (!is_whole || id < 0 || id >= vocab_size) return -1;
        tokens[count++] = (int32_t)id;
        text = end;
    }
    return count ? count : -1;
}

/* A user's turn, after the system's if there is one, up to where the answer begins. */
static ringmoe_status apply_template(const generate_words *words,
                                     const generate_options *options, const char *bytes,
                                     char **conversation, int64_t *n_bytes)
{
    ringmoe_chat_message messages[2] = {{"system", options->system}, {"user", bytes}};
    const ringmoe_chat_message *first = options->system ? messages : messages + 1;
    int n = options->system ? 2 : 1;
    ringmoe_status status =
        ringmoe_tokenizer_chat(words->tokenizer, first, n, 1, NULL, 0, n_bytes);
    if (status != RINGMOE_OK) return status;
    *conversation = malloc((size_t)*n_bytes + 1);
    if (!*conversation) return RINGMOE_ERROR_MEMORY;
    return ringmoe_tokenizer_chat(words->tokenizer, first, n, 1, *conversation, *n_bytes + 1,
                                  n_bytes);
}

static ringmoe_status encode(const generate_words *words, const char *bytes, int64_t n_bytes,
                             int flags, int32_t **tokens, int64_t *n_tokens)
{
    ringmoe_status status =
        ringmoe_tokenizer_encode(words->tokenizer, bytes, n_bytes, flags, NULL, 0, n_tokens);
    if (status != RINGMOE_OK) return status;
    *tokens = malloc(((size_t)*n_tokens + 1) * sizeof **tokens);
    if (!*tokens) return RINGMOE_ERROR_MEMORY;
    return ringmoe_tokenizer_encode(words->tokenizer, bytes, n_bytes, flags, *tokens, *n_tokens,
                                    n_tokens);
}

static ringmoe_status encode_text(const generate_words *words, const generate_options *options,
                                  const char *bytes, int64_t n_bytes, int32_t **tokens,
                                  int64_t *n_tokens)
{
    char *conversation = NULL;
    if (!options->chat)
        return encode(words, bytes, n_bytes, RINGMOE_ENCODE_FRAME, tokens, n_tokens);
    ringmoe_status status = apply_template(words, options, bytes, &conversation, &n_bytes);
    if (status == RINGMOE_OK)
        status = encode(words, conversation, n_bytes, 0, tokens, n_tokens);
    free(conversation);
    return status;
}

/* Without a tokenizer a byte is a token, or a number is. */
static bool encode_plainly(const generate_words *words, int vocab_size, const char *bytes,
                           int64_t n_bytes, int32_t **tokens, int64_t *n_tokens, char *text,
                           size_t size)
{
    *tokens = malloc(((size_t)n_bytes + 1) * sizeof **tokens);
    if (!*tokens) {
        snprintf(text, size, "no memory for the prompt: give a shorter one");
        return false;
    }
    *n_tokens = n_bytes;
    for (int64_t i = 0; words->are_bytes && i < n_bytes; i++)
        (*tokens)[i] = (unsigned char)bytes[i];
    if (!words->are_bytes) *n_tokens = read_ids(bytes, vocab_size, *tokens);
    if (*n_tokens > 0) return true;
    snprintf(text, size,
             "this model has no tokenizer, and its tokens are not bytes: give the prompt as "
             "token ids from 0 to %d, parted by blanks, or a --tokenizer",
             vocab_size - 1);
    return false;
}

bool words_encode(const generate_words *words, const generate_options *options,
                  ringmoe_context *context, int vocab_size, const char *bytes, int64_t n_bytes,
                  int32_t **tokens, int64_t *n_tokens, char *text, size_t size)
{
    if (!words->tokenizer && options->chat) {
        snprintf(text, size, "--chat: this model has no tokenizer, and so no chat template");
        return false;
    }
    if (options->chat && memchr(bytes, 0, (size_t)n_bytes)) {
        snprintf(text, size, "--chat: the prompt has a zero byte: give a text");
        return false;
    }
    if (!words->tokenizer)
        return encode_plainly(words, vocab_size, bytes, n_bytes, tokens, n_tokens, text, size);
    ringmoe_status status = encode_text(words, options, bytes, n_bytes, tokens, n_tokens);
    if (status == RINGMOE_OK) return true;
    snprintf(text, size, "%s",
             status == RINGMOE_ERROR_MEMORY ? "no memory for the prompt: give a shorter one"
                                            : ringmoe_context_error(context));
    return false;
}

const char *words_bytes(const generate_words *words, int32_t token, bool is_first, int *n_bytes,
                        char number[16])
{
    if (words->are_bytes) {
        number[0] = (char)token;
        *n_bytes = 1;
        return number;
    }
    if (!words->tokenizer) {
        *n_bytes = snprintf(number, 16, is_first ? "%d" : " %d", token);
        return number;
    }
    *n_bytes = 0;
    if (ringmoe_tokenizer_type(words->tokenizer, token) == RINGMOE_TOKEN_CONTROL) return "";
    return ringmoe_tokenizer_bytes(words->tokenizer, token, is_first, n_bytes);
}
