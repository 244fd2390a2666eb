/* SPDX-License-Identifier: MIT
 *
 * The learning rate: linear warm-up, then half a cosine down to lr_min_ratio * lr at `steps`
 * (Loshchilov & Hutter 2017), and that rate from there on.
 */
#ifndef RM_SCHEDULE_H
#define RM_SCHEDULE_H

#include <ringmoe/train.h>

/* Of a step counted from 1: the first gets lr / warmup_steps, step warmup_steps the peak. */
double rm_learning_rate(const ringmoe_train_settings *settings, int64_t step);

#endif
