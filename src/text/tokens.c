/* SPDX-License-Identifier: MIT */
#include "text/tokens.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "comm/context.h"

static ringmoe_status fail_memory(rm_error *error, const char *path)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its tokens", path);
}

static rm_error *error_of(ringmoe_context *context)
{
    return context ? &context->error : NULL;
}

static uint32_t id_at(const ringmoe_tokens *tokens, int64_t index)
{
    const unsigned char *at = tokens->data + index * tokens->width;
    uint32_t id = at[0];
    for (int i = 1; i < tokens->width; i++) id |= (uint32_t)at[i] << (8 * i);
    return id;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t length = strlen(path), n = strlen(suffix);
    return length >= n && !strcmp(path + length - n, suffix);
}

/* By the name; .bin files are looked into. */
static ringmoe_token_format format_of(const char *path)
{
    if (rm_path_is_folder(path)) return RINGMOE_TOKENS_TEXT;
    if (has_suffix(path, ".u16")) return RINGMOE_TOKENS_U16;
    if (has_suffix(path, ".u32")) return RINGMOE_TOKENS_U32;
    return has_suffix(path, ".bin") ? RINGMOE_TOKENS_AUTO : RINGMOE_TOKENS_TEXT;
}

/* Where the ids begin and how many bytes each has. */
static ringmoe_status enter(const char *path, int vocab_size, ringmoe_tokens *tokens,
                            rm_error *error)
{
    int64_t size = tokens->map.size;
    tokens->data = tokens->map.data;
    if (size > 0 && tokens->format == RINGMOE_TOKENS_AUTO) {
        tokens->format = rm_token_file_kind(path, &tokens->map);
        if (tokens->format == RINGMOE_TOKENS_U16)
            RM_TRY(rm_token_file_check_width(path, &tokens->map, vocab_size, error));
    }
    if (tokens->format == RINGMOE_TOKENS_LLMC || tokens->format == RINGMOE_TOKENS_MEGATRON)
        return rm_token_file_enter(path, tokens, error);
    tokens->width = tokens->format == RINGMOE_TOKENS_TEXT  ? 1
                    : tokens->format == RINGMOE_TOKENS_U32 ? 4
                                                           : 2;
    if (size % tokens->width != 0)
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: has %lld bytes, not a multiple of the %d bytes of an id", path,
                       (long long)size, tokens->width);
    tokens->count = size / tokens->width;
    return RINGMOE_OK;
}

static ringmoe_status load_content(const char *path, int vocab_size, ringmoe_tokens *tokens,
                                   rm_error *error)
{
    if (tokens->format == RINGMOE_TOKENS_TEXT && rm_path_is_folder(path)) {
        RM_TRY(rm_folder_read_text(path, &tokens->own, &tokens->count, error));
        tokens->data = tokens->own;
        tokens->width = 1;
    } else {
        RM_TRY(rm_file_map_open(path, &tokens->map, error));
        RM_TRY(enter(path, vocab_size, tokens, error));
    }
    if (tokens->count > 0) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: is empty; give a file with text or ids",
                   path);
}

static ringmoe_status check_ids(const char *path, const ringmoe_tokens *tokens, int vocab_size,
                                rm_error *error)
{
    if (tokens->width == 1 && vocab_size >= 256) return RINGMOE_OK;
    for (int64_t i = 0; i < tokens->count; i++) {
        uint32_t id = id_at(tokens, i);
        if (id >= (uint32_t)vocab_size)
            return rm_fail(error, RINGMOE_ERROR_FORMAT,
                           "%s: token %lld is %u, but the vocabulary has %d ids", path,
                           (long long)i, id, vocab_size);
    }
    return RINGMOE_OK;
}

ringmoe_status ringmoe_tokens_open(ringmoe_context *context, const char *path,
                                   ringmoe_token_format format, int vocab_size,
                                   ringmoe_tokens **tokens)
{
    rm_error *error = error_of(context);
    *tokens = NULL;
    if (!path || !*path)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "no file is named; give a path of a text");
    if (vocab_size < 1 || format < RINGMOE_TOKENS_AUTO || format > RINGMOE_TOKENS_MEGATRON)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "vocab_size is %d and format %d; they must be at least 1 and one of "
                       "ringmoe_token_format",
                       vocab_size, (int)format);
    ringmoe_tokens *opened = calloc(1, sizeof *opened);
    if (!opened) return fail_memory(error, path);
    opened->format = format == RINGMOE_TOKENS_AUTO ? format_of(path) : format;
    opened->entropy = NAN;
    ringmoe_status status = load_content(path, vocab_size, opened, error);
    if (status == RINGMOE_OK) status = check_ids(path, opened, vocab_size, error);
    if (status != RINGMOE_OK) ringmoe_tokens_destroy(&opened);
    *tokens = opened;
    return status;
}

ringmoe_status ringmoe_tokens_synthetic(ringmoe_context *context, int64_t seed,
                                        int64_t n_tokens, ringmoe_tokens **tokens)
{
    rm_error *error = error_of(context);
    *tokens = NULL;
    if (n_tokens < 1)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "n_tokens is %lld; it must be at least 1",
                       (long long)n_tokens);
    ringmoe_tokens *made = calloc(1, sizeof *made);
    if (made) made->own = malloc((size_t)n_tokens);
    if (!made || !made->own) {
        free(made);
        return fail_memory(error, "synthetic language");
    }
    made->width = 1;
    made->format = RINGMOE_TOKENS_TEXT;
    made->data = made->own;
    made->count = n_tokens;
    made->entropy = rm_language_write(seed, n_tokens, made->own);
    *tokens = made;
    return RINGMOE_OK;
}

void ringmoe_tokens_destroy(ringmoe_tokens **tokens)
{
    if (!tokens || !*tokens) return;
    rm_file_map_close(&(*tokens)->map);
    free((*tokens)->own);
    free(*tokens);
    *tokens = NULL;
}

/* A stream over `count` ids of another one, from `first` on, without memory of its own. */
static ringmoe_tokens *part_of(const ringmoe_tokens *tokens, int64_t first, int64_t count)
{
    ringmoe_tokens *part = calloc(1, sizeof *part);
    if (!part) return NULL;
    part->data = tokens->data + first * tokens->width;
    part->count = count;
    part->width = tokens->width;
    part->format = tokens->format;
    part->entropy = tokens->entropy;
    return part;
}

ringmoe_status ringmoe_tokens_split(ringmoe_context *context, ringmoe_tokens *tokens,
                                    double fraction, ringmoe_tokens **first,
                                    ringmoe_tokens **last)
{
    rm_error *error = error_of(context);
    *first = *last = NULL;
    if (!(fraction > 0 && fraction < 1))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "fraction is %g; it must be above 0 and below 1", fraction);
    if (tokens->count < 2)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "a single token cannot be split");
    int64_t n_last = (int64_t)(fraction * (double)tokens->count + 0.5);
    if (n_last < 1) n_last = 1;
    if (n_last > tokens->count - 1) n_last = tokens->count - 1;
    int64_t n_first = tokens->count - n_last;
    *first = part_of(tokens, 0, n_first);
    *last = part_of(tokens, n_first, n_last);
    if (*first && *last) return RINGMOE_OK;
    ringmoe_tokens_destroy(first);
    ringmoe_tokens_destroy(last);
    return fail_memory(error, "split");
}

int64_t ringmoe_tokens_count(const ringmoe_tokens *tokens)
{
    return tokens->count;
}

double ringmoe_tokens_entropy(const ringmoe_tokens *tokens)
{
    return tokens->entropy;
}

ringmoe_token_format ringmoe_tokens_format(const ringmoe_tokens *tokens)
{
    return tokens->format;
}

int ringmoe_tokens_are_bytes(const ringmoe_tokens *tokens)
{
    return tokens->format == RINGMOE_TOKENS_TEXT;
}

/* XXH64 of the ids' bytes as stored, with their width as the seed: the same bytes read as text
 * and as ids are different data. */
ringmoe_status ringmoe_tokens_hash(const ringmoe_tokens *tokens, char hex[17])
{
    uint64_t hash = XXH64(tokens->data, (size_t)(tokens->count * tokens->width),
                          (XXH64_hash_t)tokens->width);
    for (int i = 0; i < 16; i++) hex[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
    hex[16] = 0;
    return RINGMOE_OK;
}

void rm_tokens_copy(const ringmoe_tokens *tokens, int64_t first, int64_t count, int32_t *ids)
{
    for (int64_t i = 0; i < count; i++) ids[i] = (int32_t)id_at(tokens, first + i);
}

ringmoe_status ringmoe_tokens_read(const ringmoe_tokens *tokens, int64_t first, int64_t count,
                                   int32_t *ids)
{
    if (first < 0 || count < 0 || first > tokens->count || count > tokens->count - first)
        return RINGMOE_ERROR_ARGUMENT;
    rm_tokens_copy(tokens, first, count, ids);
    return RINGMOE_OK;
}
