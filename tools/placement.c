/* SPDX-License-Identifier: MIT */
#include "placement.h"

#include <stdarg.h>
#include <string.h>

ringmoe_mesh_dims placement_dims(const tool_placement *placement)
{
    return (ringmoe_mesh_dims){.pipeline = (int)placement->pipeline,
                               .data = (int)placement->data,
                               .expert = (int)placement->expert,
                               .tensor = (int)placement->tensor};
}

/* A schedule without a backward pass trains nothing. */
static const char *const forward_only = "forward";

bool execution_check(const tool_execution *execution, char *text, size_t size)
{
    const char *names[32] = {NULL};
    int count = 0;
    if (!execution->schedule) return true;
    for (const char *const *name = ringmoe_schedule_names(); *name && count < 31; name++)
        if (strcmp(*name, forward_only) != 0) names[count++] = *name;
    for (int i = 0; i < count; i++)
        if (strcmp(execution->schedule, names[i]) == 0) return true;
    const char *near = nearest_name(execution->schedule, names);
    int used = snprintf(text, size, "--schedule %.40s: ", execution->schedule);
    if (near) {
        snprintf(text + used, size - (size_t)used, "did you mean %s?", near);
        return false;
    }
    for (int i = 0; i < count; i++)
        used += snprintf(text + used, size - (size_t)used, "%s%s",
                         i == 0 ? "give one of " : ", ", names[i]);
    return false;
}

void execution_apply(const tool_execution *execution, ringmoe_train_settings *train)
{
    snprintf(train->schedule, sizeof train->schedule, "%s",
             execution->schedule ? execution->schedule : "");
    train->chunks = execution->chunks;
    train->recompute = execution->recompute;
    train->shadow = execution->shadow;
    train->reproducible = execution->reproducible;
}

ringmoe_batch_shape execution_batch(const ringmoe_train_settings *train)
{
    ringmoe_batch_shape batch = {.seq_len = train->seq_len,
                                 .microbatch = train->microbatch,
                                 .n_microbatches = train->global_batch / train->microbatch,
                                 .reproducible = train->reproducible,
                                 .chunks = train->chunks,
                                 .recompute = train->recompute,
                                 .shadow = train->shadow};
    snprintf(batch.schedule, sizeof batch.schedule, "%s", train->schedule);
    return batch;
}

/* Appends to a text of fixed size, with the separator between its parts. */
static void append(placement_text *line, const char *separator, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void append(placement_text *line, const char *separator, const char *format, ...)
{
    size_t used = strlen(line->text);
    va_list arguments;
    if (used > 0)
        used += (size_t)snprintf(line->text + used, sizeof line->text - used, "%s", separator);
    if (used >= sizeof line->text) return;
    va_start(arguments, format);
    vsnprintf(line->text + used, sizeof line->text - used, format, arguments);
    va_end(arguments);
}

placement_text placement_ranks(const ringmoe_mesh_dims *dims)
{
    placement_text line = {""};
    if (dims->pipeline > 1) append(&line, " x ", "%d pipeline", dims->pipeline);
    if (dims->data > 1) append(&line, " x ", "%d data", dims->data);
    if (dims->expert > 1) append(&line, " x ", "%d expert", dims->expert);
    if (dims->tensor > 1) append(&line, " x ", "%d tensor", dims->tensor);
    if (line.text[0] == '\0')
        append(&line, "", "1 rank");
    else
        append(&line, " ", "ranks");
    return line;
}

const char *recompute_name(int64_t recompute)
{
    static const char *const names[] = {"none", "selective", "full"};
    return recompute >= 0 && recompute < 3 ? names[recompute] : "unknown";
}

const char *shadow_name(int64_t shadow)
{
    static const char *const names[] = {"off", "auto", "on"};
    return shadow >= 0 && shadow < 3 ? names[shadow] : "unknown";
}

placement_text execution_words(const ringmoe_mesh_dims *dims,
                               const ringmoe_train_settings *train)
{
    placement_text line = {""};
    if (dims->pipeline > 1 && train->schedule[0])
        append(&line, ", ", "schedule %s", train->schedule);
    if (train->chunks > 1) append(&line, ", ", "%lld chunks a rank", (long long)train->chunks);
    if (train->recompute) append(&line, ", ", "recompute %s", recompute_name(train->recompute));
    if (train->shadow) append(&line, ", ", "shadow %s", shadow_name(train->shadow));
    if (train->reproducible) append(&line, ", ", "reproducible");
    return line;
}
