/* SPDX-License-Identifier: MIT
 *
 * A rank that computes for ever. Seen at one moment it looks like long work. But within a pass
 * the rank comes to another place again and again, at each layer and at each wait, and the
 * longest stretch between two places so far is a measure: work that is ten times slower than
 * usual stays below a bound of twenty times that. A run's first stretches have nothing to be
 * compared with, and get some limits in any case.
 */
#include <math.h>

#include "comm/watchdog_state.h"

static const double SHORTEST_LIMITS = 5;
static const double TIMES_LONGEST = 20;

bool rm_watchdog_is_endless(rm_watchdog *watchdog, double passed)
{
    rm_stretch *stretch = &watchdog->stretch;
    rm_occupation now;
    rm_history_now(&watchdog->history, &now);
    if (!rm_occupation_is_pass(&now) || now.begin != stretch->begin) {
        *stretch = (rm_stretch){.begin = now.begin};
        return false;
    }
    stretch->seconds += passed;
    return stretch->seconds > fmax(SHORTEST_LIMITS * watchdog->limit,
                                   TIMES_LONGEST * rm_history_longest(&watchdog->history));
}
