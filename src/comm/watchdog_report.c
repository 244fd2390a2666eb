/* SPDX-License-Identifier: MIT
 *
 * The watchdog's words.
 */
#include "comm/watchdog.h"

#include <stdarg.h>
#include <stdio.h>

/* Adds to a text of `size` bytes at *used. */
static void add(char *text, size_t size, size_t *used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void add(char *text, size_t size, size_t *used, const char *format, ...)
{
    va_list arguments;
    if (*used >= size) return;
    va_start(arguments, format);
    int n = vsnprintf(text + *used, size - *used, format, arguments);
    va_end(arguments);
    if (n > 0) *used += (size_t)n;
}

/* "rank 3", "ranks 0 to 7", "ranks 1, 3, ... 15" */
static void add_partners(char *text, size_t size, size_t *used, const rm_partners *partners)
{
    int last = partners->first + (partners->size - 1) * partners->stride;
    if (partners->rank >= 0)
        add(text, size, used, "rank %d", partners->rank);
    else if (partners->size <= 1)
        add(text, size, used, "nobody");
    else if (partners->size == 2)
        add(text, size, used, "ranks %d and %d", partners->first, last);
    else if (partners->stride == 1)
        add(text, size, used, "ranks %d to %d", partners->first, last);
    else
        add(text, size, used, "ranks %d, %d, ... %d", partners->first,
            partners->first + partners->stride, last);
}

/* " (forward, step 3, microbatch 1, layer 5)" */
static void add_place(char *text, size_t size, size_t *used, const rm_label *label)
{
    if (label->operation == RM_OPERATION_NONE) return;
    add(text, size, used, " (%s, step %lld, microbatch %d", rm_operation_name(label->operation),
        (long long)label->step, label->microbatch);
    if (label->layer >= 0) add(text, size, used, ", layer %d", label->layer);
    add(text, size, used, ")");
}

static void add_occupation(char *text, size_t size, size_t *used, const rm_occupation *now)
{
    if (now->is_waiting) {
        add(text, size, used, "waiting in %s for ", now->what);
        add_partners(text, size, used, &now->partners);
    } else {
        add(text, size, used, "computing");
    }
    add(text, size, used, " since %.1f s", now->begin);
    add_place(text, size, used, &now->label);
}

void rm_report_standstill(const rm_beat *round, int n_ranks, double seconds,
                          char text[RM_REPORT_BYTES])
{
    const size_t size = RM_REPORT_BYTES;
    size_t used = 0;
    add(text, size, &used,
        "%d of %d ranks wait and none has got on for %.1f s: rank %d (process %d on %s) is ",
        round->n_waiting, n_ranks, seconds, round->rank, round->process, round->host);
    add_occupation(text, size, &used, &round->occupation);
    add(text, size, &used, ", or hangs in something that the watchdog does not see");
}

void rm_report_verdict(const rm_beat *verdict, int n_ranks, char text[RM_REPORT_BYTES])
{
    const size_t size = RM_REPORT_BYTES;
    size_t used = 0;
    if (verdict->cause == RM_CAUSE_STUCK)
        add(text, size, &used,
            "all %d ranks wait and none has got on for %.1f s; the first to wait was ", n_ranks,
            verdict->seconds);
    add(text, size, &used, "rank %d (process %d on %s)", verdict->rank, verdict->process,
        verdict->host);
    if (verdict->cause == RM_CAUSE_STUCK)
        add(text, size, &used, ", ");
    else if (verdict->cause == RM_CAUSE_GONE)
        add(text, size, &used, " has ended without a word; it was last heard of ");
    else if (verdict->cause == RM_CAUSE_SILENT)
        add(text, size, &used,
            " has not been heard of for %.1f s: it is stopped or cut off; before, it was ",
            verdict->seconds);
    else if (verdict->cause == RM_CAUSE_ENDLESS)
        add(text, size, &used,
            " hangs: never before did it compute for more than %.3f s in one place; it is ",
            verdict->seconds);
    else
        add(text, size, &used, " has waited for %.1f s and hears no other rank; it is ",
            verdict->seconds);
    add_occupation(text, size, &used, &verdict->occupation);
}

void rm_report_here(int rank, const rm_occupation *now, char text[RM_REPORT_BYTES])
{
    size_t used = 0;
    add(text, RM_REPORT_BYTES, &used, "rank %d is ", rank);
    add_occupation(text, RM_REPORT_BYTES, &used, now);
}

void rm_report_past(const rm_occupation *past, int n, char text[RM_REPORT_PAST_BYTES])
{
    const size_t size = RM_REPORT_PAST_BYTES;
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < n; i++) {
        add(text, size, &used, "%s%s with ", i ? "\n" : "", past[i].what);
        add_partners(text, size, &used, &past[i].partners);
        add(text, size, &used, ", done %.3f s ago after %.6f s", past[i].end,
            past[i].begin - past[i].end);
        add_place(text, size, &used, &past[i].label);
    }
}
