/* SPDX-License-Identifier: MIT */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *ringmoe_status_text(ringmoe_status status)
{
    switch (status) {
#define RM_STATUS_CASE(name, number, text)                                                     \
    case name:                                                                                 \
        return text;
        RINGMOE_STATUS_LIST(RM_STATUS_CASE)
#undef RM_STATUS_CASE
    }
    return "unknown status";
}

ringmoe_status rm_fail(rm_error *error, ringmoe_status status, const char *format, ...)
{
    if (!error) return status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return status;
}
