/* SPDX-License-Identifier: MIT
 *
 * How fast this machine computes rows and moves bytes, as the cost model of copied experts
 * (shadow_costs.h) needs to know: means over the last steps, since one step's times say little
 * where other programs run beside or ranks wait for one another.
 */
#ifndef RM_SHADOW_RATES_H
#define RM_SHADOW_RATES_H

/* What one rank measured in one step. */
typedef struct rm_shadow_sample {
    double expert_seconds, expert_rows;      /* forward and backward */
    double exchange_seconds, exchange_bytes; /* of rows */
    double copy_seconds, copy_bytes;         /* of experts' weights and their gradients */
    double gather_seconds, gather_bytes;     /* of all weights, at the end of the step before */
} rm_shadow_sample;

/* What all of them did: experts' seconds together, and of the rates of bytes the least, since
 * the other ranks waited for that one. Zeroed: of none. */
typedef struct rm_shadow_step {
    double expert_seconds, expert_rows;
    double byte, copied_byte, gathered_byte; /* seconds; 0: nothing was moved */
} rm_shadow_step;

void rm_shadow_step_add(rm_shadow_step *step, const rm_shadow_sample *sample);

/* Zeroed: nothing is known. */
typedef struct rm_shadow_rate {
    double seconds; /* a row or a byte */
    int n_steps;    /* the mean is over; those before count less and less */
} rm_shadow_rate;

typedef struct rm_shadow_rates {
    rm_shadow_rate row; /* forward */
    rm_shadow_rate byte, copied_byte, gathered_byte;
} rm_shadow_rates;

/* A sample far off the mean counts as one at its border. */
void rm_shadow_rates_learn(rm_shadow_rates *rates, const rm_shadow_step *step);
/* Seconds of a copied byte: measured, or as long as nothing was copied yet judged by the
 * gathering of weights. 0: not known. */
double rm_shadow_rates_copied_byte(const rm_shadow_rates *rates);

#endif
