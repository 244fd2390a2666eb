/* SPDX-License-Identifier: MIT
 *
 * Settings that will hurt, each as one sentence that says what to do.
 */
#ifndef TOOLS_ADVICE_H
#define TOOLS_ADVICE_H

#include "session.h"

enum { ADVICE_MAX = 8, ADVICE_LENGTH = 256 };

typedef struct advice {
    char lines[ADVICE_MAX][ADVICE_LENGTH];
    int count;
} advice;

/* What this rank's machine, environment and threads call for. The context is open. Local. */
void advice_collect(const tool_session *session, const ringmoe_machine *machine,
                    advice *result);
/* Prints them, a line each. */
void advice_print(const tool_session *session, const ringmoe_machine *machine,
                  const char *prefix, FILE *out);

#endif
