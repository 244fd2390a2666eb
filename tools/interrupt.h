/* SPDX-License-Identifier: MIT
 *
 * Ctrl-C and SIGTERM as a request: the step in progress is finished, then the run is saved. A
 * second signal ends the process at once.
 */
#ifndef TOOLS_INTERRUPT_H
#define TOOLS_INTERRUPT_H

#include <stdbool.h>

void interrupt_watch(void);
bool interrupt_requested(void);

#endif
