/* SPDX-License-Identifier: MIT
 *
 * Settings of a layer: defaults, a table of every field's range, how the fields fit together
 * and onto the mesh, and that all ranks were given the same ones.
 */
#include "moe/settings.h"

#include <limits.h>
#include <math.h>
#include <string.h>

void ringmoe_moe_settings_default(ringmoe_moe_settings *settings)
{
    *settings = (ringmoe_moe_settings){.top_k = 2,
                                       .score = RINGMOE_SCORE_SOFTMAX_ALL,
                                       .renormalize = 1,
                                       .routed_scale = 1,
                                       .noise = RINGMOE_NOISE_NONE,
                                       .jitter = (ringmoe_real)0.01,
                                       .n_groups = 1,
                                       .top_groups = 1,
                                       .n_microbatches = 1,
                                       .init_std = (ringmoe_real)0.02};
}

/* --- one field at a time --- */

typedef enum field_kind { FIELD_INT, FIELD_INT64, FIELD_REAL } field_kind;

/* A field and its range, both ends included. */
typedef struct field {
    const char *name;
    size_t offset;
    field_kind kind;
    double low, high;
} field;

#define FIELD(member, kind, low, high)                                                         \
    {                                                                                          \
#member, offsetof(ringmoe_moe_settings, member), kind, low, high                       \
    }

static const double most_columns = 65536, most_inner = 1 << 20, most = INT_MAX;
static const double largest = 1e30, smallest = 1e-30, below_one = 0.999999;

enum { N_FIELDS = 24 };

static void list_fields(field fields[N_FIELDS])
{
    const field list[N_FIELDS] = {
        FIELD(d_model, FIELD_INT, 1, most_columns),
        FIELD(d_ff, FIELD_INT, 1, most_inner),
        FIELD(n_experts, FIELD_INT, 1, most_columns),
        FIELD(top_k, FIELD_INT, 1, most_columns),
        FIELD(score, FIELD_INT, 0, RINGMOE_SCORE_SIGMOID),
        FIELD(renormalize, FIELD_INT, 0, 1),
        FIELD(routed_scale, FIELD_REAL, smallest, largest),
        FIELD(noise, FIELD_INT, 0, RINGMOE_NOISE_NOISY_TOPK),
        FIELD(jitter, FIELD_REAL, 0, below_one),
        FIELD(n_groups, FIELD_INT, 1, most_columns),
        FIELD(top_groups, FIELD_INT, 1, most_columns),
        FIELD(group_score, FIELD_INT, 0, RINGMOE_GROUP_SCORE_TOP2_SUM),
        FIELD(bias_rate, FIELD_REAL, 0, largest),
        FIELD(capacity_factor, FIELD_REAL, 0, most_columns),
        FIELD(balance_coefficient, FIELD_REAL, 0, largest),
        FIELD(balance_scope, FIELD_INT, 0, RINGMOE_BALANCE_GLOBAL),
        FIELD(z_coefficient, FIELD_REAL, 0, largest),
        FIELD(d_ff_shared, FIELD_INT, 0, most_inner),
        FIELD(shared_gate, FIELD_INT, 0, 1),
        FIELD(max_tokens, FIELD_INT64, 1, most),
        FIELD(n_microbatches, FIELD_INT, 1, most_inner),
        FIELD(layer, FIELD_INT, 0, most),
        FIELD(init_std, FIELD_REAL, 0, largest),
        FIELD(reproducible, FIELD_INT, 0, 1),
    };
    memcpy(fields, list, sizeof list);
}

static double field_value(const ringmoe_moe_settings *settings, const field *which)
{
    const char *place = (const char *)settings + which->offset;
    int narrow;
    int64_t wide;
    ringmoe_real real;
    switch (which->kind) {
    case FIELD_INT:
        return memcpy(&narrow, place, sizeof narrow), narrow;
    case FIELD_INT64:
        return memcpy(&wide, place, sizeof wide), (double)wide;
    case FIELD_REAL:
        return memcpy(&real, place, sizeof real), (double)real;
    }
    return NAN;
}

static ringmoe_status check_ranges(const ringmoe_moe_settings *settings, rm_error *error)
{
    field fields[N_FIELDS];
    list_fields(fields);
    for (int i = 0; i < N_FIELDS; i++) {
        double value = field_value(settings, &fields[i]);
        if (!(value >= fields[i].low && value <= fields[i].high))
            return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                           "%s is %.12g; it must be between %.12g and %.12g", fields[i].name,
                           value, fields[i].low, fields[i].high);
    }
    return RINGMOE_OK;
}

/* --- fields together --- */

static ringmoe_status check_choice(const ringmoe_moe_settings *settings, rm_error *error)
{
    int n = settings->n_experts, groups = settings->n_groups;
    if (settings->top_k > n)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "top_k is %d, more than the %d of n_experts", settings->top_k, n);
    if (n % groups)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "n_groups is %d; it must divide n_experts, %d", groups, n);
    if (settings->top_groups > groups)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "top_groups is %d, more than the %d of n_groups", settings->top_groups,
                       groups);
    if (settings->top_k > settings->top_groups * (n / groups))
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "top_k is %d, but top_groups = %d groups hold only %d experts",
                       settings->top_k, settings->top_groups,
                       settings->top_groups * (n / groups));
    return RINGMOE_OK;
}

static ringmoe_status check_layout(const ringmoe_moe_settings *settings, int expert_ranks,
                                   rm_error *error)
{
    int n = settings->n_experts;
    if (n < expert_ranks)
        return rm_fail(
            error, RINGMOE_ERROR_LAYOUT,
            "n_experts is %d, fewer than the %d expert ranks; use at most one expert "
            "rank for each expert",
            n, expert_ranks);
    if (n % expert_ranks)
        return rm_fail(
            error, RINGMOE_ERROR_LAYOUT,
            "n_experts is %d, which %d expert ranks do not divide; choose a divisor of "
            "%d as the expert axis",
            n, expert_ranks, n);
    int64_t rows = settings->max_tokens * settings->top_k;
    if (rows > INT32_MAX / expert_ranks)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "max_tokens is %lld; times top_k = %d and %d expert ranks it must stay "
                       "below 2^31: give smaller microbatches",
                       (long long)settings->max_tokens, settings->top_k, expert_ranks);
    return RINGMOE_OK;
}

ringmoe_status rm_moe_settings_check(const ringmoe_moe_settings *settings, int expert_ranks,
                                     rm_error *error)
{
    RM_TRY(check_ranges(settings, error));
    RM_TRY(check_choice(settings, error));
    if (settings->shared_gate && settings->d_ff_shared == 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "shared_gate is 1, but there is no shared expert; set d_ff_shared");
    return check_layout(settings, expert_ranks, error);
}

/* --- ranks together --- */

/* The largest of v and of -v over the ranks: equal but for the sign if all have the same v. */
ringmoe_status rm_moe_settings_agree(const rm_axis *axis, const ringmoe_moe_settings *settings,
                                     rm_error *error)
{
    field fields[N_FIELDS];
    double extremes[2 * (N_FIELDS + 2)];
    list_fields(fields);
    double values[N_FIELDS + 2];
    for (int i = 0; i < N_FIELDS; i++) values[i] = field_value(settings, &fields[i]);
    values[N_FIELDS] = (double)(settings->seed >> 32);
    values[N_FIELDS + 1] = (double)(settings->seed & UINT32_MAX);
    for (int i = 0; i < N_FIELDS + 2; i++) {
        extremes[2 * i] = values[i];
        extremes[2 * i + 1] = -values[i];
    }
    RM_TRY(rm_allreduce(axis, extremes, 2 * (N_FIELDS + 2), MPI_DOUBLE, MPI_MAX, error));
    for (int i = 0; i < N_FIELDS + 2; i++)
        if (extremes[2 * i] != -extremes[2 * i + 1])
            return rm_fail(
                error, RINGMOE_ERROR_MISMATCH,
                "%s is between %.12g and %.12g on different ranks; give all ranks the "
                "same settings",
                i < N_FIELDS ? fields[i].name : "seed", -extremes[2 * i + 1], extremes[2 * i]);
    return RINGMOE_OK;
}
