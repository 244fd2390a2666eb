/* SPDX-License-Identifier: MIT */
#ifndef RM_CLOCK_H
#define RM_CLOCK_H

/* Seconds of the monotonic clock, from an arbitrary start; changes of the date do not move it.
 */
double rm_clock_seconds(void);
/* That the calling thread has had of processors. */
double rm_clock_thread_seconds(void);

#endif
