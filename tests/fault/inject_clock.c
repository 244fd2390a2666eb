/* SPDX-License-Identifier: MIT
 *
 * Wall clocks that are set to and fro, as by an administrator: four times a second they change
 * between right, late and early. CLOCK_MONOTONIC is not, which is what it is for.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long jump; /* seconds */
static int (*real_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *text = getenv("INJECT_CLOCK");
    real_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    jump = text ? atol(text) : 0;
}

static int read_clock(clockid_t clock, struct timespec *now)
{
    if (real_clock) return real_clock(clock, now);
    return (int)syscall(SYS_clock_gettime, clock, now);
}

static long offset_now(void)
{
    struct timespec now;
    if (jump == 0 || read_clock(CLOCK_MONOTONIC, &now) != 0) return 0;
    long quarter = (long)now.tv_sec * 4 + now.tv_nsec / 250000000;
    return (quarter % 3 - 1) * jump;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = read_clock(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset_now();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &precise) != 0) return -1;
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    if (result) *result = now.tv_sec;
    return now.tv_sec;
}
