/* SPDX-License-Identifier: MIT
 *
 * That the gradient is the loss's own: the loss a little way up and down along a parameter's
 * gradient must differ by that gradient's length, and along fixed signs, which also move what
 * is wrongly missing from the gradient, by the gradient's projection on them. One parameter of
 * each kind is tried, a kind being a name without its numbers.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "verify.h"

/* How far a parameter goes along its gradient, and each of its elements along the signs, where
 * the loss is less curved, but more if those of all layers move; and the error a loss in fp32
 * has of its own. */
static const double way = 0.003, way_of_element = 0.001, way_of_all = 0.0002, loss_error = 1e-6;
/* Of the gradient's length; along signs, of what is to be expected there of it. */
static const double tolerance = 0.005, tolerance_of_signs = 0.03;

/* Behind a number that stands alone between dots, else where it was. */
static const char *skip_number(const char *begin, const char *at)
{
    const char *end = at;
    if (at == begin || at[-1] != '.') return at;
    while (isdigit((unsigned char)*end)) end++;
    return *end == '.' ? end : at;
}

/* "model.layers.3.mlp.w1.weight" and "model.layers.12.mlp.w1.weight" are of a kind. */
static bool are_of_a_kind(const char *a, const char *b)
{
    for (const char *at = a, *there = b;; at++, there++) {
        at = skip_number(a, at);
        there = skip_number(b, there);
        if (*at != *there) return false;
        if (*at == '\0') return true;
    }
}

static bool is_first_of_kind(const ringmoe_parameter_digest *digests, int index)
{
    for (int i = 0; i < index; i++)
        if (are_of_a_kind(digests[i].name, digests[index].name)) return false;
    return true;
}

/* A derivative from losses beside the gradient's; `scale` is how large it might be. */
static void judge(double from_gradient, double from_losses, double scale, double relative_limit,
                  double noise, const char *name, verify_gradient *result)
{
    double error = fabs(from_losses - from_gradient);
    bool is_wrong = !(error <= relative_limit * scale + noise);
    double relative = error / (scale + noise / relative_limit);
    result->n_checked++;
    result->n_wrong += is_wrong;
    if (relative <= result->worst) return;
    result->worst = relative;
    snprintf(result->name, sizeof result->name, "%s", name);
}

/* A gradient that is nothing at all is right only if the loss does not move by a bit. */
static void judge_nothing(double from_losses, const char *name, verify_gradient *result)
{
    if (from_losses == 0) return;
    result->n_wrong++;
    result->worst = 1;
    snprintf(result->name, sizeof result->name, "%s", name);
}

static ringmoe_status check_one(ringmoe_trainer *trainer, int parameter, const char *name,
                                double n_elements, verify_gradient *result)
{
    double length = 0, from_gradient = 0, from_losses = 0;
    double long_way = (parameter < 0 ? way_of_all : way_of_element) * sqrt(n_elements);
    ringmoe_status status = ringmoe_trainer_check_gradient(
        trainer, parameter, RINGMOE_DIRECTION_GRADIENT, way, &length, &from_losses);
    if (status != RINGMOE_OK) return status;
    judge(length, from_losses, length, tolerance, loss_error / way, name, result);
    status = ringmoe_trainer_check_gradient(trainer, parameter, RINGMOE_DIRECTION_SIGNS,
                                            long_way, &from_gradient, &from_losses);
    if (status != RINGMOE_OK) return status;
    judge(from_gradient, from_losses, length / sqrt(n_elements), tolerance_of_signs,
          loss_error / long_way, name, result);
    if (length == 0) judge_nothing(from_losses, name, result);
    return RINGMOE_OK;
}

ringmoe_status verify_check_gradient(ringmoe_trainer *trainer, verify_gradient *result)
{
    int count = ringmoe_trainer_parameter_count(trainer);
    double n_all = 0;
    ringmoe_parameter_digest *digests = calloc((size_t)count, sizeof *digests);
    *result = (verify_gradient){0};
    if (!digests) return RINGMOE_ERROR_MEMORY;
    ringmoe_status status = ringmoe_trainer_digests(trainer, RINGMOE_DIGEST_WEIGHTS, digests);
    for (int i = 0; i < count; i++) n_all += (double)digests[i].n_elements;
    if (status == RINGMOE_OK) status = check_one(trainer, -1, "the whole model", n_all, result);
    for (int i = 0; i < count && status == RINGMOE_OK; i++)
        if (is_first_of_kind(digests, i))
            status =
                check_one(trainer, i, digests[i].name, (double)digests[i].n_elements, result);
    free(digests);
    return status;
}
