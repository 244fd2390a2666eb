/* SPDX-License-Identifier: MIT
 *
 * Copies of hot experts on all ranks of the expert axis (moe/shadows.c), layer by layer.
 */
#include "model/state.h"

ringmoe_status rm_model_share_experts(ringmoe_model *model, const rm_shadows *shadows)
{
    static const rm_shadows none = {0};
    for (int chunk = 0; chunk < model->n_chunks; chunk++) {
        const rm_stage *stage = &model->stages[chunk];
        for (int i = stage->first_layer; i < stage->first_layer + stage->n_layers; i++) {
            rm_layer_weights *layer = &model->layers[i];
            if (rm_layer_is_dense(&model->config, i)) continue;
            RM_TRY(rm_moe_shadows_set(model->mesh, &layer->settings, &layer->moe,
                                      model->moe_workspace, shadows ? &shadows[i] : &none));
        }
    }
    return RINGMOE_OK;
}
