/* SPDX-License-Identifier: MIT
 *
 * How failures travel: every function that can fail returns a ringmoe_status and, where it
 * takes an rm_error, leaves one line there that says what was wrong, with the values, and what
 * to do.
 */
#ifndef RM_STATUS_H
#define RM_STATUS_H

#include <ringmoe/types.h>

#define RM_ERROR_BYTES 512

typedef struct rm_error {
    char text[RM_ERROR_BYTES]; /* "" before any failure */
} rm_error;

/* Writes the line (printf format) and returns `status`. `error` may be NULL. */
ringmoe_status rm_fail(rm_error *error, ringmoe_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Returns from the calling function if `call` fails. */
#define RM_TRY(call)                                                                           \
    do {                                                                                       \
        ringmoe_status rm_status_ = (call);                                                    \
        if (rm_status_ != RINGMOE_OK) return rm_status_;                                       \
    } while (0)

#endif
