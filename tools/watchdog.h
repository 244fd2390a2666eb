/* SPDX-License-Identifier: MIT
 *
 * The library's watchdog in the command: what it reports goes to stderr, and the process ends
 * with a status of its own, so that a job is never held up by ranks that wait for nothing.
 */
#ifndef TOOLS_WATCHDOG_H
#define TOOLS_WATCHDOG_H

#include <ringmoe.h>

enum { EXIT_STUCK = 75, WATCHDOG_SECONDS = 120 };

/* Writes to stderr past stdio, from any thread. Gives up when nothing has been taken for a
 * moment, since whoever reads may have been stopped. */
void watchdog_write(const char *text, size_t n);

/* Before a process is ended because of an error that the end of another may have caused: time
 * for the watchdog to find out, to say which rank it was, and to end the process itself. */
void watchdog_last_word(void);

/* Puts a watchdog of so many seconds into the settings, 0: none. `command` ("train") must
 * outlive the context. From now on abort(), whatever for, leaves the watchdog the last word: it
 * takes effect three seconds later. */
void watchdog_set(ringmoe_context_settings *settings, double seconds, const char *command);

#endif
