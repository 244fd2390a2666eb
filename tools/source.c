/* SPDX-License-Identifier: MIT */
#include "source.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "run.h"

int source_tokens(tool_session *session, const char *data, int format, int vocab_size,
                  int64_t seed, ringmoe_tokens **tokens)
{
    ringmoe_status status;
    if (strcmp(data, "synthetic") == 0)
        status = ringmoe_tokens_synthetic(session->context, seed, SYNTHETIC_TOKENS, tokens);
    else
        status = ringmoe_tokens_open(session->context, data, (ringmoe_token_format)format,
                                     vocab_size, tokens);
    return session_check(session, status);
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

int source_weights(tool_session *session, const char *model, char folder[SOURCE_PATH])
{
    struct stat about;
    char text[SOURCE_PATH + 512] = "";
    int status = is_preset(model) ? EXIT_DONE : find_model(session, model, folder);
    if (status) return status;
    bool has_weights = !is_preset(model) && stat(folder, &about) == 0 &&
                       (S_ISDIR(about.st_mode) || is_gguf(folder, &about));
    if (!has_weights)
        snprintf(text, sizeof text,
                 "--model %s: this is not a folder with trained weights: give a run's folder, "
                 "a checkpoint, or a .gguf file",
                 model);
    return session_settle(session, has_weights ? EXIT_DONE : EXIT_USAGE, text);
}

int source_model(tool_session *session, const tool_placement *placement, const char *model,
                 const ringmoe_load_settings *settings, char path[SOURCE_PATH],
                 ringmoe_model **loaded)
{
    ringmoe_model_config config;
    int status = source_weights(session, model, path);
    if (status) return status;
    status = session_check(session, ringmoe_model_config_read(session->context, path, &config));
    if (status) return status;
    status = session_layout(session, placement, config.num_local_experts);
    if (status) return status;
    return session_check(session, ringmoe_model_load(session->mesh, path, settings, loaded));
}
