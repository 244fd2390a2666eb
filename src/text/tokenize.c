/* SPDX-License-Identifier: MIT
 *
 * Many texts become ids, by several threads. The texts are cut into stretches, whatever the
 * number of threads: runs of whole lines where these are documents, else pieces of a file that
 * end where no token can reach across (text_cuts.h). A batch of stretches, of one file or of
 * many small ones, is encoded, each by one thread, and put out in order.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "format/json.h"
#include "format/printable.h"
#include "text/text_cuts.h"
#include "text/tokenizer.h"
#include "text/tokens.h"

enum { STRETCH_BYTES = 1 << 18, MOST_DOCUMENT_BYTES = 1 << 30 };
/* Of a batch: it runs when it has so many stretches or bytes. */
enum { STRETCHES_A_THREAD = 64, BYTES_A_THREAD = 16 * STRETCH_BYTES };
/* Ids a stretch keeps memory for from one batch to the next. */
enum { KEPT_IDS = STRETCH_BYTES / 16 };

static const rm_json_limits line_limits = {
    .bytes = (int64_t)1 << 30, .values = (int64_t)1 << 20, .depth = 64, .repairs = true};

typedef struct text_stretch {
    const char *text;
    int64_t bytes;
    int64_t line; /* its first one's number */
    bool begins_file, ends_file;
    const char *path;
    rm_id_run run;
    ringmoe_status status;
    rm_error error;
} text_stretch;

typedef struct tokenize_work {
    const ringmoe_tokenizer *tokenizer;
    const ringmoe_tokenize_settings *settings;
    rm_text_cuts cuts;
    int n_threads;
    rm_encoder **encoders; /* [n_threads] */
    text_stretch *batch;
    int n_batch, room;
    int64_t batch_bytes;
    rm_file_map *maps; /* [room] the batch's files */
    int n_maps;
    rm_token_sink *sink;
    ringmoe_tokenize_result result, *shown; /* shown: the caller's, NULL: none */
    int64_t all_bytes;                      /* for the progress */
    int64_t before;                         /* of the files before this one */
} tokenize_work;

/* --- stretches ------------------------------------------------------------------------------
 */

/* Where the stretch that begins at `at` ends. */
static int64_t end_of_stretch(const tokenize_work *work, const char *text, int64_t size,
                              int64_t at)
{
    int64_t from = at + STRETCH_BYTES;
    if (from >= size) return size;
    if (work->settings->documents == RINGMOE_DOCUMENTS_FILES)
        return rm_text_cuts_exist(&work->cuts)
                   ? rm_text_cuts_find(&work->cuts, text, size, from)
                   : size;
    const char *found = memchr(text + from, '\n', (size_t)(size - from));
    return found ? found + 1 - text : size;
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

/* `place`: of RM_ENCODE_GOES_ON and RM_ENCODE_HAS_MORE. */
static ringmoe_status encode_piece(const tokenize_work *work, rm_encoder *encoder,
                                   text_stretch *stretch, const char *text, int64_t bytes,
                                   int place)
{
    bool ends_document = !(place & RM_ENCODE_HAS_MORE);
    const int32_t *ids;
    int64_t n;
    rm_error *error = &stretch->error;
    if (bytes > MOST_DOCUMENT_BYTES)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%lld bytes without a place to cut them: at most %d are possible; cut "
                       "the text, or make each line a document",
                       (long long)bytes, MOST_DOCUMENT_BYTES);
    RM_TRY(
        rm_encoder_run(encoder, text, bytes, work->settings->flags | place, &ids, &n, error));
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
                                    (int64_t)json_string_length(text), 0);
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
    return encode_piece(work, encoder, stretch, line, bytes, 0);
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
    int place = (stretch->begins_file ? 0 : RM_ENCODE_GOES_ON) |
                (stretch->ends_file ? 0 : RM_ENCODE_HAS_MORE);
    stretch->status =
        work->settings->documents == RINGMOE_DOCUMENTS_FILES
            ? encode_piece(work, encoder, stretch, stretch->text, stretch->bytes, place)
            : encode_lines(work, encoder, stretch);
}

/* --- batches
 * ------------------------------------------------------------------------------------ */

/* Long ones are not kept, since each place in a batch may have had one. */
static void empty_run(rm_id_run *run)
{
    run->n = run->n_ends = 0;
    if (run->room <= KEPT_IDS) return;
    free(run->ids);
    run->ids = NULL;
    run->room = 0;
}

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
        empty_run(&stretch->run);
    }
    work->n_batch = 0;
    work->batch_bytes = 0;
    const ringmoe_tokenize_settings *settings = work->settings;
    double all = work->all_bytes > 0 ? (double)work->all_bytes : 1;
    if (work->shown) *work->shown = work->result;
    if (settings->progress &&
        settings->progress(settings->user, (double)work->result.bytes / all))
        return rm_fail(error, RINGMOE_ERROR_INTERRUPTED,
                       "stopped with %lld of %lld bytes of text read: nothing is written",
                       (long long)work->result.bytes, (long long)work->all_bytes);
    return RINGMOE_OK;
}

static void close_maps(tokenize_work *work, int kept)
{
    int n = work->n_maps - kept;
    for (int i = 0; i < n; i++) rm_file_map_close(&work->maps[i]);
    if (kept && n > 0) work->maps[0] = work->maps[n];
    work->n_maps = kept;
}

/* The newest file may go on behind the batch. */
static ringmoe_status run_batch(tokenize_work *work, rm_error *error)
{
#pragma omp parallel for num_threads(work->n_threads) schedule(dynamic)
    for (int i = 0; i < work->n_batch; i++)
        encode_stretch(work, work->encoders[omp_get_thread_num()], &work->batch[i]);
    ringmoe_status status = put_out(work, error);
    close_maps(work, work->n_maps > 0);
    return status;
}

static int64_t count_lines(const char *text, int64_t bytes)
{
    int64_t lines = 0;
    for (int64_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    return lines;
}

static ringmoe_status add_stretch(tokenize_work *work, text_stretch wanted, rm_error *error)
{
    text_stretch *stretch = &work->batch[work->n_batch++];
    wanted.run = stretch->run;
    *stretch = wanted;
    work->batch_bytes += wanted.bytes;
    if (work->n_batch < work->room &&
        work->batch_bytes < (int64_t)work->n_threads * BYTES_A_THREAD)
        return RINGMOE_OK;
    return run_batch(work, error);
}

/* Whether all that begins at this byte of the texts, or behind it, is somebody else's. */
static bool is_behind(const tokenize_work *work, int64_t at)
{
    return work->sink->end && work->before + at >= work->sink->end;
}

/* Goes past a file without opening it, if it lies before what is asked for. */
static ringmoe_status skip_file(tokenize_work *work, char *path, bool *skipped, rm_error *error)
{
    char *const alone[] = {path, NULL};
    int64_t bytes;
    *skipped = false;
    if (work->before >= work->sink->first) return RINGMOE_OK;
    RM_TRY(rm_files_size(alone, &bytes, error));
    *skipped = work->before + bytes <= work->sink->first;
    if (*skipped) work->before += bytes;
    return RINGMOE_OK;
}

static ringmoe_status tokenize_file(tokenize_work *work, const char *path, rm_error *error)
{
    rm_file_map map;
    int64_t line = 1;
    bool by_lines = work->settings->documents != RINGMOE_DOCUMENTS_FILES;
    if (work->n_maps == work->room) RM_TRY(run_batch(work, error));
    RM_TRY(rm_file_map_open(path, &map, error));
    if (map.size > 0) work->maps[work->n_maps++] = map;
    const char *text = (const char *)map.data;
    for (int64_t at = 0, end; at < map.size && !is_behind(work, at); at = end) {
        end = end_of_stretch(work, text, map.size, at);
        text_stretch stretch = {.text = text + at,
                                .bytes = end - at,
                                .line = line,
                                .begins_file = at == 0,
                                .ends_file = end == map.size,
                                .path = path};
        if (by_lines) line += count_lines(text + at, end - at);
        if (work->before + at >= work->sink->first) RM_TRY(add_stretch(work, stretch, error));
    }
    work->before += map.size;
    return RINGMOE_OK;
}

/* --- the whole
 * ------------------------------------------------------------------------------------ */

static ringmoe_status begin(tokenize_work *work, rm_error *error)
{
    work->room = work->n_threads * STRETCHES_A_THREAD;
    work->encoders = calloc((size_t)work->n_threads, sizeof *work->encoders);
    work->batch = calloc((size_t)work->room, sizeof *work->batch);
    work->maps = calloc((size_t)work->room, sizeof *work->maps);
    if (!work->encoders || !work->batch || !work->maps)
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
    if (work->maps) close_maps(work, 0);
    free(work->encoders);
    free(work->batch);
    free(work->maps);
}

static ringmoe_status tokenize_files(tokenize_work *work, char *const *files, rm_error *error)
{
    for (int64_t i = 0; files[i] && !is_behind(work, 0); i++) {
        bool skipped;
        RM_TRY(skip_file(work, files[i], &skipped, error));
        if (!skipped) RM_TRY(tokenize_file(work, files[i], error));
    }
    return run_batch(work, error);
}

ringmoe_status rm_tokenize_fail_empty(char *const *files, rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: there is no text to tokenize", files[0]);
}

ringmoe_status rm_tokenize(int n_threads, const ringmoe_tokenizer *tokenizer,
                           char *const *files, const ringmoe_tokenize_settings *settings,
                           rm_token_sink *sink, ringmoe_tokenize_result *result,
                           rm_error *error)
{
    tokenize_work work = {.tokenizer = tokenizer,
                          .settings = settings,
                          .cuts = rm_text_cuts_of(tokenizer),
                          .n_threads = n_threads,
                          .sink = sink,
                          .shown = result,
                          .all_bytes = sink->end - sink->first};
    ringmoe_status status = begin(&work, error);
    if (status == RINGMOE_OK && !sink->end)
        status = rm_files_size(files, &work.all_bytes, error);
    if (status == RINGMOE_OK) status = tokenize_files(&work, files, error);
    end(&work);
    if (status == RINGMOE_OK && work.result.tokens == 0 && !sink->words && !sink->end)
        return rm_tokenize_fail_empty(files, error);
    return status;
}
