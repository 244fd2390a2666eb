/* SPDX-License-Identifier: MIT */
#include "watchdog.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "launcher.h"

enum { TEXT_BYTES = 8192, PATIENCE_MILLISECONDS = 300, LAST_WORD_SECONDS = 3 };

/* In pieces that a pipe takes whole when it takes anything. */
void watchdog_write(const char *text, size_t n)
{
    while (n > 0) {
        struct pollfd output = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (poll(&output, 1, PATIENCE_MILLISECONDS) != 1) return;
        ssize_t written = write(STDERR_FILENO, text, n < PIPE_BUF ? n : PIPE_BUF);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return;
        text += written;
        n -= (size_t)written;
    }
}

/* Adds "ringmoe train: watchdog: ..." for each line of `lines`. */
static size_t add_lines(char *text, size_t used, const char *command, const char *before,
                        const char *lines)
{
    while (*lines && used < TEXT_BYTES) {
        int length = (int)strcspn(lines, "\n");
        used +=
            (size_t)snprintf(text + used, TEXT_BYTES - used, "ringmoe %s: watchdog: %s%.*s\n",
                             command, before, length, lines);
        lines += length;
        lines += *lines == '\n';
    }
    return used < TEXT_BYTES ? used : TEXT_BYTES - 1;
}

/* Called in the watchdog's thread while the others may be stuck anywhere, also within stdio: so
 * the text goes out at once, past stdio. */
static void take_alarm(void *user, const ringmoe_alarm *alarm)
{
    char text[TEXT_BYTES];
    const char *command = user;
    if (alarm->is_over) {
        launcher_end_job(EXIT_STUCK);
        _exit(EXIT_STUCK);
    }
    size_t used = 0;
    if (alarm->is_witness) used = add_lines(text, used, command, "", alarm->verdict);
    used = add_lines(text, used, command, "", alarm->here);
    used = add_lines(text, used, command, "    before: ", alarm->past);
    watchdog_write(text, used);
}

void watchdog_last_word(void)
{
    struct timespec left = {.tv_sec = LAST_WORD_SECONDS};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

/* UCX ends a process by abort() when another, of whose memory it was copying, is no more: at
 * the same moment as the watchdog's thread hears of that, and it would be cut short with the
 * rank's name on its tongue. That thread goes on while this one sleeps, and has the process end
 * well before the signal takes effect. */
static void on_abort(int number)
{
    watchdog_last_word();
    raise(number); /* has its usual effect when the handler returns */
}

void watchdog_set(ringmoe_context_settings *settings, double seconds, const char *command)
{
    struct sigaction action = {.sa_handler = on_abort, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    if (seconds > 0)
        sigaction(SIGABRT, &action, NULL);
    else
        launcher_let_go(); /* nobody would name a rank that dies */
    settings->watchdog_seconds = seconds;
    settings->alarm = take_alarm;
    settings->alarm_user = (void *)command;
}
