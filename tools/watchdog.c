/* SPDX-License-Identifier: MIT */
#include "watchdog.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_BYTES = 8192 };

/* Adds "ringmoe train: watchdog: ..." for each line of `lines`. */
static size_t add_lines(char *text, size_t used, const char *command, const char *before,
                        const char *lines)
{
    while (*lines && used < TEXT_BYTES) {
        int length = (int)strcspn(lines, "\n");
        used +=
            (size_t)snprintf(text + used, TEXT_BYTES - used, "ringmoe %s: watchdog: %s%.*s\n",
                             command, before, length, lines);
        lines += length;
        lines += *lines == '\n';
    }
    return used < TEXT_BYTES ? used : TEXT_BYTES - 1;
}

/* Called in the watchdog's thread while the others may be stuck anywhere, also within stdio: so
 * the text goes out in one piece, past stdio. */
static void take_alarm(void *user, const ringmoe_alarm *alarm)
{
    char text[TEXT_BYTES];
    const char *command = user;
    if (alarm->is_over) _exit(EXIT_STUCK);
    size_t used = 0;
    if (alarm->is_witness) used = add_lines(text, used, command, "", alarm->verdict);
    used = add_lines(text, used, command, "", alarm->here);
    used = add_lines(text, used, command, "    before: ", alarm->past);
    if (write(STDERR_FILENO, text, used) < 0) return;
}

void watchdog_set(ringmoe_context_settings *settings, double seconds, const char *command)
{
    settings->watchdog_seconds = seconds;
    settings->alarm = take_alarm;
    settings->alarm_user = (void *)command;
}
