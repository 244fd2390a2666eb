/* SPDX-License-Identifier: MIT
 *
 * One microbatch through all stages, one after the other, for evaluation and generation: what
 * a stage made goes to the rank that has the next one, and everyone else waits. (For many
 * microbatches see the pipeline.)
 */
#include "model/stage.h"

/* Elements of a message. */
#define PIECE ((int64_t)1 << 30)

ringmoe_status rm_hand_over(const ringmoe_model *model, int partner, const rm_real *sent,
                            rm_real *received, int64_t n)
{
    static const char what[] = "passing arrays between the ranks of a pipeline";
    const rm_axis *axis = &model->mesh->pipeline;
    rm_error *error = &model->mesh->context->error;
    for (int64_t first = 0; first < n; first += PIECE) {
        int count = (int)(n - first < PIECE ? n - first : PIECE);
        MPI_Request request = MPI_REQUEST_NULL;
        int code =
            sent ? MPI_Isend(sent + first, count, RM_MPI_REAL, partner, 0, axis->comm, &request)
                 : MPI_Irecv(received + first, count, RM_MPI_REAL, partner, 0, axis->comm,
                             &request);
        RM_TRY(rm_mpi_check(code, what, error));
        RM_TRY(rm_wait(axis, partner, &request, what, error));
    }
    return RINGMOE_OK;
}

/* What stage s made becomes the next stage's input. */
static ringmoe_status pass_on(ringmoe_model *model, int stage, int64_t n_elements)
{
    const rm_axis *axis = &model->mesh->pipeline;
    int from = stage % axis->size, to = (stage + 1) % axis->size;
    if (from == to) {
        rm_real *made = model->passed[1];
        model->passed[1] = model->passed[0];
        model->passed[0] = made;
        return RINGMOE_OK;
    }
    if (axis->rank == from) return rm_hand_over(model, to, model->passed[1], NULL, n_elements);
    if (axis->rank == to) return rm_hand_over(model, from, NULL, model->passed[0], n_elements);
    return RINGMOE_OK;
}

/* A rank that has failed goes on handing over, since others wait for it. */
ringmoe_status rm_through_stages(ringmoe_model *model, int64_t n_tokens, rm_stage_runner run,
                                 void *user)
{
    const rm_axis *axis = &model->mesh->pipeline;
    int n_stages = model->table.placement.partition.n_stages;
    ringmoe_status status = RINGMOE_OK;
    for (int stage = 0; stage < n_stages; stage++) {
        ringmoe_stage_call call = {.operation = RINGMOE_STAGE_FORWARD,
                                   .chunk = stage / axis->size,
                                   .stage = stage,
                                   .input = stage > 0 ? model->passed[0] : NULL,
                                   .output = stage + 1 < n_stages ? model->passed[1] : NULL};
        if (stage % axis->size == axis->rank && status == RINGMOE_OK)
            status = run(model, &call, user);
        if (stage + 1 == n_stages) break;
        ringmoe_status passed = pass_on(model, stage, n_tokens * model->config.hidden_size);
        if (status == RINGMOE_OK) status = passed;
    }
    return axis->size > 1 ? rm_agree(axis, status, &model->mesh->context->error) : status;
}
