/* SPDX-License-Identifier: MIT
 *
 * Choosing the next token from logits: temperature, top-k, nucleus.
 */
#ifndef RM_SAMPLE_H
#define RM_SAMPLE_H

#include <ringmoe/generate.h>

#include "base/status.h"
#include "simd/real.h"

typedef struct rm_candidate {
    double weight; /* exp((logit - largest) / temperature) */
    int32_t id;
} rm_candidate;

/* ARGUMENT with the setting's name, value and range. */
ringmoe_status rm_sample_check(const ringmoe_generate_settings *settings, rm_error *error);

/* The token for position `position` of the text: a function of the logits, the settings and the
 * position alone. `pool` has room for vocab_size candidates. NUMERIC if a logit is NaN or the
 * largest is not finite. */
ringmoe_status rm_sample(const ringmoe_generate_settings *settings, const rm_real *logits,
                         int vocab_size, int64_t position, rm_candidate *pool, int32_t *token,
                         rm_error *error);

#endif
