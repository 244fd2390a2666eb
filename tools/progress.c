/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include <math.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

enum { LINE = 256 };
static const double seconds_between_lines = 2, seconds_between_redraws = 0.1;

double clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void progress_begin(progress *state, FILE *out, int64_t first_step, int64_t steps,
                    int64_t choices)
{
    *state =
        (progress){.out = out, .first_step = first_step, .steps = steps, .choices = choices};
    state->is_terminal = out && isatty(fileno(out));
    state->started = clock_seconds();
}

static double seconds_left(const progress *state, const ringmoe_step_metrics *metrics)
{
    double per_step =
        (clock_seconds() - state->started) / (double)(metrics->step - state->first_step);
    return per_step * (double)(state->steps - metrics->step);
}

/* `gap` parts the figures: one blank where the width is short, two in a log. */
static void format_figures(const progress *state, const ringmoe_step_metrics *metrics,
                           double val_loss, const char *gap, char line[LINE])
{
    char val[32] = "", dropped[32] = "";
    if (!isnan(val_loss)) snprintf(val, sizeof val, "%sval %.4f", gap, val_loss);
    if (state->choices > 0)
        snprintf(dropped, sizeof dropped, "%sdropped %.1f%%", gap,
                 100 * (double)metrics->n_dropped / (double)state->choices);
    int digits = snprintf(NULL, 0, "%lld", (long long)state->steps);
    snprintf(line, LINE, "step %*lld/%lld%sloss %.4f%s%s%s tok/s%sload %.2f%s%sleft %s", digits,
             (long long)metrics->step, (long long)state->steps, gap, metrics->loss, val, gap,
             text_count(metrics->tokens_per_s).text, gap, metrics->load_max_over_mean, dropped,
             gap, text_duration(seconds_left(state, metrics)).text);
}

static int terminal_width(const progress *state)
{
    struct winsize size = {0};
    ioctl(fileno(state->out), TIOCGWINSZ, &size);
    return size.ws_col ? size.ws_col : 80;
}

/* "[######----] figures", the bar as wide as there is room for it. */
static void redraw(const progress *state, const char *figures, double done)
{
    enum { LEAST = 6, MOST = 30 };
    char bar[MOST + 1] = "";
    int room = terminal_width(state) - 1, width = room - 3 - (int)strlen(figures);
    if (width > MOST) width = MOST;
    if (width >= LEAST) {
        int filled = (int)(done * width);
        memset(bar, '-', (size_t)width);
        memset(bar, '#', (size_t)filled);
        bar[width] = '\0';
        fprintf(state->out, "\r[%s] %s\033[K", bar, figures);
    } else {
        fprintf(state->out, "\r%.*s\033[K", room, figures);
    }
}

void progress_step(progress *state, const ringmoe_step_metrics *metrics, double val_loss)
{
    char line[LINE];
    double now = clock_seconds();
    state->dropped += metrics->n_dropped;
    state->chosen += state->choices;
    bool is_edge = metrics->step == state->steps || metrics->step == state->first_step + 1;
    double pause = state->is_terminal ? seconds_between_redraws : seconds_between_lines;
    if (!state->out || (!is_edge && now - state->shown < pause)) return;
    format_figures(state, metrics, val_loss, state->is_terminal ? " " : "  ", line);
    if (state->is_terminal)
        redraw(state, line, (double)metrics->step / (double)state->steps);
    else
        fprintf(state->out, "%s\n", line);
    fflush(state->out);
    state->shown = now;
}

void progress_show(progress *state, double done, const char *text)
{
    char line[LINE];
    double now = clock_seconds(), spent = now - state->started;
    if (!state->is_terminal || now - state->shown < seconds_between_redraws) return;
    if (done > 0)
        snprintf(line, sizeof line, "%s, left %s", text,
                 text_duration(spent * (1 - done) / done).text);
    else
        snprintf(line, sizeof line, "%s", text);
    redraw(state, line, done);
    fflush(state->out);
    state->shown = now;
}

void progress_clear(progress *state)
{
    if (!state->is_terminal || state->shown == 0) return;
    fputs("\r\033[K", state->out);
    fflush(state->out);
    state->shown = 0;
}

void progress_end(progress *state)
{
    if (state->out && state->is_terminal && state->shown > 0) fputc('\n', state->out);
}
