/* SPDX-License-Identifier: MIT
 *
 * The watchdog of a context: a thread on each rank that looks at what the rank does
 * (history.h), talks to the threads of the neighbouring ranks (watchdog_link.h), and says so
 * when nothing goes on any more. It makes no MPI call and takes part in no computation. An
 * alarm is raised
 * - when a neighbour's process ends, or has not been heard of for the limit: it was stopped, or
 *   cut off. A rank that computes for hours is heard of all the time;
 * - when all ranks wait and none has completed anything for the limit. Rank 0 sends a count
 *   round the ring again and again: two equal counts with all ranks waiting mean that nothing
 *   happened in between, since the numbers that are added up only grow;
 * - when a rank computes within a pass without coming to another place for so long that no
 * other stretch of its work can be compared with it (watchdog_endless.c).
 *
 * Where only some wait, and none has completed anything for some limits, one of the others may
 * hang outside such a pass. Nobody can tell that from long work, so rank 0 names it in a
 * warning and raises no alarm.
 */
#ifndef RM_WATCHDOG_H
#define RM_WATCHDOG_H

#include "comm/context.h"
#include "comm/watchdog_beat.h"

typedef struct rm_watchdog rm_watchdog;

/* Starts context->watchdog as the settings say; it stays NULL for none. Collective. */
ringmoe_status rm_watchdog_start(ringmoe_context *context,
                                 const ringmoe_context_settings *settings);
/* Ends it, after all ranks have come here under its eyes or an alarm has been raised.
 * Collective. */
void rm_watchdog_stop(ringmoe_context *context);

/* The lines of a report. Times in an occupation are seconds ago. */
enum { RM_REPORT_BYTES = 512, RM_REPORT_PAST_BYTES = RM_HISTORY_LENGTH * 256 };
void rm_report_standstill(const rm_beat *round, int n_ranks, double seconds,
                          char text[RM_REPORT_BYTES]);
void rm_report_verdict(const rm_beat *verdict, int n_ranks, char text[RM_REPORT_BYTES]);
void rm_report_here(int rank, const rm_occupation *now, char text[RM_REPORT_BYTES]);
void rm_report_past(const rm_occupation *past, int n, char text[RM_REPORT_PAST_BYTES]);

#endif
