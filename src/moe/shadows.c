/* SPDX-License-Identifier: MIT
 *
 * Shadows (FasterMoE, He et al. 2022): every rank of the expert axis has a copy of a hot expert
 * for a step, so that its rows stay where their tokens are and its owner is not the one all
 * others wait for. Only weights and their gradients travel:
 *
 *   a step begins    owner ==== weights ====> everyone, who packs them
 *   a microbatch     each rank's own rows, forward and backward, behind what it does for others
 *                    leaf of source s: made on rank s ===> owner, who puts it where it would
 *                    have made it itself
 *
 * A row's products do not depend on where they are computed, and outputs and leaves are added
 * in the orders they always are, so the bits are the same.
 */
#include <string.h>

#include "base/clock.h"
#include "comm/sum.h"
#include "moe/saved.h"

enum { LEAF_TAG = 32 };

static rm_error *error_of(const ringmoe_mesh *mesh)
{
    return &mesh->context->error;
}

static void count_seconds(const ringmoe_mesh *mesh, double seconds)
{
    mesh->context->times.exchange += seconds;
    mesh->context->times.copies += seconds;
}

/* --- copies --- */

static int64_t matrix_elements(const rm_matrix *matrix)
{
    return matrix->out * matrix->in;
}

/* Of an expert. */
static int64_t bytes_of(const rm_matrix *gate)
{
    return 3 * matrix_elements(gate) * (int64_t)sizeof(rm_real);
}

/* An expert's weights, one matrix after the other. */
static void read_weights(const rm_swiglu *expert, rm_real *weights)
{
    int64_t n = matrix_elements(&expert->gate);
    memcpy(weights, expert->gate.weights, (size_t)n * sizeof *weights);
    memcpy(weights + n, expert->up.weights, (size_t)n * sizeof *weights);
    memcpy(weights + 2 * n, expert->down.weights, (size_t)n * sizeof *weights);
}

static void pack_copy(const rm_compute *compute, const rm_real *weights, rm_swiglu *copy)
{
    int64_t n = matrix_elements(&copy->gate);
    rm_matrix *matrices[] = {&copy->gate, &copy->up, &copy->down};
    for (int i = 0; i < 3; i++) matrices[i]->weights = weights + i * n;
    rm_matrices_pack(compute, matrices, 3);
    for (int i = 0; i < 3; i++) matrices[i]->weights = NULL;
}

ringmoe_status rm_moe_shadows_set(const ringmoe_mesh *mesh,
                                  const ringmoe_moe_settings *settings, rm_moe_weights *weights,
                                  const rm_moe_workspace *workspace, const rm_shadows *shadows)
{
    const rm_axis *axis = &mesh->expert;
    int n_local = settings->n_experts / axis->size;
    double start = rm_clock_seconds();
    weights->shadows = (rm_shadows){0};
    for (int i = 0; i < shadows->n; i++) {
        int owner = shadows->experts[i] / n_local;
        rm_swiglu *copy = &weights->copies[i];
        if (owner == axis->rank)
            read_weights(&weights->experts[shadows->experts[i] % n_local], workspace->leaves);
        RM_TRY(rm_broadcast(axis, workspace->leaves, (int)(3 * matrix_elements(&copy->gate)),
                            RM_MPI_REAL, owner, error_of(mesh)));
        mesh->context->times.bytes_copies += bytes_of(&copy->gate);
        if (owner != axis->rank) pack_copy(&mesh->context->compute, workspace->leaves, copy);
    }
    weights->shadows = *shadows;
    if (shadows->n) count_seconds(mesh, rm_clock_seconds() - start);
    return RINGMOE_OK;
}

/* --- own rows --- */

/* The experts and this rank's rows for them. */
typedef struct home_rows {
    rm_swiglu experts[RM_MOST_SHADOWS];
    int64_t offsets[RM_MOST_SHADOWS + 1];
    rm_swiglu_rows rows;
} home_rows;

static void find_rows(const rm_moe_call *call, const rm_real *x, home_rows *home)
{
    const rm_route_plan *plan = &call->saved->plan;
    for (int i = 0; i < plan->shadows.n; i++) {
        int expert = plan->shadows.experts[i];
        bool owns = expert / call->n_local == call->mesh->expert.rank;
        home->experts[i] =
            owns ? call->weights->experts[expert % call->n_local] : call->weights->copies[i];
    }
    for (int i = 0; i <= plan->shadows.n; i++)
        home->offsets[i] = plan->first_shadow_slots[i] - plan->n_away;
    home->rows = (rm_swiglu_rows){.n_experts = plan->shadows.n,
                                  .offsets = home->offsets,
                                  .x = x,
                                  .x_rows = plan->tokens + plan->n_away,
                                  .weights = call->saved->shadow_weights};
}

static ringmoe_status sum(const rm_moe_call *call, rm_real *numbers, int64_t n)
{
    ringmoe_context *context = call->mesh->context;
    return rm_sum(&call->mesh->tensor, numbers, n, call->compute, &context->times,
                  &context->error);
}

ringmoe_status rm_shadows_forward(const rm_moe_call *call, const rm_real *x)
{
    const rm_moe_saved *saved = call->saved;
    const rm_route_plan *plan = &saved->plan;
    home_rows home;
    if (plan->shadows.n == 0) return RINGMOE_OK;
    find_rows(call, x, &home);
    for (int64_t i = 0; i < saved->routing.n_tokens * call->settings->top_k; i++)
        if (plan->slots[i] >= plan->n_away)
            saved->shadow_weights[plan->slots[i] - plan->n_away] = saved->routing.weights[i];
    double start = rm_clock_seconds();
    rm_swiglu_forward(call->compute, home.experts, &home.rows, &saved->shadows,
                      saved->workspace->shadow_outputs, NULL);
    call->mesh->context->times.experts += rm_clock_seconds() - start;
    return sum(call, saved->workspace->shadow_outputs,
               (plan->n_sent - plan->n_away) * call->settings->d_model);
}

ringmoe_status rm_shadows_backward_inputs(const rm_moe_call *call, const rm_real *x,
                                          const rm_real *d_y)
{
    const rm_moe_saved *saved = call->saved;
    const rm_moe_workspace *workspace = saved->workspace;
    int64_t n_rows = saved->plan.n_sent - saved->plan.n_away;
    home_rows home;
    if (saved->plan.shadows.n == 0) return RINGMOE_OK;
    find_rows(call, x, &home);
    rm_swiglu_gradients gradients = {.d_y = d_y,
                                     .d_y_rows = home.rows.x_rows,
                                     .d_x = workspace->shadow_outputs,
                                     .d_weights = workspace->shadow_d_weights};
    rm_comm_times *times = &call->mesh->context->times;
    double start = rm_clock_seconds();
    rm_swiglu_backward_inputs(call->compute, home.experts, &home.rows, &saved->shadows,
                              &gradients);
    times->experts += rm_clock_seconds() - start;
    times->expert_rows += n_rows;
    RM_TRY(sum(call, workspace->shadow_outputs, n_rows * call->settings->d_model));
    return sum(call, workspace->shadow_d_weights, n_rows);
}

/* --- gradients of the weights --- */

static int64_t leaf_elements(const rm_moe_call *call)
{
    return 3 * matrix_elements(&call->weights->copies[0].gate);
}

/* Number `i`; after those of the shadows one that came. */
static rm_real *leaf(const rm_moe_call *call, int i)
{
    return call->saved->workspace->leaves + i * leaf_elements(call);
}

/* This rank's. */
static void make_leaves(const rm_moe_call *call, const rm_real *x, const rm_real *d_y)
{
    rm_swiglu_sinks sinks[RM_MOST_SHADOWS];
    int64_t n_rows[RM_MOST_SHADOWS], n = leaf_elements(call) / 3;
    home_rows home;
    find_rows(call, x, &home);
    for (int i = 0; i < home.rows.n_experts; i++) {
        rm_real *data = leaf(call, i);
        n_rows[i] = home.offsets[i + 1] - home.offsets[i];
        sinks[i] = (rm_swiglu_sinks){
            .gate = {.data = data}, .up = {.data = data + n}, .down = {.data = data + 2 * n}};
    }
    rm_swiglu_gradients gradients = {.d_y = d_y,
                                     .d_y_rows = home.rows.x_rows,
                                     .n_sources = 1,
                                     .run_rows = n_rows,
                                     .sinks = sinks};
    rm_swiglu_backward_weights(call->compute, home.experts, &home.rows, &call->saved->shadows,
                               &gradients);
}

static void put_leaf(const rm_moe_call *call, const rm_real *data, const rm_swiglu_sinks *to)
{
    enum { PIECE = 16384 };
    const rm_sink sinks[] = {to->gate, to->up, to->down};
    int64_t n = leaf_elements(call) / 3;
    for (int i = 0; i < 3; i++) {
        const rm_real *from = data + i * n;
#pragma omp parallel for num_threads(call->compute->n_threads) schedule(static)
        for (int64_t first = 0; first < n; first += PIECE) {
            int64_t count = n - first < PIECE ? n - first : PIECE;
            rm_real *sink = sinks[i].data + first;
            if (sinks[i].add)
                call->compute->kernels->add(count, from + first, sink);
            else
                memcpy(sink, from + first, (size_t)count * sizeof *sink);
        }
    }
}

/* Everyone's leaves of an expert of this rank, in the order of ranks. */
static ringmoe_status take_leaves(const rm_moe_call *call, int shadow,
                                  const rm_swiglu_sinks *sinks)
{
    const rm_axis *axis = &call->mesh->expert;
    rm_error *error = error_of(call->mesh);
    const rm_shadows *shadows = &call->saved->plan.shadows;
    rm_real *spare = leaf(call, RM_MOST_SHADOWS);
    sinks += shadows->experts[shadow] % call->n_local;
    for (int rank = 0; rank < axis->size; rank++, sinks += call->n_local) {
        MPI_Request request = MPI_REQUEST_NULL;
        if (rank == axis->rank) {
            put_leaf(call, leaf(call, shadow), sinks);
            continue;
        }
        int code = MPI_Irecv(spare, (int)leaf_elements(call), RM_MPI_REAL, rank,
                             LEAF_TAG + shadow, axis->comm, &request);
        RM_TRY(rm_mpi_check(code, "gradients of a copied expert", error));
        RM_TRY(rm_wait(axis, rank, &request, "gradients of a copied expert", error));
        put_leaf(call, spare, sinks);
        call->mesh->context->times.bytes_copies += bytes_of(&call->weights->copies[0].gate);
    }
    return RINGMOE_OK;
}

/* To the owners; *n requests. */
static ringmoe_status send_leaves(const rm_moe_call *call, MPI_Request *requests, int *n)
{
    const rm_axis *axis = &call->mesh->expert;
    const rm_shadows *shadows = &call->saved->plan.shadows;
    for (int i = 0; i < shadows->n; i++) {
        int owner = shadows->experts[i] / call->n_local;
        if (owner == axis->rank) continue;
        int code = MPI_Isend(leaf(call, i), (int)leaf_elements(call), RM_MPI_REAL, owner,
                             LEAF_TAG + i, axis->comm, &requests[*n]);
        RM_TRY(rm_mpi_check(code, "gradients of a copied expert", error_of(call->mesh)));
        call->mesh->context->times.bytes_copies += bytes_of(&call->weights->copies[0].gate);
        ++*n;
    }
    return RINGMOE_OK;
}

static ringmoe_status exchange_leaves(const rm_moe_call *call, const rm_swiglu_sinks *sinks,
                                      MPI_Request *requests, int *n)
{
    const rm_axis *axis = &call->mesh->expert;
    const rm_shadows *shadows = &call->saved->plan.shadows;
    RM_TRY(send_leaves(call, requests, n));
    for (int i = 0; i < shadows->n; i++)
        if (shadows->experts[i] / call->n_local == axis->rank)
            RM_TRY(take_leaves(call, i, sinks));
    return rm_wait_all(axis, *n, requests, "gradients of a copied expert",
                       error_of(call->mesh));
}

ringmoe_status rm_shadows_backward_weights(const rm_moe_call *call, const rm_real *x,
                                           const rm_real *d_y, const rm_swiglu_sinks *sinks)
{
    MPI_Request requests[RM_MOST_SHADOWS];
    int n = 0;
    if (call->saved->plan.shadows.n == 0) return RINGMOE_OK;
    rm_comm_times *times = &call->mesh->context->times;
    double begun = rm_clock_seconds();
    make_leaves(call, x, d_y);
    double start = rm_clock_seconds();
    times->experts += start - begun;
    ringmoe_status status = exchange_leaves(call, sinks, requests, &n);
    if (status != RINGMOE_OK) rm_abandon(n, requests);
    count_seconds(call->mesh, rm_clock_seconds() - start);
    return status;
}
