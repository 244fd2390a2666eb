/* SPDX-License-Identifier: MIT
 *
 * `ringmoe info FOLDER`: what lies in a checkpoint, or in the newest one of a run, and with
 * --verify whether it is what was written.
 */
#include "info.h"

#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "run.h"
#include "text.h"

/* What the screen and the JSON are made of. */
typedef struct checkpoint_report {
    char folder[SOURCE_PATH];
    run_folder run; /* path "": the folder was given itself */
    ringmoe_checkpoint_info info;
    ringmoe_model_config config;
    json_t *state, *manifest; /* the files of these names */
    int64_t verified;         /* bytes; -1: not asked for */
} checkpoint_report;

/* --- finding and reading -------------------------------------------------------------------
 */

/* Of a run the newest checkpoint. */
static int find_folder(const tool_session *session, const char *path, checkpoint_report *report)
{
    int status = EXIT_DONE;
    if (session->rank == 0) {
        snprintf(report->folder, sizeof report->folder, "%s", path);
        if (run_exists(path)) {
            snprintf(report->run.path, sizeof report->run.path, "%.*s", RUN_PATH - 1, path);
            if (run_newest_checkpoint(&report->run, report->folder, sizeof report->folder) < 0)
                status = EXIT_FAILED;
        }
    }
    session_share(session, report->folder, sizeof report->folder);
    return session_settle(session, status, report->run.error);
}

static json_t *read_json(const char *folder, const char *name)
{
    char path[SOURCE_PATH + 32];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
}

static int read_report(const tool_session *session, const info_options *options,
                       checkpoint_report *report)
{
    ringmoe_context *context = session->context;
    int status = session_check(
        session, ringmoe_checkpoint_describe(context, report->folder, &report->info));
    report->verified = -1;
    if (!status)
        status = session_check(
            session, ringmoe_model_config_read(context, report->folder, &report->config));
    if (!status && options->verify)
        status = session_check(
            session, ringmoe_checkpoint_verify(context, report->folder, &report->verified));
    if (status || session->rank != 0) return status;
    report->state = read_json(report->folder, "state.json");
    report->manifest = read_json(report->folder, "manifest.json");
    if (report->run.path[0]) run_read(&report->run);
    return EXIT_DONE;
}

/* --- the screen ----------------------------------------------------------------------------
 */

/* Items of the recipe that stand in one line of the screen; of the model config.json tells. */
typedef struct setting_line {
    const char *label, *names[10];
} setting_line;

static const setting_line setting_lines[] = {
    {"data", {"data_hash", "seed"}},
    {"batch", {"global_batch", "microbatch", "seq_len"}},
    {"rate", {"lr", "lr_min_ratio", "warmup_steps", "steps"}},
    {"optimizer", {"weight_decay", "beta1", "beta2", "epsilon", "clip_norm"}},
};

static const json_t *setting(const checkpoint_report *report, const char *name)
{
    return json_object_get(json_object_get(report->state, "recipe"), name);
}

static void print_setting(const char *name, const json_t *value)
{
    char *number = json_is_string(value) ? NULL : json_text(value, false);
    const char *word = json_string_value(value);
    printf("%s %s", name, word ? word : number ? number : "?");
    free(number);
}

static void print_settings(const checkpoint_report *report)
{
    for (size_t i = 0; i < sizeof setting_lines / sizeof setting_lines[0]; i++) {
        const setting_line *line = &setting_lines[i];
        printf("%-12s", line->label);
        for (int n = 0; line->names[n]; n++) {
            printf(n ? ", " : " ");
            print_setting(line->names[n], setting(report, line->names[n]));
        }
        printf("\n");
    }
}

/* "step 6 (latest), step 4 (best)" */
static void print_run(checkpoint_report *report)
{
    run_folder *run = &report->run;
    const char *state = json_string_value(json_object_get(run->record, "state"));
    int64_t best = run_linked(run, RUN_BEST), latest = run_linked(run, RUN_LATEST);
    if (!run->path[0]) return;
    printf("run          %s, %s\n", run->path,
           state ? state : "of which run.json says nothing");
    printf("checkpoints  ");
    for (int64_t at = INT64_MAX; (at = run_checkpoint_below(run, at)) >= 0;) {
        const char *links[] = {"", " (latest)", " (best)", " (latest, best)"};
        printf("step %lld%s", (long long)at, links[(at == latest) + 2 * (at == best)]);
        printf(run_checkpoint_below(run, at) >= 0 ? ", " : "\n\n");
    }
}

static void print_position(const checkpoint_report *report)
{
    const ringmoe_checkpoint_info *info = &report->info;
    long long seq_len = json_integer_value(setting(report, "seq_len"));
    printf("step         %lld of %lld: %lld sequences of %lld tokens were seen, %s tokens\n",
           (long long)info->step, (long long)json_integer_value(setting(report, "steps")),
           (long long)info->samples_seen, seq_len,
           text_count((double)info->samples_seen * (double)seq_len).text);
}

static void print_model(const checkpoint_report *report)
{
    const ringmoe_model_config *config = &report->config;
    printf("model        %s parameters, %s active a token, %d layers of %d",
           text_count((double)report->info.parameters).text,
           text_count((double)ringmoe_model_config_active_parameters(config)).text,
           config->num_hidden_layers, config->hidden_size);
    if (config->num_local_experts)
        printf(", %d experts of %d, top-%d", config->num_local_experts,
               config->intermediate_size, config->num_experts_per_tok);
    printf("\nweights      %s in %d tensors\n", report->info.weights_checksum,
           report->info.n_tensors);
}

static void print_writers(const checkpoint_report *report)
{
    const ringmoe_checkpoint_info *info = &report->info;
    const ringmoe_mesh_dims dims = {info->pipeline, info->data, info->expert, info->tensor};
    const char *kernels = json_string_value(json_object_get(report->state, "kernel_level"));
    printf("written by   %s, %s", placement_ranks(&dims).text, info->precision);
    if (kernels) printf(", kernels %s", kernels);
    printf("\n");
}

static void print_files(const checkpoint_report *report)
{
    const json_t *files = json_object_get(report->manifest, "files"), *file;
    size_t i;
    printf("\n");
    json_array_foreach((json_t *)files, i, file)
    {
        json_int_t bytes = json_integer_value(json_object_get(file, "bytes"));
        printf("  %-36s %10s\n", json_string_value(json_object_get(file, "name")),
               text_bytes((double)bytes).text);
    }
    printf("  %-36s %10s\n", "together", text_bytes((double)report->info.bytes).text);
}

static void print_screen(checkpoint_report *report)
{
    print_run(report);
    printf("checkpoint   %s\n", report->folder);
    print_position(report);
    print_model(report);
    print_settings(report);
    print_writers(report);
    print_files(report);
    if (report->verified >= 0)
        printf("\nall %d files are as they were written\n", report->info.n_files);
}

/* --- JSON ----------------------------------------------------------------------------------
 */

static json_t *list_files(const checkpoint_report *report)
{
    const json_t *files = json_object_get(report->manifest, "files"), *file;
    json_t *list = json_array();
    size_t i;
    json_array_foreach((json_t *)files, i, file)
    {
        json_array_append_new(list,
                              json_pack("{s:O, s:O}", "name", json_object_get(file, "name"),
                                        "bytes", json_object_get(file, "bytes")));
    }
    return list;
}

static json_t *report_to_json(const checkpoint_report *report)
{
    const ringmoe_checkpoint_info *info = &report->info;
    json_t *layout = json_pack("{s:i, s:i, s:i, s:i}", "pp", info->pipeline, "dp", info->data,
                               "ep", info->expert, "tp", info->tensor);
    json_t *object = json_pack(
        "{s:s, s:I, s:I, s:i, s:I, s:s, s:o, s:I, s:I, s:s, s:O*, s:o}", "checkpoint",
        report->folder, "step", (json_int_t)info->step, "parameters",
        (json_int_t)info->parameters, "tensors", info->n_tensors, "bytes",
        (json_int_t)info->bytes, "precision", info->precision, "layout", layout, "seed",
        (json_int_t)info->seed, "samples_seen", (json_int_t)info->samples_seen,
        "weights_checksum", info->weights_checksum, "settings",
        json_object_get(report->state, "recipe"), "files", list_files(report));
    if (object && report->run.record)
        json_object_set(object, "state", json_object_get(report->run.record, "state"));
    if (object && report->verified >= 0)
        json_object_set_new(object, "verified_bytes", json_integer(report->verified));
    return object;
}

int info_checkpoint(tool_session *session, const info_options *options)
{
    checkpoint_report report = {.run.metrics = -1};
    int status = find_folder(session, options->folder, &report);
    if (!status) status = read_report(session, options, &report);
    if (!status && session->rank == 0 && options->json)
        status = session_print_json(session, report_to_json(&report));
    else if (!status && session->rank == 0)
        print_screen(&report);
    json_decref(report.state);
    json_decref(report.manifest);
    run_close(&report.run);
    return status;
}
