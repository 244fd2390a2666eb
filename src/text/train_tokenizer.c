/* SPDX-License-Identifier: MIT
 *
 * A tokenizer from texts: threads cut them into words and count these, each in a table of its
 * own (tokenize.c), with the same tokenizer but no merges; the tables become one; merges are
 * learned from it (learn_merges.c) and written (tokenizer_write.c).
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/context.h"
#include "format/printable.h"
#include "text/learned_tokenizer.h"
#include "text/tokens.h"

enum { DEFAULT_SIZE = 1 << 15, BYTES = 256, MOST_SPECIAL = 1 << 16, MOST_SPECIAL_BYTES = 1024 };

typedef struct vocabulary_training {
    rm_learn_watch watch; /* first: the watch's call finds the rest by it */
    const ringmoe_train_tokenizer_settings *settings;
    ringmoe_tokenizer *cutter;
    rm_word_counts *words; /* [n_threads]; the first has all in the end */
    int n_threads, end;    /* end: id of the token that ends a document; -1: none */
    rm_vocabulary vocabulary;
    ringmoe_tokenize_result read;
} vocabulary_training;

void ringmoe_train_tokenizer_settings_default(ringmoe_train_tokenizer_settings *settings)
{
    *settings = (ringmoe_train_tokenizer_settings){
        .vocab_size = DEFAULT_SIZE, .pattern = "gpt-2", .least_count = 2, .key = "text"};
}

static ringmoe_status fail_memory(rm_error *error)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to train a tokenizer");
}

/* --- checks ---------------------------------------------------------------------------------
 */

static ringmoe_status check_special(const char *text, rm_error *error)
{
    char bytes[MOST_SPECIAL_BYTES];
    int64_t n = text ? (int64_t)strlen(text) : 0;
    if (n < 1 || n > MOST_SPECIAL_BYTES || rm_utf8_valid(text, n) < n)
        return rm_fail(
            error, RINGMOE_ERROR_ARGUMENT,
            "a special token has %lld bytes or is not UTF-8; give 1 to %d bytes of it",
            (long long)n, MOST_SPECIAL_BYTES);
    if (rm_byte_level_decode(text, n, bytes) == 1)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "special token %s: a single byte is spelled so; give it a longer name",
                       text);
    return RINGMOE_OK;
}

static ringmoe_status check(const ringmoe_train_tokenizer_settings *settings, int n_paths,
                            const char *path, rm_error *error)
{
    if (n_paths < 1)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "no text: give a file or a folder");
    if (!path || !*path)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "no place for the tokenizer is given");
    if (settings->documents < 0 || settings->documents > RINGMOE_DOCUMENTS_JSON_LINES ||
        !settings->key || !settings->pattern || settings->least_count < 1)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "documents %d are none, least_count %lld is below 1, or there is no key "
                       "or no pattern",
                       (int)settings->documents, (long long)settings->least_count);
    if (settings->n_special < 0 || settings->n_special > MOST_SPECIAL)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT, "%d special tokens: 0 to %d are possible",
                       settings->n_special, MOST_SPECIAL);
    int least = BYTES + settings->n_special;
    if (settings->vocab_size < least || settings->vocab_size > RM_MOST_TOKENS)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "a vocabulary of %d: it must be from %d, which the %d single bytes and "
                       "%d special tokens take, to %d",
                       settings->vocab_size, least, BYTES, settings->n_special, RM_MOST_TOKENS);
    for (int i = 0; i < settings->n_special; i++)
        RM_TRY(check_special(settings->special[i], error));
    return RINGMOE_OK;
}

/* --- the vocabulary to begin with -----------------------------------------------------------
 */

/* Bytes in the order of the characters that spell them, as other trainers number them. */
static void order_bytes(unsigned char order[BYTES])
{
    int n = 0;
    for (int stands_for_another = 0; stands_for_another < 2; stands_for_another++)
        for (int byte = 0; byte < BYTES; byte++) {
            char spelling[2];
            int length = rm_byte_level_encode((unsigned char)byte, spelling);
            bool is_above = length == 2 && (unsigned char)spelling[0] >= 0xC4; /* U+0100 */
            if (is_above == stands_for_another) order[n++] = (unsigned char)byte;
        }
}

static bool begin_vocabulary(rm_vocabulary *vocabulary,
                             const ringmoe_train_tokenizer_settings *settings)
{
    unsigned char order[BYTES];
    order_bytes(order);
    vocabulary->n_special = settings->n_special;
    for (int id = 0; id < settings->n_special; id++) {
        const char *text = settings->special[id];
        int64_t n = (int64_t)strlen(text);
        char *bytes = rm_text_pool_add(&vocabulary->texts, text, n);
        if (!bytes) return false;
        n = rm_byte_level_decode(text, n, bytes);
        if (n > 0) rm_text_map_put(&vocabulary->ids, bytes, n, id);
    }
    for (int i = 0; i < BYTES; i++) {
        int id = settings->n_special + i;
        const char *byte = rm_text_pool_add(&vocabulary->texts, (const char *)&order[i], 1);
        if (!byte) return false;
        vocabulary->byte_ids[order[i]] = id;
        vocabulary->tokens[id] = (rm_learned_token){byte, 1};
        rm_text_map_put(&vocabulary->ids, byte, 1, id);
    }
    vocabulary->n_tokens = settings->n_special + BYTES;
    return true;
}

static ringmoe_status check_twins(const vocabulary_training *training, rm_error *error)
{
    const char *const *special = training->settings->special;
    for (int id = 0; id < training->settings->n_special; id++)
        if (ringmoe_tokenizer_find(training->cutter, special[id]) != id)
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "special token %s is given twice: once is enough", special[id]);
    return RINGMOE_OK;
}

/* The special token that ends a document. */
static ringmoe_status find_end(vocabulary_training *training, rm_error *error)
{
    const ringmoe_train_tokenizer_settings *settings = training->settings;
    training->end = settings->n_special > 0 ? 0 : -1;
    if (!settings->end) return RINGMOE_OK;
    training->end =
        *settings->end ? ringmoe_tokenizer_find(training->cutter, settings->end) : -1;
    if (!*settings->end || (training->end >= 0 && training->end < settings->n_special))
        return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "the token %.80s, which is to end documents, is none of the special ones",
                   settings->end);
}

static ringmoe_status begin(vocabulary_training *training, rm_error *error)
{
    rm_vocabulary *vocabulary = &training->vocabulary;
    size_t n = (size_t)training->settings->vocab_size;
    vocabulary->room = training->settings->vocab_size;
    vocabulary->tokens = calloc(n, sizeof *vocabulary->tokens);
    training->words = calloc((size_t)training->n_threads, sizeof *training->words);
    if (!vocabulary->tokens || !training->words) return fail_memory(error);
    RM_TRY(rm_text_map_init(&vocabulary->ids, training->settings->vocab_size, error));
    if (!begin_vocabulary(vocabulary, training->settings)) return fail_memory(error);
    /* One that cuts texts as the trained one will, into words of single bytes. */
    RM_TRY(rm_learned_tokenizer(vocabulary, training->settings->special,
                                training->settings->pattern, -1, &training->cutter, error));
    RM_TRY(check_twins(training, error));
    return find_end(training, error);
}

static void end(vocabulary_training *training)
{
    rm_vocabulary *vocabulary = &training->vocabulary;
    for (int i = 0; training->words && i < training->n_threads; i++)
        rm_word_counts_free(&training->words[i]);
    free(training->words);
    ringmoe_tokenizer_destroy(&training->cutter);
    rm_text_map_free(&vocabulary->ids);
    rm_text_pool_free(&vocabulary->texts);
    free(vocabulary->tokens);
    free(vocabulary->merges);
}

/* --- reading and learning -------------------------------------------------------------------
 */

/* Reading and learning count as half of the work each. */
static int show_read(void *user, double done)
{
    const ringmoe_train_tokenizer_settings *settings = user;
    return settings->progress ? settings->progress(settings->user, done / 2) : 0;
}

static int show_learned(rm_learn_watch *watch, int32_t n_tokens)
{
    const vocabulary_training *of = (const vocabulary_training *)watch;
    const ringmoe_train_tokenizer_settings *settings = of->settings;
    double done = (double)n_tokens / of->vocabulary.room;
    return settings->progress ? settings->progress(settings->user, 0.5 + done / 2) : 0;
}

/* The special tokens of a text are no words. */
static ringmoe_status drop_ids(rm_token_sink *sink, const rm_id_run *run, rm_error *error)
{
    (void)sink;
    (void)run;
    (void)error;
    return RINGMOE_OK;
}

static ringmoe_status count_words(vocabulary_training *training, const char *const *paths,
                                  int n_paths, rm_error *error)
{
    static const char *const no_outputs[] = {NULL};
    char **files;
    ringmoe_tokenize_settings settings;
    rm_token_sink sink = {.put = drop_ids, .words = training->words};
    ringmoe_tokenize_settings_default(&settings);
    settings.documents = training->settings->documents;
    settings.key = training->settings->key;
    settings.progress = show_read;
    settings.user = (void *)training->settings;
    RM_TRY(rm_text_files(paths, n_paths, no_outputs, &files, error));
    ringmoe_status status = rm_tokenize(training->n_threads, training->cutter, files, &settings,
                                        &sink, &training->read, error);
    rm_text_files_free(&files);
    RM_TRY(status);
    for (int i = 1; i < training->n_threads; i++) {
        if (!rm_word_counts_join(&training->words[0], &training->words[i]))
            return fail_memory(error);
        rm_word_counts_free(&training->words[i]);
    }
    if (training->words[0].n_words > 0) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: there is no text to learn from", paths[0]);
}

/* --- writing --------------------------------------------------------------------------------
 */

static bool is_json_name(const char *path)
{
    size_t n = strlen(path);
    return n >= 5 && strcmp(path + n - 5, ".json") == 0;
}

static ringmoe_status refuse_if_there(const char *path, rm_error *error)
{
    if (access(path, F_OK) != 0) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "%s is there already; give another name or remove it", path);
}

/* None of the files that would be written, or removed as another tokenizer's, may be there. */
static ringmoe_status check_free(const char *path, rm_error *error)
{
    ringmoe_status status = RINGMOE_OK;
    if (is_json_name(path)) return refuse_if_there(path, error);
    for (int i = 0; i < RM_TOKENIZER_FILES && status == RINGMOE_OK; i++) {
        char *file = rm_path_join(path, rm_tokenizer_file_names[i]);
        if (!file) return fail_memory(error);
        status = refuse_if_there(file, error);
        free(file);
    }
    return status;
}

/* Into a folder with what lies beside a tokenizer.json, or that alone. */
static ringmoe_status write_files(ringmoe_tokenizer *tokenizer, const char *path,
                                  rm_error *error)
{
    RM_TRY(rm_tokenizer_fill_files(tokenizer, error));
    if (is_json_name(path))
        return rm_file_write_whole(path, tokenizer->files[0].content, tokenizer->files[0].bytes,
                                   error);
    RM_TRY(rm_folder_create(path, error));
    return rm_tokenizer_save(tokenizer, path, error);
}

static ringmoe_status train(vocabulary_training *training, const char *const *paths,
                            int n_paths, const char *path, rm_error *error)
{
    const ringmoe_train_tokenizer_settings *settings = training->settings;
    ringmoe_tokenizer *tokenizer;
    RM_TRY(begin(training, error));
    RM_TRY(check_free(path, error));
    RM_TRY(count_words(training, paths, n_paths, error));
    RM_TRY(rm_learn_merges(&training->words[0], settings->least_count, &training->vocabulary,
                           &training->watch, error));
    RM_TRY(rm_learned_tokenizer(&training->vocabulary, settings->special, settings->pattern,
                                training->end, &tokenizer, error));
    ringmoe_status status = write_files(tokenizer, path, error);
    ringmoe_tokenizer_destroy(&tokenizer);
    return status;
}

ringmoe_status ringmoe_train_tokenizer(ringmoe_context *context, const char *const *paths,
                                       int n_paths,
                                       const ringmoe_train_tokenizer_settings *settings,
                                       const char *path, ringmoe_train_tokenizer_result *result)
{
    rm_error *error = &context->error;
    vocabulary_training training = {
        .watch = {show_learned}, .settings = settings, .n_threads = context->compute.n_threads};
    ringmoe_status status = check(settings, n_paths, path, error);
    if (status == RINGMOE_OK) status = train(&training, paths, n_paths, path, error);
    if (status != RINGMOE_OK) rm_text_make_printable(error->text);
    if (result)
        *result = (ringmoe_train_tokenizer_result){
            .vocab_size = training.vocabulary.n_tokens,
            .merges = training.vocabulary.n_merges,
            .words = training.words ? training.words[0].n_words : 0,
            .documents = training.read.documents,
            .bytes = training.read.bytes};
    end(&training);
    return status;
}
