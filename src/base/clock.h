/* SPDX-License-Identifier: MIT */
#ifndef RM_CLOCK_H
#define RM_CLOCK_H

/* Seconds of the monotonic clock, from an arbitrary start; changes of the date do not move it.
 */
double rm_clock_seconds(void);

#endif
