/* SPDX-License-Identifier: MIT
 *
 * The best checkpoint of a run. Validations are in metrics.jsonl, which a power cut may
 * shorten, so step and loss of the best stand in run.json as well:
 *
 *   "best": {"step": .., "val_loss": ..}   told before the link is moved
 *   "earlier_best": [steps]                of validations that no later one compares with,
 *                                          since the run goes on with another text for them
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_text.h"
#include "run_steps.h"

#define EARLIER "earlier_best"

static int64_t recorded(const run_folder *run)
{
    const json_t *step = json_object_get(json_object_get(run->record, RUN_BEST), "step");
    return json_is_integer(step) ? json_integer_value(step) : -1;
}

bool run_tell_best(run_folder *run, int64_t step, double loss)
{
    if (step < 0 || (recorded(run) == step && run_linked(run, RUN_BEST) == step)) return true;
    json_t *best =
        json_pack("{s:I, s:o}", "step", (json_int_t)step, "val_loss", json_number(loss));
    json_object_set_new(run->record, RUN_BEST, best);
    return run_write(run) && run_point(run, RUN_BEST, step);
}

bool run_is_earlier_best(const run_folder *run, int64_t step)
{
    const json_t *list = json_object_get(run->record, EARLIER);
    bool is_listed = false;
    for (size_t i = 0; i < json_array_size(list); i++)
        is_listed = is_listed || json_integer_value(json_array_get(list, i)) == step;
    return is_listed;
}

bool run_close_best(run_folder *run, int64_t *step)
{
    *step = recorded(run);
    if (*step < 0) *step = run_linked(run, RUN_BEST);
    if (*step >= 0 && !run_has_checkpoint(run, *step)) *step = -1;
    json_object_del(run->record, RUN_BEST);
    if (*step < 0 || run_is_earlier_best(run, *step)) return run_write(run);
    if (!json_object_get(run->record, EARLIER))
        json_object_set_new(run->record, EARLIER, json_array());
    json_array_append_new(json_object_get(run->record, EARLIER), json_integer(*step));
    return run_write(run);
}

void run_copy_best(json_t *record, const json_t *before)
{
    static const char *const keys[] = {RUN_BEST, EARLIER};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        json_t *value = json_object_get(before, keys[i]);
        if (value) json_object_set(record, keys[i], value);
    }
}

/* Of a line of metrics, if its checkpoint is better than the one that is known. */
static void take_better(const run_folder *run, const json_t *line, int64_t limit, int64_t *best,
                        double *loss)
{
    const json_t *value = json_object_get(line, "val_loss");
    int64_t step = json_integer_value(json_object_get(line, "step"));
    double here = json_number_value(value);
    if (!json_is_number(value) || step > limit || !(here < *loss)) return;
    if (!run_has_checkpoint(run, step)) return;
    *loss = here;
    *best = step;
}

int64_t run_best_checkpoint(const run_folder *run, int64_t limit, double *loss)
{
    char path[RUN_PATH + 64], *text = NULL;
    size_t room = 0;
    int64_t best = -1;
    *loss = INFINITY;
    take_better(run, json_object_get(run->record, RUN_BEST), limit, &best, loss);
    if (json_object_get(run->record, EARLIER)) return best;
    snprintf(path, sizeof path, "%s/metrics.jsonl", run->path);
    FILE *file = fopen(path, "re");
    if (!file) return best;
    for (ssize_t length; (length = getline(&text, &room, file)) > 0;) {
        json_t *line = json_loadb(text, (size_t)length, 0, NULL);
        take_better(run, line, limit, &best, loss);
        json_decref(line);
    }
    free(text);
    fclose(file);
    return best;
}
