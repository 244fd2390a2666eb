/* SPDX-License-Identifier: MIT
 *
 * The gradient against the loss: the loss of the next global batch is measured at two points a
 * little up and down a direction in all weights, or in one parameter's, with the very passes
 * that train. So it checks every layer, the exchanges, the sums over microbatches and ranks,
 * and the tied head at once, on whatever layout the trainer has.
 *
 * Along the gradient itself everything that is in it counts, but elements that are wrongly 0 do
 * not move and are not missed; along signs that have nothing to do with it they are.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "train/accumulate.h"
#include "train/digest.h"

typedef struct gradient_check {
    ringmoe_trainer *trainer;
    const rm_parameter *parameter;     /* NULL: all */
    rm_real *direction[RM_MAX_SPACES]; /* in this rank's shards, of any length */
    rm_real *weights[RM_MAX_SPACES];   /* as they were */
    double length, slope;              /* of the direction; of the gradient along it */
} gradient_check;

static ringmoe_status copy_of(const rm_real *values, int64_t n, rm_real **copy, rm_error *error)
{
    *copy = malloc((size_t)(n + 1) * sizeof **copy);
    if (!*copy)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a copy of %lld weights",
                       (long long)n);
    if (n) memcpy(*copy, values, (size_t)n * sizeof **copy);
    return RINGMOE_OK;
}

static ringmoe_status keep(gradient_check *check, rm_error *error)
{
    const ringmoe_trainer *trainer = check->trainer;
    for (int s = 0; s < trainer->n_spaces; s++) {
        RM_TRY(copy_of(trainer->gradients.totals[s],
                       trainer->gradients.trees[s] ? trainer->shards[s].n_elements : 0,
                       &check->direction[s], error));
        RM_TRY(copy_of(rm_model_space(trainer->model, s),
                       rm_model_space_elements(trainer->model, s), &check->weights[s], error));
    }
    return RINGMOE_OK;
}

static void free_copies(gradient_check *check)
{
    for (int s = 0; s < RM_MAX_SPACES; s++) {
        free(check->direction[s]);
        free(check->weights[s]);
    }
}

static void move_block(const gradient_check *check, int space, const rm_block *block,
                       double factor)
{
    const ringmoe_trainer *trainer = check->trainer;
    const rm_real *from = check->weights[space] + block->first;
    const rm_real *along =
        check->direction[space] + block->first - trainer->shards[space].first;
    rm_real *to = rm_model_space(trainer->model, space) + block->first;
    for (int64_t row = 0; row < block->n_rows; row++)
        for (int64_t i = row * block->stride; i < row * block->stride + block->row_elements;
             i++)
            to[i] = (rm_real)((double)from[i] + factor * (double)along[i]);
}

/* weights = kept weights + factor * direction, on all ranks. Collective. */
static ringmoe_status move_weights(const gradient_check *check, double factor)
{
    ringmoe_trainer *trainer = check->trainer;
    for (int s = 0; s < trainer->n_spaces; s++)
        for (int64_t b = 0; b < trainer->shards[s].n_blocks; b++) {
            const rm_block *block = &trainer->shards[s].blocks[b];
            bool wanted = !check->parameter || block->parameter == check->parameter;
            if (wanted && !block->parameter->tied) move_block(check, s, block, factor);
        }
    RM_TRY(rm_weights_gather(trainer->model, trainer->shards));
    RM_TRY(rm_model_tie_head(trainer->model));
    rm_model_pack(trainer->model);
    return RINGMOE_OK;
}

static void restore_weights(const gradient_check *check)
{
    ringmoe_trainer *trainer = check->trainer;
    for (int s = 0; s < trainer->n_spaces; s++)
        memcpy(rm_model_space(trainer->model, s), check->weights[s],
               (size_t)rm_model_space_elements(trainer->model, s) * sizeof(rm_real));
    rm_model_pack(trainer->model);
}

/* What the gradient is of, at weights moved by `factor`. */
static ringmoe_status measure_loss(const gradient_check *check, double factor, double *loss)
{
    ringmoe_step_metrics metrics;
    const ringmoe_model_config *config = ringmoe_model_get_config(check->trainer->model);
    RM_TRY(move_weights(check, factor));
    RM_TRY(rm_accumulate(check->trainer, &metrics));
    *loss = metrics.loss + config->router_aux_loss_coef * metrics.balance_loss +
            config->router_z_loss_coef * metrics.z_loss;
    return RINGMOE_OK;
}

static ringmoe_status compare(gradient_check *check, double step, double *from_losses)
{
    double above = 0, below = 0, factor = check->length > 0 ? step / check->length : 0;
    rm_save_keep_values(&check->trainer->save, check->trainer->mesh);
    ringmoe_status status = measure_loss(check, factor, &above);
    if (status == RINGMOE_OK) status = measure_loss(check, -factor, &below);
    restore_weights(check);
    *from_losses = (above - below) / (2 * step);
    return status;
}

/* In place of the gradient the signs of this rank's elements. */
static void take_signs(gradient_check *check, const rm_parameter *parameter)
{
    ringmoe_trainer *trainer = check->trainer;
    rm_share share = rm_share_in_shard(trainer, parameter);
    if (share.n == 0) return;
    rm_parameter_part part = rm_own_part(trainer, parameter);
    uint64_t stream = rm_random_stream(parameter->name);
    rm_real *signs = rm_shards_at(trainer, check->direction, parameter, share.first);
    for (int64_t done = 0; done < share.n;) {
        rm_part_run run = rm_part_run_at(parameter, &part, share.first + done, share.n - done);
        for (int64_t i = 0; i < run.n; i++)
            signs[done + i] = (rm_real)rm_element_sign(stream, run.global + i);
        done += run.n;
    }
}

/* The gradient's projection on the signs is in its digests. */
static ringmoe_status turn_to_signs(gradient_check *check)
{
    ringmoe_trainer *trainer = check->trainer;
    rm_error *error = &trainer->mesh->context->error;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    int n_digests = ringmoe_trainer_parameter_count(trainer);
    ringmoe_parameter_digest *digests = calloc((size_t)n_digests, sizeof *digests);
    ringmoe_status status = RINGMOE_OK;
    if (!digests)
        status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d digests", n_digests);
    status = rm_agree(&trainer->mesh->context->world, status, error);
    if (status == RINGMOE_OK)
        status = ringmoe_trainer_digests(trainer, RINGMOE_DIGEST_GRADIENTS, digests);
    double projection = 0, n_elements = 0;
    const ringmoe_parameter_digest *digest = digests;
    for (int i = 0; i < table->n_parameters && status == RINGMOE_OK; i++) {
        const rm_parameter *parameter = &table->parameters[i];
        if (parameter->tied) continue;
        if (!check->parameter || parameter == check->parameter) {
            take_signs(check, parameter);
            projection += digest->projection;
            n_elements += (double)digest->n_elements;
        }
        digest++;
    }
    free(digests);
    check->length = sqrt(n_elements);
    check->slope = projection / check->length;
    return status;
}

static ringmoe_status check_all(gradient_check *check, int parameter,
                                ringmoe_direction direction, double step, double *from_gradient,
                                double *from_losses)
{
    ringmoe_trainer *trainer = check->trainer;
    const rm_parameter_table *table = rm_model_parameters(trainer->model);
    ringmoe_context *context = trainer->mesh->context;
    ringmoe_step_metrics metrics;
    RM_TRY(rm_gradients_of_step(trainer, &metrics));
    check->length = metrics.grad_norm;
    if (parameter >= 0) {
        check->parameter = &table->parameters[parameter];
        check->length = sqrt(rm_gradients_squares(&trainer->gradients, table, parameter));
    }
    check->slope = check->length;
    RM_TRY(rm_agree(&context->world, keep(check, &context->error), &context->error));
    if (direction == RINGMOE_DIRECTION_SIGNS) RM_TRY(turn_to_signs(check));
    *from_gradient = check->slope;
    return compare(check, step, from_losses);
}

ringmoe_status ringmoe_trainer_check_gradient(ringmoe_trainer *trainer, int parameter,
                                              ringmoe_direction direction, double step,
                                              double *from_gradient, double *from_losses)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    ringmoe_context *context = trainer->mesh->context;
    ringmoe_status status = RINGMOE_OK;
    int n_parameters = ringmoe_trainer_parameter_count(trainer);
    bool is_known =
        direction == RINGMOE_DIRECTION_GRADIENT || direction == RINGMOE_DIRECTION_SIGNS;
    if (parameter < -1 || parameter >= n_parameters || !is_known || !(step > 0) ||
        !isfinite(step) || !from_gradient || !from_losses)
        status = rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                         "a gradient check of parameter %d in direction %d with a step of %g: "
                         "the parameter must be -1..%d, the direction 0 or 1, the step "
                         "positive, and the places for the results not NULL",
                         parameter, (int)direction, step, n_parameters - 1);
    RM_TRY(rm_agree(&context->world, status, &context->error));
    int64_t arguments[3] = {parameter, direction, 0};
    memcpy(&arguments[2], &step, sizeof step);
    RM_TRY(rm_agree_equal(&context->world, arguments, 3,
                          "parameter, direction and step (its bits) of a gradient check",
                          &context->error));
    gradient_check check = {.trainer = trainer};
    status = check_all(&check, parameter, direction, step, from_gradient, from_losses);
    rm_gradients_clear(&trainer->gradients);
    free_copies(&check);
    rm_progress_leave(&context->progress);
    return status;
}
