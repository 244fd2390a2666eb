/* SPDX-License-Identifier: MIT
 *
 * What a trainer tells of its last finished step beside the metrics.
 */
#include "train/trainer.h"

ringmoe_status ringmoe_trainer_layer_load(const ringmoe_trainer *trainer, int layer,
                                          ringmoe_layer_load *load)
{
    if (!trainer) return RINGMOE_ERROR_ARGUMENT;
    const rm_measures *measures = &trainer->measures;
    if (!load || layer < 0 || layer >= measures->n_layers)
        return rm_fail(
            &trainer->mesh->context->error, RINGMOE_ERROR_ARGUMENT,
            "the load of layer %d was asked for; the model has layers 0..%d, and the "
            "place for it must not be NULL",
            layer, measures->n_layers - 1);
    *load = rm_load_of(measures->last_counts + (int64_t)layer * measures->n_experts,
                       measures->n_experts);
    return RINGMOE_OK;
}

ringmoe_status ringmoe_trainer_waits(const ringmoe_trainer *trainer, double *wait_ms)
{
    if (!trainer || !wait_ms) return RINGMOE_ERROR_ARGUMENT;
    for (int rank = 0; rank < trainer->mesh->context->world.size; rank++)
        wait_ms[rank] =
            trainer->gradients.figures[rank * RM_N_RANK_FIGURES + RM_FIGURE_WAIT_MS];
    return RINGMOE_OK;
}

int64_t ringmoe_trainer_optimizer_bytes(const ringmoe_trainer *trainer)
{
    int64_t n_moments = 0;
    for (int s = 0; trainer && s < trainer->n_spaces; s++)
        n_moments += 2 * trainer->shards[s].n_updated;
    return n_moments * (int64_t)sizeof(rm_real);
}
