/* SPDX-License-Identifier: MIT
 *
 * Many texts become ids, by several threads. The texts are cut into stretches, whatever the
 * number of threads: runs of whole lines where these are documents, else pieces of a file that
 * end where no token can reach across. A batch of stretches is encoded, each by one thread, and
 * put out in order.
 */
#include <errno.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "format/json.h"
#include "format/printable.h"
#include "format/tokenizer.h"
#include "format/tokens.h"

enum { STRETCH_BYTES = 1 << 20, STRETCHES_A_THREAD = 4, MOST_DOCUMENT_BYTES = 1 << 30 };

static const rm_json_limits line_limits = {
    .bytes = (int64_t)1 << 30, .values = (int64_t)1 << 20, .depth = 64};

typedef struct text_stretch {
    const char *text;
    int64_t bytes;
    int64_t line; /* its first one's number */
    bool ends_file;
    const char *path;
    rm_id_run run;
    ringmoe_status status;
    rm_error error;
} text_stretch;

typedef struct tokenize_work {
    const ringmoe_tokenizer *tokenizer;
    const ringmoe_tokenize_settings *settings;
    bool may_cut;
    int n_threads;
    rm_encoder **encoders; /* [n_threads] */
    text_stretch *batch;
    int n_batch, room;
    rm_token_sink *sink;
    ringmoe_tokenize_result result;
    int64_t all_bytes; /* of all files, for the progress */
} tokenize_work;

/* --- stretches ------------------------------------------------------------------------------
 */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Whether text may be cut between a letter of ASCII and the end of its line. The patterns that
 * have names end a match there, no form of Unicode reaches across, and no token that is looked
 * for does. */
static bool may_cut_lines(const ringmoe_tokenizer *tokenizer, int flags)
{
    if (tokenizer->kind != RINGMOE_TOKENIZER_BYTES || !tokenizer->pattern_name ||
        (flags & RINGMOE_ENCODE_FRAME))
        return false;
    for (int i = 0; i < tokenizer->n_cuts; i++)
        if (tokenizer->cuts[i].front != RM_FRONT_NEVER) return false;
    for (int i = 0; i < tokenizer->n_changes; i++)
        if (tokenizer->changes[i].kind != RM_CHANGE_FORM) return false;
    const rm_added_tokens *lists[] = {&tokenizer->raw, &tokenizer->normalized};
    for (int list = 0; list < 2; list++)
        for (int32_t i = 0; i < lists[list]->n_tokens; i++) {
            const rm_added_token *token = &lists[list]->tokens[i];
            if (token->takes_left || token->takes_right ||
                strchr(tokenizer->tokens[token->id].spelling, '\n'))
                return false;
        }
    return true;
}

/* Where the stretch that begins at `at` ends. */
static int64_t end_of_stretch(const tokenize_work *work, const char *text, int64_t size,
                              int64_t at)
{
    bool by_lines = work->settings->documents != RINGMOE_DOCUMENTS_FILES;
    if (size - at <= STRETCH_BYTES || (!by_lines && !work->may_cut)) return size;
    for (int64_t from = at + STRETCH_BYTES; from < size;) {
        const char *found = memchr(text + from, '\n', (size_t)(size - from));
        if (!found) break;
        if (by_lines) return found + 1 - text;
        if (is_letter(found[-1])) return found - text;
        from = found + 1 - text;
    }
    return size;
}

static bool grow_ids(rm_id_run *run, int64_t n)
{
    if (run->room - run->n >= n) return true;
    int64_t room = 2 * run->room + n;
    int32_t *ids = realloc(run->ids, (size_t)room * sizeof *ids);
    if (!ids) return false;
    run->ids = ids;
    run->room = room;
    return true;
}

static bool put_end(rm_id_run *run, int end)
{
    if (end >= 0 && !grow_ids(run, 1)) return false;
    if (end >= 0) run->ids[run->n++] = end;
    if (run->n_ends == run->end_room) {
        int64_t room = 2 * run->end_room + 16;
        int64_t *ends = realloc(run->ends, (size_t)room * sizeof *ends);
        if (!ends) return false;
        run->ends = ends;
        run->end_room = room;
    }
    run->ends[run->n_ends++] = run->n;
    return true;
}

/* --- one thread
 * ------------------------------------------------------------------------------- */

static ringmoe_status encode_piece(const tokenize_work *work, rm_encoder *encoder,
                                   text_stretch *stretch, const char *text, int64_t bytes,
                                   bool ends_document)
{
    const int32_t *ids;
    int64_t n;
    rm_error *error = &stretch->error;
    if (bytes > MOST_DOCUMENT_BYTES)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a document of %lld bytes: at most %d are possible", (long long)bytes,
                       MOST_DOCUMENT_BYTES);
    RM_TRY(rm_encoder_run(encoder, text, bytes, work->settings->flags, &ids, &n, error));
    bool done = grow_ids(&stretch->run, n);
    if (done && n > 0) memcpy(stretch->run.ids + stretch->run.n, ids, (size_t)n * sizeof *ids);
    if (done) stretch->run.n += n;
    if (done && ends_document) done = put_end(&stretch->run, work->settings->end);
    if (done) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the tokens of a text");
}

static ringmoe_status encode_json(const tokenize_work *work, rm_encoder *encoder,
                                  text_stretch *stretch, const char *line, int64_t bytes)
{
    json_t *root;
    RM_TRY(rm_json_parse(line, bytes, &line_limits, &root, &stretch->error));
    json_t *text = json_object_get(root, work->settings->key);
    ringmoe_status status;
    if (json_is_string(text))
        status = json_string_length(text) == 0
                     ? RINGMOE_OK
                     : encode_piece(work, encoder, stretch, json_string_value(text),
                                    (int64_t)json_string_length(text), true);
    else
        status = rm_fail(&stretch->error, RINGMOE_ERROR_FORMAT, "no text under the key %.60s",
                         work->settings->key);
    json_decref(root);
    return status;
}

static ringmoe_status encode_line(const tokenize_work *work, rm_encoder *encoder,
                                  text_stretch *stretch, const char *line, int64_t bytes)
{
    if (bytes > 0 && line[bytes - 1] == '\r') bytes--;
    if (bytes == 0) return RINGMOE_OK;
    if (work->settings->documents == RINGMOE_DOCUMENTS_JSON_LINES)
        return encode_json(work, encoder, stretch, line, bytes);
    return encode_piece(work, encoder, stretch, line, bytes, true);
}

static ringmoe_status encode_lines(const tokenize_work *work, rm_encoder *encoder,
                                   text_stretch *stretch)
{
    const char *at = stretch->text, *end = at + stretch->bytes;
    for (int64_t line = stretch->line; at < end; line++) {
        const char *found = memchr(at, '\n', (size_t)(end - at)), *stop = found ? found : end;
        ringmoe_status status = encode_line(work, encoder, stretch, at, stop - at);
        if (status != RINGMOE_OK) {
            rm_error why = stretch->error;
            return rm_fail(&stretch->error, status, "line %lld: %.400s", (long long)line,
                           why.text);
        }
        at = found ? found + 1 : end;
    }
    return RINGMOE_OK;
}

static void encode_stretch(const tokenize_work *work, rm_encoder *encoder,
                           text_stretch *stretch)
{
    stretch->status = work->settings->documents == RINGMOE_DOCUMENTS_FILES
                          ? encode_piece(work, encoder, stretch, stretch->text, stretch->bytes,
                                         stretch->ends_file)
                          : encode_lines(work, encoder, stretch);
}

/* --- batches
 * ------------------------------------------------------------------------------------ */

static ringmoe_status put_out(tokenize_work *work, rm_error *error)
{
    for (int i = 0; i < work->n_batch; i++) {
        text_stretch *stretch = &work->batch[i];
        rm_text_make_printable(stretch->error.text);
        if (stretch->status != RINGMOE_OK)
            return rm_fail(error, stretch->status, "%s: %.400s", stretch->path,
                           stretch->error.text);
        RM_TRY(work->sink->put(work->sink, &stretch->run, error));
        work->result.tokens += stretch->run.n;
        work->result.documents += stretch->run.n_ends;
        work->result.bytes += stretch->bytes;
        stretch->run.n = stretch->run.n_ends = 0;
    }
    work->n_batch = 0;
    const ringmoe_tokenize_settings *settings = work->settings;
    double all = work->all_bytes > 0 ? (double)work->all_bytes : 1;
    if (settings->progress &&
        settings->progress(settings->user, (double)work->result.bytes / all))
        return rm_fail(error, RINGMOE_ERROR_INTERRUPTED, "tokenizing was stopped");
    return RINGMOE_OK;
}

static ringmoe_status run_batch(tokenize_work *work, rm_error *error)
{
#pragma omp parallel for num_threads(work->n_threads) schedule(dynamic)
    for (int i = 0; i < work->n_batch; i++)
        encode_stretch(work, work->encoders[omp_get_thread_num()], &work->batch[i]);
    return put_out(work, error);
}

static int64_t count_lines(const char *text, int64_t bytes)
{
    int64_t lines = 0;
    for (int64_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    return lines;
}

static ringmoe_status tokenize_map(tokenize_work *work, const char *path,
                                   const rm_file_map *map, rm_error *error)
{
    const char *text = (const char *)map->data;
    int64_t line = 1;
    for (int64_t at = 0, end; at < map->size; at = end) {
        end = end_of_stretch(work, text, map->size, at);
        text_stretch *stretch = &work->batch[work->n_batch++];
        stretch->text = text + at;
        stretch->bytes = end - at;
        stretch->line = line;
        stretch->ends_file = end == map->size;
        stretch->path = path;
        if (work->settings->documents != RINGMOE_DOCUMENTS_FILES)
            line += count_lines(text + at, end - at);
        if (work->n_batch == work->room) RM_TRY(run_batch(work, error));
    }
    return run_batch(work, error);
}

static ringmoe_status tokenize_file(tokenize_work *work, const char *path, rm_error *error)
{
    rm_file_map map;
    RM_TRY(rm_file_map_open(path, &map, error));
    ringmoe_status status = map.size > 0 ? tokenize_map(work, path, &map, error) : RINGMOE_OK;
    rm_file_map_close(&map);
    return status;
}

/* --- the whole
 * ------------------------------------------------------------------------------------ */

static ringmoe_status begin(tokenize_work *work, rm_error *error)
{
    work->room = work->n_threads * STRETCHES_A_THREAD;
    work->encoders = calloc((size_t)work->n_threads, sizeof *work->encoders);
    work->batch = calloc((size_t)work->room, sizeof *work->batch);
    if (!work->encoders || !work->batch)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to tokenize");
    for (int i = 0; i < work->n_threads; i++) {
        RM_TRY(rm_encoder_create(work->tokenizer, &work->encoders[i], error));
        if (work->sink->words) rm_encoder_count_words(work->encoders[i], &work->sink->words[i]);
    }
    return RINGMOE_OK;
}

static void end(tokenize_work *work)
{
    for (int i = 0; work->encoders && i < work->n_threads; i++)
        rm_encoder_destroy(&work->encoders[i]);
    for (int i = 0; work->batch && i < work->room; i++) {
        free(work->batch[i].run.ids);
        free(work->batch[i].run.ends);
    }
    free(work->encoders);
    free(work->batch);
}

static ringmoe_status add_size(const char *path, int64_t *bytes, rm_error *error)
{
    struct stat about;
    if (stat(path, &about) != 0)
        return rm_fail(error, RINGMOE_ERROR_FILE, "%s: %s", path, strerror(errno));
    *bytes += about.st_size;
    return RINGMOE_OK;
}

static ringmoe_status for_each_file(tokenize_work *work, const char *const *paths, int n_paths,
                                    bool measures, rm_error *error)
{
    for (int i = 0; i < n_paths; i++) {
        char **files;
        RM_TRY(rm_folder_files(paths[i], &files, error));
        ringmoe_status status = RINGMOE_OK;
        for (char **file = files; status == RINGMOE_OK && *file; file++) {
            if (measures)
                status = add_size(*file, &work->all_bytes, error);
            else
                status = tokenize_file(work, *file, error);
        }
        rm_folder_files_free(&files);
        RM_TRY(status);
    }
    return RINGMOE_OK;
}

ringmoe_status rm_tokenize(int n_threads, const ringmoe_tokenizer *tokenizer,
                           const char *const *paths, int n_paths,
                           const ringmoe_tokenize_settings *settings, rm_token_sink *sink,
                           ringmoe_tokenize_result *result, rm_error *error)
{
    tokenize_work work = {.tokenizer = tokenizer,
                          .settings = settings,
                          .may_cut = may_cut_lines(tokenizer, settings->flags),
                          .n_threads = n_threads,
                          .sink = sink};
    ringmoe_status status = begin(&work, error);
    if (status == RINGMOE_OK) status = for_each_file(&work, paths, n_paths, true, error);
    if (status == RINGMOE_OK) status = for_each_file(&work, paths, n_paths, false, error);
    end(&work);
    if (result) *result = work.result;
    if (status == RINGMOE_OK && work.result.tokens == 0 && !sink->words)
        return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: there is no text to tokenize",
                       paths[0]);
    return status;
}
