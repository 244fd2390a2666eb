/* SPDX-License-Identifier: MIT */
#include "train/shadow_rates.h"

#include <math.h>

/* Steps a mean reaches back; steps after which it is trusted enough to judge a sample by it,
 * and how far off a sample may be. */
enum { MEMORY = 8, TRUSTED = 3 };
static const double far_off = 2;

static void learn(rm_shadow_rate *rate, double seconds)
{
    if (!(seconds > 0) || !isfinite(seconds)) return;
    if (rate->n_steps >= TRUSTED)
        seconds = fmin(fmax(seconds, rate->seconds / far_off), rate->seconds * far_off);
    if (rate->n_steps < MEMORY) rate->n_steps++;
    rate->seconds += (seconds - rate->seconds) / rate->n_steps;
}

static void keep_least(double *least, double seconds, double units)
{
    if (!(units > 0) || !(seconds > 0)) return;
    double rate = seconds / units;
    if (*least == 0 || rate < *least) *least = rate;
}

void rm_shadow_step_add(rm_shadow_step *step, const rm_shadow_sample *sample)
{
    step->expert_seconds += sample->expert_seconds;
    step->expert_rows += sample->expert_rows;
    keep_least(&step->byte, sample->exchange_seconds, sample->exchange_bytes);
    keep_least(&step->copied_byte, sample->copy_seconds, sample->copy_bytes);
    keep_least(&step->gathered_byte, sample->gather_seconds, sample->gather_bytes);
}

void rm_shadow_rates_learn(rm_shadow_rates *rates, const rm_shadow_step *step)
{
    if (step->expert_rows > 0)
        learn(&rates->row, step->expert_seconds / (3 * step->expert_rows));
    learn(&rates->byte, step->byte);
    learn(&rates->copied_byte, step->copied_byte);
    learn(&rates->gathered_byte, step->gathered_byte);
}

double rm_shadow_rates_copied_byte(const rm_shadow_rates *rates)
{
    enum { PACKED_AND_ADDED = 2 };
    if (rates->copied_byte.n_steps > 0) return rates->copied_byte.seconds;
    return PACKED_AND_ADDED * rates->gathered_byte.seconds;
}
