/* SPDX-License-Identifier: MIT
 *
 * Which schedule to train with: names that may be given, and the one where none is.
 */
#include <stdio.h>
#include <string.h>

#include "pipeline/lists.h"

const char *rm_schedule_choose(int n_ranks, int64_t n_chunks)
{
    return n_ranks > 1 && n_chunks > 1 ? "interleaved" : "1f1b";
}

static bool goes_backward(const char *name)
{
    const rm_schedule_row *row = rm_schedule_find(name);
    return row && row->has_backward;
}

/* "gpipe, 1f1b, interleaved, zb-h1" */
static void list_names(char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (const char *const *name = ringmoe_schedule_names(); *name && used < bytes; name++)
        if (goes_backward(*name))
            used +=
                (size_t)snprintf(text + used, bytes - used, "%s%s", used ? ", " : "", *name);
}

ringmoe_status rm_schedule_check_name(const char *name, size_t bytes, rm_error *error)
{
    char names[128];
    bool ends = memchr(name, '\0', bytes) != NULL;
    if (ends && (!name[0] || goes_backward(name))) return RINGMOE_OK;
    list_names(names, sizeof names);
    return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                   "schedule is \"%.*s\"; it must be one of %s, or nothing to have it chosen",
                   (int)bytes, name, names);
}
