/* SPDX-License-Identifier: MIT
 *
 * Two records of the same steps. What depends on what decides the order in which differences
 * are looked for: within a step losses come first, then gradients, their norm, and the weights
 * after the update.
 */
#include <math.h>
#include <string.h>

#include "verify.h"

/* Of a metric of counts, where a few tokens may change their experts. */
static const double tolerance_of_counts = 0.25;

/* How far apart values may be where a sum was made in another order, relative to the value. The
 * router's choices and Adam's division by a small root enlarge what begins at the last bit. */
typedef struct verify_tolerance {
    double loss, gradient, weights;
} verify_tolerance;

static const verify_tolerance tolerances[] = {
    [RINGMOE_PRECISION_FP32] = {1e-4, 1e-2, 1e-3},
    [RINGMOE_PRECISION_BF16] = {1e-2, 1e-1, 1e-2},
};

/* A metric, a number or a whole one; `is_count` of those that move in whole tokens, which have
 * no small differences. */
typedef struct metric_row {
    const char *name;
    size_t offset;
    bool is_count, is_whole;
} metric_row;

#define METRIC(member, ...)                                                                    \
    {                                                                                          \
#member, offsetof(ringmoe_step_metrics, member), __VA_ARGS__                           \
    }

static const metric_row losses[] = {
    METRIC(loss, false, false),       METRIC(balance_loss, false, false),
    METRIC(z_loss, false, false),     METRIC(load_max_over_mean, true, false),
    METRIC(load_cv, true, false),     METRIC(n_dropped, true, true),
    METRIC(dead_experts, true, true),
};
static const metric_row norms[] = {METRIC(grad_norm, false, false)};

/* What is being compared, and where differences go. */
typedef struct comparison {
    const verify_tolerance *tolerance; /* NULL: to the bit */
    int step;
    verify_outcome *outcome;
} comparison;

static bool is_close(double a, double b, double tolerance, double scale)
{
    return fabs(a - b) <= tolerance * scale;
}

/* Keeps the worse of two matches, and the first difference's words. */
static void note(comparison *at, verify_match match, verify_match *kept, const char *format,
                 const char *name, double reference, double value)
{
    if (match > *kept) *kept = match;
    if (match != VERIFY_DIFFER || at->outcome->first[0]) return;
    char what[160];
    snprintf(what, sizeof what, format, name);
    snprintf(at->outcome->first, sizeof at->outcome->first, "step %d: %s %.9g, not %.9g",
             at->step + 1, what, value, reference);
}

static double metric_at(const ringmoe_step_metrics *metrics, const metric_row *row)
{
    const char *place = (const char *)metrics + row->offset;
    return row->is_whole ? (double)*(const int64_t *)place : *(const double *)place;
}

/* Of counts a quarter, and of those next to nothing a few. */
static bool metric_close(const metric_row *row, double a, double b, double tolerance)
{
    static const double few = 8;
    if (!isfinite(a) || !isfinite(b)) return false;
    if (!row->is_count) return is_close(a, b, tolerance, fabs(a));
    return is_close(a, b, tolerance_of_counts, row->is_whole ? fabs(a) + few : fabs(a));
}

static void compare_metrics(comparison *at, const metric_row *rows, int n_rows,
                            const ringmoe_step_metrics *reference,
                            const ringmoe_step_metrics *metrics, double tolerance,
                            verify_match *kept)
{
    for (int i = 0; i < n_rows; i++) {
        double a = metric_at(reference, &rows[i]), b = metric_at(metrics, &rows[i]);
        verify_match match = VERIFY_SAME;
        if (!(a == b))
            match = at->tolerance && metric_close(&rows[i], a, b, tolerance) ? VERIFY_CLOSE
                                                                             : VERIFY_DIFFER;
        note(at, match, kept, "%s", rows[i].name, a, b);
    }
}

/* Root of the sum of squares over all parameters: the scale of what is next to nothing. */
static double whole_norm(const ringmoe_parameter_digest *digests, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++) sum += digests[i].norm * digests[i].norm;
    return sqrt(sum);
}

static bool digests_close(const ringmoe_parameter_digest *a, const ringmoe_parameter_digest *b,
                          double tolerance, double whole)
{
    double scale = a->norm + 0.01 * whole;
    return is_close(a->norm, b->norm, tolerance, scale) &&
           is_close(a->projection, b->projection, 4 * tolerance, scale);
}

static void compare_digests(comparison *at, const char *format,
                            const ringmoe_parameter_digest *reference,
                            const ringmoe_parameter_digest *digests, int count,
                            double tolerance, verify_match *kept)
{
    double whole = whole_norm(reference, count);
    for (int i = 0; i < count; i++) {
        const ringmoe_parameter_digest *a = &reference[i], *b = &digests[i];
        bool is_same = strcmp(a->hash, b->hash) == 0 && strcmp(a->name, b->name) == 0;
        verify_match match = is_same ? VERIFY_SAME : VERIFY_DIFFER;
        if (!is_same && at->tolerance && digests_close(a, b, tolerance, whole))
            match = VERIFY_CLOSE;
        note(at, match, kept, format, a->name, a->norm, b->norm);
    }
}

static void compare_step(comparison *at, const verify_record *reference,
                         const verify_record *record)
{
    int n = reference->n_parameters;
    const verify_tolerance bits = {0}, *tolerance = at->tolerance ? at->tolerance : &bits;
    verify_outcome *outcome = at->outcome;
    compare_metrics(at, losses, sizeof losses / sizeof losses[0], &reference->metrics[at->step],
                    &record->metrics[at->step], tolerance->loss, &outcome->losses);
    compare_digests(at, "gradient of %s, norm", reference->gradients + at->step * n,
                    record->gradients + at->step * n, n, tolerance->gradient,
                    &outcome->gradients);
    compare_metrics(at, norms, sizeof norms / sizeof norms[0], &reference->metrics[at->step],
                    &record->metrics[at->step], tolerance->gradient, &outcome->norms);
    compare_digests(at, "weights of %s, norm", reference->weights + at->step * n,
                    record->weights + at->step * n, n, tolerance->weights, &outcome->weights);
}

/* Counts as a loss of the step that would be next. */
static void compare_evaluation(comparison *at, const verify_record *reference,
                               const verify_record *record)
{
    double a = reference->final_loss, b = record->final_loss;
    verify_match match = VERIFY_SAME;
    if (!(a == b))
        match = at->tolerance && is_close(a, b, at->tolerance->loss, fabs(a)) ? VERIFY_CLOSE
                                                                              : VERIFY_DIFFER;
    note(at, match, &at->outcome->losses, "%s", "loss of an evaluation", a, b);
}

void verify_compare(const verify_record *reference, const verify_record *record,
                    bool has_tolerance, ringmoe_precision precision, verify_outcome *outcome)
{
    *outcome = (verify_outcome){.has_tolerance = has_tolerance};
    if (reference->n_parameters != record->n_parameters) {
        outcome->losses = outcome->norms = outcome->gradients = outcome->weights =
            VERIFY_DIFFER;
        snprintf(outcome->first, sizeof outcome->first, "%d parameters, not %d",
                 record->n_parameters, reference->n_parameters);
        return;
    }
    comparison at = {.tolerance = has_tolerance ? &tolerances[precision] : NULL,
                     .outcome = outcome};
    for (; at.step < reference->n_steps; at.step++) compare_step(&at, reference, record);
    compare_evaluation(&at, reference, record);
}

bool verify_is_well(const verify_outcome *outcome)
{
    return outcome->losses != VERIFY_DIFFER && outcome->norms != VERIFY_DIFFER &&
           outcome->gradients != VERIFY_DIFFER && outcome->weights != VERIFY_DIFFER;
}

const char *verify_match_word(verify_match match)
{
    static const char *const words[] = {"same", "close", "DIFFER"};
    return words[match];
}
