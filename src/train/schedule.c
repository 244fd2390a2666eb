/* SPDX-License-Identifier: MIT */
#include "train/schedule.h"

#include <math.h>

double rm_learning_rate(const ringmoe_train_settings *settings, int64_t step)
{
    static const double pi = 3.14159265358979323846264338327950288;
    int64_t warmup = settings->warmup_steps, decay = settings->steps - warmup;
    if (step <= warmup) return settings->lr * (double)step / (double)warmup;
    double progress = step < settings->steps ? (double)(step - warmup) / (double)decay : 1;
    double height = 0.5 * (1 + cos(pi * progress));
    return settings->lr * (settings->lr_min_ratio + (1 - settings->lr_min_ratio) * height);
}
