/* SPDX-License-Identifier: MIT
 *
 * Waiting for a word of memory that another thread is about to change.
 */
#ifndef RM_PAUSE_H
#define RM_PAUSE_H

#include <sched.h>

/* Looks in vain, some tens of microseconds, before the core is given to others. */
enum { RM_LOOKS = 1000 };

/* Between two looks at the word; `look` counts them from 0. */
static inline void rm_pause(int look)
{
    if (look >= RM_LOOKS) {
        sched_yield();
        return;
    }
#if defined(__x86_64__) || defined(__i386__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
