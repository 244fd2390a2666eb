/* SPDX-License-Identifier: MIT
 *
 * Choosing the next token from logits: repetition penalty, temperature, top-k, nucleus, min-p.
 */
#ifndef RM_SAMPLE_H
#define RM_SAMPLE_H

#include <ringmoe/generate.h>

#include "base/status.h"
#include "simd/kernels.h"

typedef struct rm_candidate {
    double weight; /* exp((logit - largest) / temperature) */
    int32_t id;
} rm_candidate;

/* ARGUMENT with the setting's name, value and range. */
ringmoe_status rm_sample_check(const ringmoe_generate_settings *settings, rm_error *error);

/* What a draw depends on beside the logits. */
typedef struct rm_sampling {
    const ringmoe_generate_settings *settings;
    const uint64_t *seen; /* a bit for each token that the text has; NULL: none */
    int64_t seed;         /* added to the settings' */
    int64_t position;     /* in the text */
} rm_sampling;

/* The token for one position of a text. The logits, [vocab_size], are overwritten; `pool` has
 * room for as many candidates. NUMERIC if a logit is NaN or the largest is not finite. */
ringmoe_status rm_sample(const rm_sampling *sampling, const rm_kernels *kernels, int vocab_size,
                         rm_real *logits, rm_candidate *pool, int32_t *token, rm_error *error);

#endif
