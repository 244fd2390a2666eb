/* SPDX-License-Identifier: MIT
 *
 * The ids of texts go into a token file (token_files.c has the drawings of those with headers).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/context.h"
#include "text/tokens.h"

void ringmoe_tokenize_settings_default(ringmoe_tokenize_settings *settings)
{
    *settings = (ringmoe_tokenize_settings){.key = "text", .end = -1};
}

ringmoe_status rm_tokenize_check(const ringmoe_tokenizer *tokenizer, int n_paths,
                                 const ringmoe_tokenize_settings *settings, rm_error *error)
{
    int n = ringmoe_tokenizer_vocab_size(tokenizer);
    if (n_paths < 1)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "no text: give a file or a folder");
    if (settings->end < -1 || settings->end >= n)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "the id behind documents is %d; it must be below %d, or -1: none",
                       settings->end, n);
    if (settings->documents < 0 || settings->documents > RINGMOE_DOCUMENTS_JSON_LINES ||
        !settings->key || settings->format < 0 || settings->format > RINGMOE_TOKENS_MEGATRON ||
        settings->format == RINGMOE_TOKENS_TEXT)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "documents %d or format %d are none, or there is no key",
                       (int)settings->documents, (int)settings->format);
    return RINGMOE_OK;
}

/* --- the file -------------------------------------------------------------------------------
 */

typedef struct file_sink {
    rm_token_sink sink;
    rm_file_writer writer;
    ringmoe_token_format format;
    int width;
    int64_t count;
    rm_id_run ends; /* of Megatron: of all documents */
} file_sink;

static ringmoe_status keep_ends(file_sink *file, const rm_id_run *run, rm_error *error)
{
    rm_id_run *all = &file->ends;
    if (all->end_room - all->n_ends < run->n_ends) {
        int64_t room = 2 * all->end_room + run->n_ends;
        int64_t *ends = realloc(all->ends, (size_t)room * sizeof *ends);
        if (!ends) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the index");
        all->ends = ends;
        all->end_room = room;
    }
    for (int64_t i = 0; i < run->n_ends; i++)
        all->ends[all->n_ends++] = file->count + run->ends[i];
    return RINGMOE_OK;
}

static ringmoe_status put_into_file(rm_token_sink *sink, const rm_id_run *run, rm_error *error)
{
    file_sink *file = (file_sink *)sink;
    unsigned char buffer[1 << 14];
    const int64_t most = (int64_t)sizeof buffer / file->width;
    if (file->format == RINGMOE_TOKENS_MEGATRON) RM_TRY(keep_ends(file, run, error));
    if (file->format == RINGMOE_TOKENS_LLMC && file->count + run->n > INT32_MAX)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s: more than the %d tokens that llm.c's header can tell: give less "
                       "text a file",
                       file->writer.path, INT32_MAX);
    for (int64_t at = 0; at < run->n; at += most) {
        int64_t n = run->n - at < most ? run->n - at : most;
        for (int64_t i = 0; i < n; i++)
            rm_token_store(buffer + i * file->width, run->ids[at + i], file->width);
        RM_TRY(rm_file_write(&file->writer, buffer, n * file->width, error));
    }
    file->count += run->n;
    return RINGMOE_OK;
}

static void store64(unsigned char *to, int64_t value)
{
    for (int i = 0; i < 8; i++) to[i] = (unsigned char)((uint64_t)value >> (8 * i));
}

/* The header's place is kept first, and filled when the ids have been counted. */
static ringmoe_status write_llmc_header(file_sink *file, const char *path, rm_error *error)
{
    unsigned char header[RM_LLMC_HEADER] = {0};
    bool is_narrow = file->width == 2;
    rm_token_store(header, is_narrow ? RM_LLMC_U16 : RM_LLMC_U32, 4);
    rm_token_store(header + 4, is_narrow ? RM_LLMC_U16_VERSION : RM_LLMC_U32_VERSION, 4);
    rm_token_store(header + 8, (int32_t)file->count, 4);
    if (lseek(file->writer.descriptor, 0, SEEK_SET) != 0)
        return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot write its header: %s", path,
                       strerror(errno));
    return rm_file_write(&file->writer, header, sizeof header, error);
}

/* Megatron's index; each document is one sequence. False: one is too long. */
static bool fill_index(const file_sink *file, unsigned char *index)
{
    const rm_id_run *ends = &file->ends;
    unsigned char *lengths = index + RM_MEGATRON_HEADER;
    unsigned char *places = lengths + 4 * ends->n_ends, *documents = places + 8 * ends->n_ends;
    memcpy(index, rm_megatron_word, RM_MEGATRON_WORD);
    store64(index + 9, 1);
    index[17] = file->width == 2 ? RM_MEGATRON_U16 : RM_MEGATRON_I32;
    store64(index + 18, ends->n_ends);
    store64(index + 26, ends->n_ends + 1);
    store64(documents, 0);
    for (int64_t i = 0, from = 0; i < ends->n_ends; from = ends->ends[i++]) {
        if (ends->ends[i] - from > INT32_MAX) return false;
        rm_token_store(lengths + 4 * i, (int32_t)(ends->ends[i] - from), 4);
        store64(places + 8 * i, from * file->width);
        store64(documents + 8 * (i + 1), i + 1);
    }
    return true;
}

static ringmoe_status make_index(const file_sink *file, const char *path, unsigned char **index,
                                 int64_t *bytes, rm_error *error)
{
    *bytes = RM_MEGATRON_HEADER + 20 * file->ends.n_ends + 8;
    *index = malloc((size_t)*bytes);
    if (!*index)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for its index", path);
    if (fill_index(file, *index)) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s: a document has too many tokens", path);
}

/* An index never lies beside ids that it is not of: the old one goes first. */
static ringmoe_status commit_with_index(file_sink *file, const char *path, const char *name,
                                        rm_error *error)
{
    unsigned char *index;
    int64_t bytes;
    ringmoe_status status = make_index(file, path, &index, &bytes, error);
    if (status == RINGMOE_OK && unlink(name) != 0 && errno != ENOENT)
        status = rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot remove it: %s", name,
                         strerror(errno));
    if (status == RINGMOE_OK) status = rm_file_commit(&file->writer, error);
    if (status == RINGMOE_OK) status = rm_file_write_whole(name, index, bytes, error);
    free(index);
    return status;
}

/* The texts but for the files that come into being meanwhile. */
static ringmoe_status list_files(const file_sink *file, const char *path, const char *index,
                                 const char *const *paths, int n_paths, char ***files,
                                 rm_error *error)
{
    const char *outputs[] = {path, file->writer.temporary, index, NULL};
    return rm_text_files(paths, n_paths, outputs, files, error);
}

static ringmoe_status write_all(file_sink *file, int n_threads,
                                const ringmoe_tokenizer *tokenizer, char *const *files,
                                const ringmoe_tokenize_settings *settings, const char *path,
                                const char *index, ringmoe_tokenize_result *result,
                                rm_error *error)
{
    static const unsigned char none[RM_LLMC_HEADER];
    bool is_llmc = file->format == RINGMOE_TOKENS_LLMC;
    if (is_llmc) RM_TRY(rm_file_write(&file->writer, none, sizeof none, error));
    RM_TRY(rm_tokenize(n_threads, tokenizer, files, settings, &file->sink, result, error));
    if (is_llmc) RM_TRY(write_llmc_header(file, path, error));
    if (file->format == RINGMOE_TOKENS_MEGATRON)
        return commit_with_index(file, path, index, error);
    return rm_file_commit(&file->writer, error);
}

/* --- which layout ---------------------------------------------------------------------------
 */

static bool has_end(const char *path, const char *end)
{
    size_t length = strlen(path), n = strlen(end);
    return length > n && strcmp(path + length - n, end) == 0;
}

/* What nothing but ids is by its name; AUTO: either width. TEXT: it would be read as text. */
static ringmoe_token_format format_by_name(const char *path)
{
    if (has_end(path, ".u16")) return RINGMOE_TOKENS_U16;
    if (has_end(path, ".u32")) return RINGMOE_TOKENS_U32;
    return has_end(path, ".bin") ? RINGMOE_TOKENS_AUTO : RINGMOE_TOKENS_TEXT;
}

static ringmoe_status refuse_name(const char *path, const char *what, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%s: %s", path, what);
}

/* Only what is read again as what it is by its name. A .bin of nothing but ids is of 16 bits.
 */
static ringmoe_status choose_layout(file_sink *file, ringmoe_token_format wanted,
                                    int vocab_size, const char *path, rm_error *error)
{
    ringmoe_token_format named = format_by_name(path);
    bool has_header = wanted == RINGMOE_TOKENS_LLMC || wanted == RINGMOE_TOKENS_MEGATRON;
    bool is_bin = named == RINGMOE_TOKENS_AUTO;
    if (has_header && !is_bin)
        return refuse_name(path, "a file of llm.c's or Megatron's layout ends in .bin", error);
    file->format = wanted;
    if (wanted == RINGMOE_TOKENS_AUTO) file->format = is_bin ? RINGMOE_TOKENS_U16 : named;
    if (named == RINGMOE_TOKENS_TEXT)
        return refuse_name(path,
                           "would be read as text: end the name in .bin (ids of 16 bits), "
                           ".u16 or .u32",
                           error);
    if (!has_header && !is_bin && named != file->format)
        return refuse_name(path, "ends in the name of the other layout: .u16 or .u32", error);
    if (is_bin && wanted == RINGMOE_TOKENS_U32)
        return refuse_name(path,
                           "a .bin of nothing but ids is read as ids of 16 bits: end the "
                           "name in .u32",
                           error);
    if (file->format == RINGMOE_TOKENS_U16 && vocab_size > RM_MOST_U16)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s: a vocabulary of %d ids does not fit 16 bits: end the name in .u32, "
                       "or take the layout llmc or megatron",
                       path, vocab_size);
    return RINGMOE_OK;
}

/* Bytes of an id; Megatron's readers take uint16 below a vocabulary of 65500. */
static int width_of(ringmoe_token_format format, int vocab_size)
{
    if (format == RINGMOE_TOKENS_U16) return 2;
    if (format == RINGMOE_TOKENS_U32) return 4;
    return vocab_size < (format == RINGMOE_TOKENS_MEGATRON ? 65500 : RM_MOST_U16 + 1) ? 2 : 4;
}

static ringmoe_status check_index_name(const file_sink *file, const char *path,
                                       const char *index, rm_error *error)
{
    if (file->format == RINGMOE_TOKENS_MEGATRON || !index || access(index, F_OK) != 0)
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "%s: %s beside it is the index of another file of this name: remove it, or "
                   "take another name",
                   path, index);
}

ringmoe_status ringmoe_tokens_write(ringmoe_context *context,
                                    const ringmoe_tokenizer *tokenizer,
                                    const char *const *paths, int n_paths,
                                    const ringmoe_tokenize_settings *settings, const char *path,
                                    ringmoe_tokenize_result *result)
{
    rm_error *error = &context->error;
    file_sink file = {.sink.put = put_into_file, .writer = {.descriptor = -1}};
    int vocab_size = ringmoe_tokenizer_vocab_size(tokenizer);
    char **files = NULL;
    RM_TRY(rm_tokenize_check(tokenizer, n_paths, settings, error));
    if (!path || !*path)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "no name is given for the token file");
    RM_TRY(choose_layout(&file, settings->format, vocab_size, path, error));
    file.width = width_of(file.format, vocab_size);
    char *index = rm_megatron_index(path);
    ringmoe_status status = check_index_name(&file, path, index, error);
    if (status == RINGMOE_OK) status = rm_file_create(path, &file.writer, error);
    if (status == RINGMOE_OK)
        status = list_files(&file, path, index, paths, n_paths, &files, error);
    if (status == RINGMOE_OK)
        status = write_all(&file, context->compute.n_threads, tokenizer, files, settings, path,
                           index, result, error);
    rm_text_files_free(&files);
    rm_file_abandon(&file.writer);
    free(file.ends.ends);
    free(index);
    return status;
}
