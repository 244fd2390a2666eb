/* SPDX-License-Identifier: MIT
 *
 * SIGTERM, SIGUSR1 and SIGINT (Ctrl-C) as a request: the step in progress is finished, then the
 * run is saved. A signal that comes when the request has been heard ends the process at once.
 * Launchers pass a signal on that the ranks have had already, and not to all ranks at a time:
 * what comes within moments of the first is the same request.
 */
#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

#include <stdbool.h>

void interrupt_watch(void);
/* Whether this process was asked. */
bool interrupt_requested(void);
/* Some rank was asked, and all know of it: from now on this one takes a signal for the second.
 */
void interrupt_accept(void);

#endif
