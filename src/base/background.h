/* SPDX-License-Identifier: MIT
 *
 * A thread that works beside those that compute: on any processor the process has, and where it
 * gives way only with what these leave over.
 */
#ifndef RM_BACKGROUND_H
#define RM_BACKGROUND_H

#include <pthread.h>
#include <stdbool.h>

/* Starts it, without signals: these are for the threads of the program, which knows what to do
 * about them. OpenMP may have bound the caller to a single core; the new thread may run on all
 * of OpenMP's places. False if the system has no thread to give. */
bool rm_background_thread(pthread_t *thread, void *(*run)(void *), void *argument);
/* To be called by the thread itself: it never gets a higher priority than it has. */
void rm_background_give_way(void);

#endif
