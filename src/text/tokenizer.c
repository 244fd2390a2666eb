/* SPDX-License-Identifier: MIT */
#include "text/tokenizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "comm/context.h"
#include "format/gguf.h"
#include "format/printable.h"
#include "text/tokenizer_gguf.h"
#include "text/tokenizer_lists.h"

enum { MOST_FILE_BYTES = 1 << 28, MOST_TEXT_BYTES = 1 << 30 };

static rm_error *error_of(ringmoe_context *context)
{
    return context ? &context->error : NULL;
}

ringmoe_tokenizer *rm_tokenizer_new(ringmoe_context *context)
{
    ringmoe_tokenizer *made = calloc(1, sizeof *made);
    if (!made) return NULL;
    made->context = context;
    made->unknown = made->unknown_name = made->bos = made->eos = made->padding = -1;
    return made;
}

/* --- opening and saving ---------------------------------------------------------------------
 */

/* The folder a file lies in, in new memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Reads a file of the folder; one that is not there is passed over, but for the first. */
static ringmoe_status load_file(ringmoe_tokenizer *tokenizer, const char *folder, int which,
                                rm_error *error)
{
    rm_tokenizer_file *file = &tokenizer->files[which];
    char *path = rm_path_join(folder, rm_tokenizer_file_names[which]);
    if (!path) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for it", folder);
    ringmoe_status status = RINGMOE_OK;
    if (which == 0 || access(path, F_OK) == 0)
        status = rm_file_read(path, MOST_FILE_BYTES, &file->content, &file->bytes, error);
    free(path);
    return status;
}

/* `path` names tokenizer.json, by whatever name, or its folder. */
static ringmoe_status load_files(ringmoe_tokenizer *tokenizer, const char *path,
                                 rm_error *error)
{
    bool is_folder = rm_path_is_folder(path);
    char *folder = is_folder ? strdup(path) : folder_of(path);
    ringmoe_status status = RINGMOE_OK;
    if (!folder) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for it", path);
    if (!is_folder)
        status = rm_file_read(path, MOST_FILE_BYTES, &tokenizer->files[0].content,
                              &tokenizer->files[0].bytes, error);
    for (int i = !is_folder; status == RINGMOE_OK && i < RM_TOKENIZER_FILES; i++)
        status = load_file(tokenizer, folder, i, error);
    free(folder);
    return status;
}

ringmoe_status ringmoe_tokenizer_open(ringmoe_context *context, const char *path,
                                      ringmoe_tokenizer **tokenizer)
{
    rm_error *error = error_of(context), why = {""};
    *tokenizer = NULL;
    if (!path || !*path)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "no tokenizer is named; give a tokenizer.json or its folder");
    if (rm_path_is_gguf(path)) return rm_tokenizer_from_gguf(context, path, tokenizer, error);
    ringmoe_tokenizer *made = rm_tokenizer_new(context);
    if (!made)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for the tokenizer", path);
    ringmoe_status status = load_files(made, path, error);
    if (status == RINGMOE_OK) {
        status = rm_tokenizer_read(made, &why);
        if (status == RINGMOE_OK) status = rm_encoder_create(made, &made->encoder, &why);
        rm_text_make_printable(why.text);
        if (status != RINGMOE_OK) rm_fail(error, status, "%s: %s", path, why.text);
    }
    if (status != RINGMOE_OK) ringmoe_tokenizer_destroy(&made);
    *tokenizer = made;
    return status;
}

/* Writes a file of the folder, or removes another tokenizer's of that name. */
static ringmoe_status save_file(const rm_tokenizer_file *file, const char *folder,
                                const char *name, rm_error *error)
{
    ringmoe_status status = RINGMOE_OK;
    char *path = rm_path_join(folder, name);
    if (!path) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for it", folder);
    if (file->content)
        status = rm_file_write_whole(path, file->content, file->bytes, error);
    else if (unlink(path) != 0 && errno != ENOENT)
        status = rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot remove it: %s", path,
                         strerror(errno));
    free(path);
    return status;
}

/* tokenizer.json last: without it a folder is none of a tokenizer. */
ringmoe_status rm_tokenizer_save(ringmoe_tokenizer *tokenizer, const char *folder,
                                 rm_error *error)
{
    if (!folder || !*folder)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "no folder is named for the tokenizer");
    RM_TRY(rm_tokenizer_fill_files(tokenizer, error));
    for (int i = RM_TOKENIZER_FILES - 1; i >= 0; i--)
        RM_TRY(save_file(&tokenizer->files[i], folder, rm_tokenizer_file_names[i], error));
    return RINGMOE_OK;
}

ringmoe_status ringmoe_tokenizer_save(ringmoe_tokenizer *tokenizer, const char *folder)
{
    return rm_tokenizer_save(tokenizer, folder, error_of(tokenizer->context));
}

void ringmoe_tokenizer_destroy(ringmoe_tokenizer **tokenizer)
{
    ringmoe_tokenizer *old = tokenizer ? *tokenizer : NULL;
    if (!old) return;
    rm_encoder_destroy(&old->encoder);
    rm_tokenizer_lists_free(&old->lists);
    rm_text_map_free(&old->spelled);
    rm_text_map_free(&old->words);
    rm_merges_free(&old->merges);
    rm_added_tokens_free(&old->raw);
    rm_added_tokens_free(&old->normalized);
    for (int i = 0; i < old->n_cuts; i++) rm_pattern_free(&old->cuts[i].pattern);
    for (int i = 0; i < RM_TOKENIZER_FILES; i++) free(old->files[i].content);
    rm_text_pool_free(&old->texts);
    free(old->merge_list);
    free(old->tokens);
    free(old);
    *tokenizer = NULL;
}

/* --- what it has --- */

ringmoe_tokenizer_kind ringmoe_tokenizer_get_kind(const ringmoe_tokenizer *tokenizer)
{
    return tokenizer->kind;
}

int ringmoe_tokenizer_vocab_size(const ringmoe_tokenizer *tokenizer)
{
    return tokenizer->n_tokens;
}

int ringmoe_tokenizer_bos(const ringmoe_tokenizer *tokenizer)
{
    return tokenizer->bos;
}

int ringmoe_tokenizer_eos(const ringmoe_tokenizer *tokenizer)
{
    return tokenizer->eos;
}

int ringmoe_tokenizer_unknown(const ringmoe_tokenizer *tokenizer)
{
    return tokenizer->unknown >= 0 ? tokenizer->unknown : tokenizer->unknown_name;
}

int ringmoe_tokenizer_padding(const ringmoe_tokenizer *tokenizer)
{
    return tokenizer->padding;
}

int ringmoe_tokenizer_find(const ringmoe_tokenizer *tokenizer, const char *token)
{
    return rm_text_map_find(&tokenizer->spelled, token, (int64_t)strlen(token));
}

static const rm_token *token_of(const ringmoe_tokenizer *tokenizer, int id)
{
    bool is_there = id >= 0 && id < tokenizer->n_tokens && tokenizer->tokens[id].spelling;
    return is_there ? &tokenizer->tokens[id] : NULL;
}

const char *ringmoe_tokenizer_spelling(const ringmoe_tokenizer *tokenizer, int id)
{
    const rm_token *token = token_of(tokenizer, id);
    return token ? token->spelling : NULL;
}

ringmoe_token_type ringmoe_tokenizer_type(const ringmoe_tokenizer *tokenizer, int id)
{
    const rm_token *token = token_of(tokenizer, id);
    return token ? token->type : RINGMOE_TOKEN_UNUSED;
}

const char *ringmoe_tokenizer_chat_template(const ringmoe_tokenizer *tokenizer)
{
    return tokenizer->chat_template;
}

/* --- text to ids and back
 * ----------------------------------------------------------------------- */

ringmoe_status ringmoe_tokenizer_encode(ringmoe_tokenizer *tokenizer, const char *text,
                                        int64_t bytes, int flags, int32_t *ids, int64_t room,
                                        int64_t *n_ids)
{
    rm_error *error = error_of(tokenizer->context);
    const int32_t *found;
    *n_ids = 0;
    if (bytes < 0 || bytes > MOST_TEXT_BYTES || room < 0 || (bytes > 0 && !text) ||
        (room > 0 && !ids) || (flags & ~(RINGMOE_ENCODE_FRAME | RINGMOE_ENCODE_PLAIN)))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a text of %lld bytes, flags %d, room for %lld ids: at most %d bytes, "
                       "flags of RINGMOE_ENCODE_*, and no NULL where there is something",
                       (long long)bytes, flags, (long long)room, MOST_TEXT_BYTES);
    RM_TRY(rm_encoder_run(tokenizer->encoder, text, bytes, flags, &found, n_ids, error));
    int64_t n = *n_ids < room ? *n_ids : room;
    if (n > 0) memcpy(ids, found, (size_t)n * sizeof *ids);
    return RINGMOE_OK;
}

const char *ringmoe_tokenizer_bytes(const ringmoe_tokenizer *tokenizer, int id, int is_first,
                                    int *bytes)
{
    const rm_token *token = token_of(tokenizer, id);
    *bytes = token ? token->n_bytes : 0;
    if (!token) return "";
    const char *text = token->bytes;
    rm_first_blank rule = is_first ? tokenizer->first_blank : RM_BLANK_STAYS;
    for (int n = 0; *bytes > 0 && *text == ' ' && (rule == RM_BLANKS_GO || n < 1); n++) {
        if (rule == RM_BLANK_STAYS) break;
        text++;
        --*bytes;
    }
    return text;
}
