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
static int find_model(tool_session *session, const char *model, char path[SOURCE_PATH])
{
    char names[256], text[SOURCE_PATH + 512] = "";
    struct stat about;
    int64_t step;
    int status = EXIT_DONE;
    join_presets(names, sizeof names);
    snprintf(path, SOURCE_PATH, "%s", model);
    if (stat(model, &about) != 0) {
        snprintf(text, sizeof text,
                 "--model %s: no such file or folder, nor a preset (%s): give one of them",
                 model, names);
        status = EXIT_FAILED;
    } else if (run_exists(model) && !run_newest_checkpoint(model, path, SOURCE_PATH, &step)) {
        snprintf(text, sizeof text,
                 "--model %s: this run has no checkpoint yet: wait for its first save", model);
        status = EXIT_FAILED;
    }
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

int source_weights(tool_session *session, const char *model, char folder[SOURCE_PATH])
{
    struct stat about;
    int status = find_model(session, model, folder);
    if (status) return status;
    if (stat(folder, &about) != 0 || !S_ISDIR(about.st_mode))
        return session_fail(session, EXIT_USAGE,
                            "--model %s: this is not a folder with trained weights: give a "
                            "run's folder or a checkpoint",
                            model);
    return EXIT_DONE;
}

int source_model(tool_session *session, const tool_placement *placement, const char *model,
                 int64_t max_tokens, ringmoe_model **loaded)
{
    char folder[SOURCE_PATH];
    ringmoe_model_config config;
    int status = source_weights(session, model, folder);
    if (status) return status;
    status =
        session_check(session, ringmoe_model_config_read(session->context, folder, &config));
    if (status) return status;
    status = session_layout(session, placement, config.num_local_experts);
    if (status) return status;
    return session_check(session,
                         ringmoe_model_load(session->mesh, folder, max_tokens, loaded));
}
