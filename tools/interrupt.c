/* SPDX-License-Identifier: MIT */
#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

/* How long a signal may be an echo of the first: of one that came to this process, and of one
 * that came to another and may still be on its way here through a busy cluster. */
enum { ECHO_SECONDS = 1, LATE_SECONDS = 5 };

static volatile sig_atomic_t requested, is_heard;
static volatile struct timespec second_from;

/* Threads that do this at the same time all but agree. */
static void hear(int seconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    second_from.tv_sec = now.tv_sec + seconds;
    second_from.tv_nsec = now.tv_nsec;
    is_heard = 1;
}

static bool is_second(void)
{
    struct timespec now;
    if (!is_heard) return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > second_from.tv_sec ||
           (now.tv_sec == second_from.tv_sec && now.tv_nsec >= second_from.tv_nsec);
}

static void request(int signal_number)
{
    int problem = errno;
    if (is_second()) {
        signal(signal_number, SIG_DFL);
        raise(signal_number); /* takes effect when the handler returns */
    } else if (!is_heard) {
        hear(ECHO_SECONDS);
    }
    requested = 1;
    errno = problem;
}

void interrupt_watch(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_handler = request, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
}

bool interrupt_requested(void)
{
    return requested;
}

void interrupt_accept(void)
{
    if (!is_heard) hear(LATE_SECONDS);
}
