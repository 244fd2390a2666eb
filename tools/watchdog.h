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

/* Puts a watchdog of so many seconds into the settings, 0: none. `command` ("train") must
 * outlive the context. */
void watchdog_set(ringmoe_context_settings *settings, double seconds, const char *command);

#endif
