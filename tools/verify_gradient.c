/* SPDX-License-Identifier: MIT
 *
 * That the gradient is the loss's own: the loss a little way up and down along a parameter's
 * gradient must differ by that gradient's length. One parameter of each kind is tried, a kind
 * being a name without its numbers.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "verify.h"

/* Length of the way in the space of weights, and the error a loss in fp32 has of its own. */
static const double way = 0.003, loss_error = 1e-6, tolerance = 0.005;

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

static ringmoe_status check_one(ringmoe_trainer *trainer, int parameter, const char *name,
                                verify_gradient *result)
{
    double from_gradient = 0, from_losses = 0;
    ringmoe_status status =
        ringmoe_trainer_check_gradient(trainer, parameter, way, &from_gradient, &from_losses);
    if (status != RINGMOE_OK) return status;
    double error = fabs(from_losses - from_gradient), noise = loss_error / way;
    bool is_wrong = !(error <= tolerance * from_gradient + noise);
    double relative = error / (from_gradient + noise / tolerance);
    result->n_checked++;
    result->n_wrong += is_wrong;
    if (relative <= result->worst) return RINGMOE_OK;
    result->worst = relative;
    snprintf(result->name, sizeof result->name, "%s", name);
    return RINGMOE_OK;
}

ringmoe_status verify_check_gradient(ringmoe_trainer *trainer, verify_gradient *result)
{
    int count = ringmoe_trainer_parameter_count(trainer);
    ringmoe_parameter_digest *digests = calloc((size_t)count, sizeof *digests);
    *result = (verify_gradient){0};
    if (!digests) return RINGMOE_ERROR_MEMORY;
    ringmoe_status status = ringmoe_trainer_digests(trainer, RINGMOE_DIGEST_WEIGHTS, digests);
    if (status == RINGMOE_OK) status = check_one(trainer, -1, "the whole model", result);
    for (int i = 0; i < count && status == RINGMOE_OK; i++)
        if (is_first_of_kind(digests, i))
            status = check_one(trainer, i, digests[i].name, result);
    free(digests);
    return status;
}
