/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run.h"

static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    return n >= m && strcmp(path + n - m, end) == 0;
}

bool source_is_text(const source_text *text)
{
    if (strcmp(text->path, "synthetic") == 0) return false;
    if (text->format != RINGMOE_TOKENS_AUTO) return text->format == RINGMOE_TOKENS_TEXT;
    return !ends_with(text->path, ".bin") && !ends_with(text->path, ".u16") &&
           !ends_with(text->path, ".u32");
}

static ringmoe_status encode(tool_session *session, const source_text *text,
                             ringmoe_tokens **tokens)
{
    ringmoe_tokenize_settings settings;
    ringmoe_tokenize_settings_default(&settings);
    settings.end = ringmoe_tokenizer_eos(text->tokenizer);
    return ringmoe_tokens_encode_together(session->context, text->tokenizer, &text->path, 1,
                                          &settings, tokens, NULL);
}

int source_tokens(tool_session *session, const source_text *text, ringmoe_tokens **tokens)
{
    ringmoe_status status;
    bool is_synthetic = strcmp(text->path, "synthetic") == 0;
    if (is_synthetic && text->tokenizer)
        return session_fail(
            session, EXIT_USAGE,
            "--tokenizer: the synthetic language is one of bytes: leave it out");
    if (is_synthetic)
        status =
            ringmoe_tokens_synthetic(session->context, text->seed, SYNTHETIC_TOKENS, tokens);
    else if (text->tokenizer && source_is_text(text))
        status = encode(session, text, tokens);
    else
        status =
            ringmoe_tokens_open(session->context, text->path,
                                (ringmoe_token_format)text->format, text->vocab_size, tokens);
    return session_check(session, status);
}

/* What came of opening a tokenizer, which must not have more ids than the model. */
static int check_tokenizer(tool_session *session, const char *path, int vocab_size,
                           ringmoe_status opened, const ringmoe_tokenizer *tokenizer)
{
    int status = session_check(session, opened);
    if (status) return status;
    int n = ringmoe_tokenizer_vocab_size(tokenizer);
    if (n <= vocab_size) return EXIT_DONE;
    return session_fail(
        session, EXIT_FAILED,
        "%s: has %d ids, but the model's vocab_size is %d: take the model's own "
        "tokenizer, or a larger vocab_size",
        path, n, vocab_size);
}

int source_tokenizer(tool_session *session, const char *path, int vocab_size,
                     ringmoe_tokenizer **tokenizer)
{
    ringmoe_status opened = ringmoe_tokenizer_open(session->context, path, tokenizer);
    return check_tokenizer(session, path, vocab_size, opened, *tokenizer);
}

bool source_may_have_tokenizer(const char *model)
{
    char path[SOURCE_PATH + 32];
    struct stat about;
    snprintf(path, sizeof path, "%s/tokenizer.json", model);
    return ends_with(model, ".gguf") || stat(path, &about) == 0;
}

int source_own_tokenizer(tool_session *session, const char *model, int vocab_size,
                         ringmoe_tokenizer **tokenizer)
{
    *tokenizer = NULL;
    if (!source_may_have_tokenizer(model)) return EXIT_DONE;
    ringmoe_status opened = ringmoe_tokenizer_open(session->context, model, tokenizer);
    if (opened == RINGMOE_ERROR_STATE) return EXIT_DONE;
    return check_tokenizer(session, model, vocab_size, opened, *tokenizer);
}

static bool is_preset(const char *name)
{
    for (const char *const *preset = ringmoe_model_preset_names(); *preset; preset++)
        if (strcmp(name, *preset) == 0) return true;
    return false;
}

/* "tiny, small, base" */
static void join_presets(char *names, size_t size)
{
    size_t used = 0;
    names[0] = '\0';
    for (const char *const *preset = ringmoe_model_preset_names(); *preset; preset++)
        if (used < size)
            used +=
                (size_t)snprintf(names + used, size - used, "%s%s", used ? ", " : "", *preset);
}

/* Where config.json is to be found: the path itself, or in a run its newest checkpoint. */
static int look_for_model(const char *model, char path[SOURCE_PATH], char *text, size_t size)
{
    char names[256];
    struct stat about;
    run_folder run = {.metrics = -1};
    join_presets(names, sizeof names);
    snprintf(path, SOURCE_PATH, "%s", model);
    if (stat(model, &about) != 0) {
        snprintf(text, size,
                 "--model %s: no such file or folder, nor a preset (%s): give one of them",
                 model, names);
        return EXIT_FAILED;
    }
    snprintf(run.path, sizeof run.path, "%.*s", RUN_PATH - 1, model);
    if (!run_exists(model) || run_newest_checkpoint(&run, path, SOURCE_PATH) >= 0)
        return EXIT_DONE;
    snprintf(text, size, "--model %s", run.error);
    return EXIT_FAILED;
}

/* Rank 0 looks, since a run that goes on may save a newer checkpoint meanwhile. */
static int find_model(tool_session *session, const char *model, char path[SOURCE_PATH])
{
    char text[SOURCE_PATH + 512] = "";
    int status = EXIT_DONE;
    if (session->rank == 0) status = look_for_model(model, path, text, sizeof text);
    session_share(session, path, SOURCE_PATH);
    return session_settle(session, status, text);
}

int source_config(tool_session *session, const char *model, ringmoe_model_config *config)
{
    char path[SOURCE_PATH];
    if (is_preset(model))
        return session_check(session,
                             ringmoe_model_config_preset(session->context, model, config));
    int status = find_model(session, model, path);
    if (status) return status;
    return session_check(session, ringmoe_model_config_read(session->context, path, config));
}

static bool is_gguf(const char *path, const struct stat *about)
{
    size_t length = strlen(path);
    return S_ISREG(about->st_mode) && length > 5 && strcmp(path + length - 5, ".gguf") == 0;
}

int source_find(tool_session *session, const char *model, char path[SOURCE_PATH],
                bool *has_weights)
{
    struct stat about;
    *has_weights = false;
    path[0] = '\0';
    int status = is_preset(model) ? EXIT_DONE : find_model(session, model, path);
    if (status || is_preset(model)) return status;
    *has_weights = stat(path, &about) == 0 && (S_ISDIR(about.st_mode) || is_gguf(path, &about));
    return EXIT_DONE;
}

int source_weights(tool_session *session, const char *model, char folder[SOURCE_PATH])
{
    char text[SOURCE_PATH + 512] = "", here[64];
    bool has_weights;
    snprintf(here, sizeof here, "./%.60s", model);
    bool is_run =
        is_preset(model) && access(here, F_OK) == 0; /* of that name; presets have none */
    int status = source_find(session, is_run ? here : model, folder, &has_weights);
    if (status) return status;
    if (!has_weights)
        snprintf(text, sizeof text,
                 "--model %s: this is not a folder with trained weights: give a run's folder, "
                 "a checkpoint, or a .gguf file",
                 model);
    return session_settle(session, has_weights ? EXIT_DONE : EXIT_USAGE, text);
}

ringmoe_weights source_forms(const option_set *set, const option_result *given, int weights,
                             int precision)
{
    static const ringmoe_weights forms[] = {[RINGMOE_PRECISION_FP32] = RINGMOE_WEIGHTS_FP32,
                                            [RINGMOE_PRECISION_BF16] = RINGMOE_WEIGHTS_BF16};
    bool by_precision =
        !options_given(set, given, "weights") && options_given(set, given, "precision");
    return by_precision ? forms[precision] : (ringmoe_weights)weights;
}

forms_text source_forms_words(const ringmoe_model *model)
{
    static const char *const words[] = {"auto", "fp32", "bf16", "q8_0", "q4_0"};
    ringmoe_weight_forms forms;
    forms_text result;
    ringmoe_model_get_forms(model, &forms);
    if (forms.experts == forms.head && forms.head == forms.others)
        snprintf(result.text, sizeof result.text, "%s", words[forms.head]);
    else
        snprintf(result.text, sizeof result.text, "experts %s, head %s, others %s",
                 words[forms.experts], words[forms.head], words[forms.others]);
    return result;
}

int source_lay_out(tool_session *session, const tool_placement *placement, const char *model,
                   char path[SOURCE_PATH])
{
    ringmoe_model_config config;
    int status = source_weights(session, model, path);
    if (status) return status;
    status = session_check(session, ringmoe_model_config_read(session->context, path, &config));
    return status ? status : session_layout(session, placement, config.num_local_experts);
}

int source_model(tool_session *session, const tool_placement *placement, const char *model,
                 const ringmoe_load_settings *settings, char path[SOURCE_PATH],
                 ringmoe_model **loaded)
{
    int status = source_lay_out(session, placement, model, path);
    if (status) return status;
    return session_check(session, ringmoe_model_load(session->mesh, path, settings, loaded));
}
