/* SPDX-License-Identifier: MIT
 *
 * The head of a tied model is a copy of the embedding, since the two are in different stages:
 * the first and the last, which may be on different ranks, with the same rows on each tensor
 * rank.
 */
#include <string.h>

#include "model/stage.h"

ringmoe_status rm_model_tie_head(ringmoe_model *model)
{
    const rm_axis *axis = &model->mesh->pipeline;
    const rm_parameter *head = rm_table_tied_head(&model->table);
    const rm_parameter *embedding = &model->table.parameters[0];
    int64_t n = model->parts.vocab.n * model->config.hidden_size;
    if (!head) return RINGMOE_OK;
    if (axis->size == 1)
        memcpy(rm_model_weights(model, head), rm_model_weights(model, embedding),
               (size_t)n * sizeof(rm_real));
    else if (axis->rank == 0)
        return rm_hand_over(model, axis->size - 1, rm_model_weights(model, embedding), NULL, n);
    else if (axis->rank == axis->size - 1)
        return rm_hand_over(model, 0, NULL, rm_model_weights(model, head), n);
    return RINGMOE_OK;
}
