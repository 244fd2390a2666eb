/* SPDX-License-Identifier: MIT
 *
 * The ids of texts in memory: made by one rank, or by all of a context together, of which each
 * makes those of a part of the texts (tokenize.c) and gets those of the others:
 *
 *   texts | rank 0's part | rank 1's | ...      by their bytes, the files one after the other
 *   ids   | bounds[0]     | bounds[1] | ...     on every rank
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "comm/context.h"
#include "text/tokenizer.h"
#include "text/tokens.h"

/* What a thread hashes at a time. */
enum { HASHED_BYTES = 1 << 20 };

typedef struct memory_sink {
    rm_token_sink sink;
    unsigned char *data;
    int64_t count, room; /* ids */
    int width;
} memory_sink;

static bool resize(memory_sink *memory, int64_t room)
{
    unsigned char *data = realloc(memory->data, (size_t)(room > 0 ? room * memory->width : 1));
    if (!data) return false;
    memory->data = data;
    memory->room = room;
    return true;
}

static ringmoe_status put_into_memory(rm_token_sink *sink, const rm_id_run *run,
                                      rm_error *error)
{
    memory_sink *memory = (memory_sink *)sink;
    if (memory->room - memory->count < run->n && !resize(memory, 2 * memory->room + run->n))
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokens");
    for (int64_t i = 0; i < run->n; i++)
        rm_token_store(memory->data + (memory->count + i) * memory->width, run->ids[i],
                       memory->width);
    memory->count += run->n;
    return RINGMOE_OK;
}

static memory_sink sink_of(const ringmoe_tokenizer *tokenizer)
{
    bool is_narrow = ringmoe_tokenizer_vocab_size(tokenizer) <= RM_MOST_U16;
    return (memory_sink){.sink.put = put_into_memory, .width = is_narrow ? 2 : 4};
}

static ringmoe_status stream_of(memory_sink *memory, ringmoe_tokens **tokens, rm_error *error)
{
    ringmoe_tokens *made = calloc(1, sizeof *made);
    if (!made) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokens");
    made->data = made->own = memory->data;
    made->count = memory->count;
    made->width = memory->width;
    made->format = memory->width == 2 ? RINGMOE_TOKENS_U16 : RINGMOE_TOKENS_U32;
    made->entropy = NAN;
    memory->data = NULL;
    *tokens = made;
    return RINGMOE_OK;
}

/* The files; nothing is written that would have to be left out. */
static ringmoe_status list_files(const ringmoe_tokenizer *tokenizer, const char *const *paths,
                                 int n_paths, const ringmoe_tokenize_settings *settings,
                                 char ***files, rm_error *error)
{
    static const char *const no_outputs[] = {NULL};
    RM_TRY(rm_tokenize_check(tokenizer, n_paths, settings, error));
    return rm_text_files(paths, n_paths, no_outputs, files, error);
}

ringmoe_status ringmoe_tokens_encode(ringmoe_context *context,
                                     const ringmoe_tokenizer *tokenizer,
                                     const char *const *paths, int n_paths,
                                     const ringmoe_tokenize_settings *settings,
                                     ringmoe_tokens **tokens, ringmoe_tokenize_result *result)
{
    rm_error *error = &context->error;
    ringmoe_tokenize_settings used = *settings;
    memory_sink memory = sink_of(tokenizer);
    char **files;
    *tokens = NULL;
    used.format = RINGMOE_TOKENS_AUTO;
    RM_TRY(list_files(tokenizer, paths, n_paths, &used, &files, error));
    ringmoe_status status = rm_tokenize(context->compute.n_threads, tokenizer, files, &used,
                                        &memory.sink, result, error);
    rm_text_files_free(&files);
    if (status == RINGMOE_OK) status = stream_of(&memory, tokens, error);
    free(memory.data);
    return status;
}

/* --- together -------------------------------------------------------------------------------
 */

/* Adds a file to the hash of those before it, by all threads. */
static ringmoe_status hash_file(int n_threads, const char *path, uint64_t *hash,
                                rm_error *error)
{
    rm_file_map map;
    uint64_t sum = 0;
    RM_TRY(rm_file_map_open(path, &map, error));
#pragma omp parallel for num_threads(n_threads) schedule(dynamic)
    for (int64_t at = 0; at < map.size; at += HASHED_BYTES) {
        int64_t left = map.size - at, bytes = left < HASHED_BYTES ? left : HASHED_BYTES;
        uint64_t one = XXH3_64bits_withSeed(map.data + at, (size_t)bytes, (XXH64_hash_t)at);
#pragma omp atomic
        sum += one;
    }
    rm_file_map_close(&map);
    *hash = XXH3_64bits_withSeed(&sum, sizeof sum, *hash);
    return RINGMOE_OK;
}

static ringmoe_status hash_files(int n_threads, char *const *files, uint64_t *hash,
                                 rm_error *error)
{
    *hash = 0;
    for (; *files; files++) RM_TRY(hash_file(n_threads, *files, hash, error));
    return RINGMOE_OK;
}

static ringmoe_status agree_on_settings(const rm_axis *world,
                                        const ringmoe_tokenize_settings *settings,
                                        rm_error *error)
{
    const int64_t values[] = {settings->documents, settings->flags, settings->end,
                              (int64_t)XXH64(settings->key, strlen(settings->key), 0)};
    return rm_agree_equal(world, values, sizeof values / sizeof *values,
                          "settings for tokenizing", error);
}

/* What must be alike on all ranks, so that their parts are parts of one thing. Every rank reads
 * all texts for it once: little beside encoding them. */
static ringmoe_status agree_on_texts(const ringmoe_context *context,
                                     const ringmoe_tokenizer *tokenizer, char *const *files,
                                     int64_t bytes, rm_error *error)
{
    const rm_axis *world = &context->world;
    uint64_t hash;
    if (world->size == 1) return RINGMOE_OK;
    const int64_t of_tokenizer = (int64_t)rm_tokenizer_hash(tokenizer);
    RM_TRY(rm_agree_equal(world, &of_tokenizer, 1, "hash of the tokenizer", error));
    RM_TRY(rm_agree_equal(world, &bytes, 1, "bytes of the texts", error));
    ringmoe_status status = hash_files(context->compute.n_threads, files, &hash, error);
    RM_TRY(rm_agree(world, status, error));
    const int64_t of_texts = (int64_t)hash;
    return rm_agree_equal(world, &of_texts, 1, "hash of the texts", error);
}

/* The first of `bytes` bytes that is the rank's, so that its part ends before the next one's.
 */
static int64_t first_byte(int64_t bytes, int rank, int size)
{
    return bytes / size * rank + bytes % size * rank / size;
}

/* This rank's ids into the memory, where nothing lies before them. */
static ringmoe_status encode_part(ringmoe_context *context, const ringmoe_tokenizer *tokenizer,
                                  char *const *files, int64_t bytes,
                                  const ringmoe_tokenize_settings *settings,
                                  memory_sink *memory, ringmoe_tokenize_result *result)
{
    const rm_axis *world = &context->world;
    memory->sink.first = first_byte(bytes, world->rank, world->size);
    memory->sink.end = first_byte(bytes, world->rank + 1, world->size);
    if (memory->sink.first == memory->sink.end && world->size > 1) return RINGMOE_OK;
    return rm_tokenize(context->compute.n_threads, tokenizer, files, settings, &memory->sink,
                       result, &context->error);
}

/* bounds[r] of the ids' bytes, where those of rank r begin; [ranks + 1] in new memory. */
static ringmoe_status share_bounds(const rm_axis *world, int64_t bytes, int64_t **bounds,
                                   rm_error *error)
{
    ringmoe_status status = RINGMOE_OK;
    *bounds = calloc((size_t)world->size + 1, sizeof **bounds);
    if (!*bounds)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokens' places");
    RM_TRY(rm_agree(world, status, error));
    (*bounds)[world->rank + 1] = bytes;
    RM_TRY(rm_allreduce(world, *bounds + 1, world->size, MPI_INT64_T, MPI_SUM, error));
    for (int rank = 0; rank < world->size; rank++) (*bounds)[rank + 1] += (*bounds)[rank];
    return RINGMOE_OK;
}

/* Every rank's ids to every rank, in place. */
static ringmoe_status gather(const rm_axis *world, memory_sink *memory, rm_error *error)
{
    int64_t *bounds, own = memory->count * memory->width;
    ringmoe_status status = share_bounds(world, own, &bounds, error);
    if (status == RINGMOE_OK) {
        memory->count = bounds[world->size] / memory->width;
        if (!resize(memory, memory->count))
            status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld tokens",
                             (long long)memory->count);
        status = rm_agree(world, status, error);
    }
    if (status == RINGMOE_OK) {
        memmove(memory->data + bounds[world->rank], memory->data, (size_t)own);
        status = rm_allgather_parts(world, memory->data, bounds, MPI_BYTE, error);
    }
    free(bounds);
    return status;
}

/* Of all ranks. */
static ringmoe_status add_results(const rm_axis *world, ringmoe_tokenize_result *result,
                                  rm_error *error)
{
    int64_t sums[] = {result->documents, result->tokens, result->bytes};
    RM_TRY(rm_allreduce(world, sums, 3, MPI_INT64_T, MPI_SUM, error));
    *result = (ringmoe_tokenize_result){sums[0], sums[1], sums[2]};
    return RINGMOE_OK;
}

static ringmoe_status encode_together(ringmoe_context *context,
                                      const ringmoe_tokenizer *tokenizer, char *const *files,
                                      const ringmoe_tokenize_settings *settings,
                                      memory_sink *memory, ringmoe_tokenize_result *result)
{
    const rm_axis *world = &context->world;
    rm_error *error = &context->error;
    int64_t bytes = 0;
    RM_TRY(rm_agree(world, rm_files_size(files, &bytes, error), error));
    RM_TRY(agree_on_settings(world, settings, error));
    RM_TRY(agree_on_texts(context, tokenizer, files, bytes, error));
    RM_TRY(rm_agree(
        world, encode_part(context, tokenizer, files, bytes, settings, memory, result), error));
    RM_TRY(add_results(world, result, error));
    if (result->bytes != bytes)
        return rm_fail(error, RINGMOE_ERROR_FILE,
                       "%s: its texts changed while they were read, or are not the same on "
                       "every node",
                       files[0]);
    RM_TRY(gather(world, memory, error));
    return memory->count > 0 ? RINGMOE_OK : rm_tokenize_fail_empty(files, error);
}

ringmoe_status ringmoe_tokens_encode_together(ringmoe_context *context,
                                              const ringmoe_tokenizer *tokenizer,
                                              const char *const *paths, int n_paths,
                                              const ringmoe_tokenize_settings *settings,
                                              ringmoe_tokens **tokens,
                                              ringmoe_tokenize_result *result)
{
    const rm_axis *world = &context->world;
    rm_error *error = &context->error;
    ringmoe_tokenize_settings used = *settings;
    ringmoe_tokenize_result own;
    memory_sink memory = sink_of(tokenizer);
    char **files = NULL;
    *tokens = NULL;
    if (!result) result = &own;
    *result = (ringmoe_tokenize_result){0};
    used.format = RINGMOE_TOKENS_AUTO;
    ringmoe_status status = list_files(tokenizer, paths, n_paths, &used, &files, error);
    status = rm_agree(world, status, error);
    if (status == RINGMOE_OK)
        status = encode_together(context, tokenizer, files, &used, &memory, result);
    rm_text_files_free(&files);
    if (status == RINGMOE_OK)
        status = rm_agree(world, stream_of(&memory, tokens, error), error);
    if (status != RINGMOE_OK) ringmoe_tokens_destroy(tokens);
    free(memory.data);
    return status;
}
