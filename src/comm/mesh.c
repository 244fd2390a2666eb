/* SPDX-License-Identifier: MIT
 *
 * Laying ranks out: first the sizes of the axes, which every rank works out for itself from the
 * same numbers, then a communicator for each axis.
 */
#include "comm/mesh.h"

#include <stdio.h>
#include <stdlib.h>

int rm_mesh_experts(int n_experts, int expert_ranks, int rank, int *first)
{
    int64_t n = n_experts;
    *first = (int)(rank * n / expert_ranks);
    return (int)((rank + 1) * n / expert_ranks) - *first;
}

static int largest_common_divisor(int a, int b)
{
    while (b) {
        int rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* "1, 2, 3 or 6": the divisors of n, as many as fit. */
static void list_divisors(int n, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = '\0';
    for (int d = 1; d <= n && used < bytes; d++) {
        if (n % d) continue;
        const char *before = d == 1 ? "" : d == n ? " or " : ", ";
        used += (size_t)snprintf(text + used, bytes - used, "%s%d", before, d);
    }
}

static ringmoe_status check_ranges(const ringmoe_mesh_dims *dims, int n_experts,
                                   rm_error *error)
{
    if (dims->data < 0 || dims->expert < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "--dp %d x --ep %d: the sizes of axes are positive, or 0 to have them "
                       "chosen",
                       dims->data, dims->expert);
    if (n_experts < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "n_experts is %d; it must not be negative", n_experts);
    return RINGMOE_OK;
}

/* Fills in the sizes left open. */
static ringmoe_status complete_dims(int n_ranks, int n_experts, ringmoe_mesh_dims *dims,
                                    rm_error *error)
{
    if (!dims->data && !dims->expert)
        dims->expert = n_experts ? largest_common_divisor(n_ranks, n_experts) : 1;
    int given = dims->data ? dims->data : dims->expert;
    if ((!dims->data || !dims->expert) && n_ranks % given)
        return rm_fail(
            error, RINGMOE_ERROR_LAYOUT,
            "%d rank%s cannot be split by --%s %d: it must divide the number of ranks, which "
            "mpiexec -n or srun -n sets",
            n_ranks, n_ranks > 1 ? "s" : "", dims->data ? "dp" : "ep", given);
    if (!dims->data) dims->data = n_ranks / dims->expert;
    if (!dims->expert) dims->expert = n_ranks / dims->data;
    if ((int64_t)dims->data * dims->expert != n_ranks)
        return rm_fail(
            error, RINGMOE_ERROR_LAYOUT,
            "%d rank%s cannot be split into --dp %d x --ep %d: the product must be the "
            "number of ranks",
            n_ranks, n_ranks > 1 ? "s" : "", dims->data, dims->expert);
    return RINGMOE_OK;
}

static ringmoe_status check_experts(int n_ranks, int n_experts, int expert_ranks,
                                    rm_error *error)
{
    if (n_experts == 0 || n_experts % expert_ranks == 0) return RINGMOE_OK;
    char divisors[128];
    list_divisors(largest_common_divisor(n_experts, n_ranks), divisors, sizeof divisors);
    if (expert_ranks > n_experts)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%d expert ranks are more than the %d experts: use --ep %s",
                       expert_ranks, n_experts, divisors);
    return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                   "%d experts do not divide over %d expert ranks: use --ep %s", n_experts,
                   expert_ranks, divisors);
}

ringmoe_status rm_mesh_choose(int n_ranks, int n_experts, ringmoe_mesh_dims *dims,
                              rm_error *error)
{
    RM_TRY(check_ranges(dims, n_experts, error));
    RM_TRY(complete_dims(n_ranks, n_experts, dims, error));
    return check_experts(n_ranks, n_experts, dims->expert, error);
}

/* An axis of its own communicator: the ranks of one `color`, ordered by `place`. Axes of one
 * rank get none: communicators are scarce. */
static ringmoe_status split_axis(const rm_axis *world, int size, int color, int place,
                                 int first, int stride, rm_axis *axis, rm_error *error)
{
    MPI_Comm comm = MPI_COMM_NULL;
    if (size > 1)
        RM_TRY(rm_mpi_check(MPI_Comm_split(world->comm, color, place, &comm), "MPI_Comm_split",
                            error));
    return rm_axis_init(axis, comm, first, stride, error);
}

/* Both axes are made on every rank before anyone looks at what failed. */
static ringmoe_status make_axes(ringmoe_mesh *mesh, const ringmoe_mesh_dims *dims,
                                rm_error *error)
{
    const rm_axis *world = &mesh->context->world;
    int data = world->rank / dims->expert, expert = world->rank % dims->expert;
    ringmoe_status status = split_axis(world, dims->expert, data, expert, data * dims->expert,
                                       1, &mesh->expert, error);
    ringmoe_status second = split_axis(world, dims->data, expert, data, expert, dims->expert,
                                       &mesh->data, status ? NULL : error);
    return status ? status : second;
}

ringmoe_status ringmoe_mesh_create(ringmoe_context *context, const ringmoe_mesh_dims *dims,
                                   int n_experts, ringmoe_mesh **mesh)
{
    if (!context) return RINGMOE_ERROR_ARGUMENT;
    if (!mesh)
        return rm_fail(&context->error, RINGMOE_ERROR_ARGUMENT,
                       "the place for the mesh's handle is NULL");
    rm_error *error = &context->error;
    const rm_axis *world = &context->world;
    ringmoe_mesh_dims chosen = dims ? *dims : (ringmoe_mesh_dims){0};
    int64_t given[] = {chosen.data, chosen.expert, n_experts};
    *mesh = NULL;
    RM_TRY(rm_agree_equal(world, given, 3, "data ranks, expert ranks, experts", error));
    RM_TRY(rm_mesh_choose(world->size, n_experts, &chosen, error));

    ringmoe_status status = RINGMOE_OK;
    *mesh = calloc(1, sizeof **mesh);
    if (!*mesh) status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the mesh");
    status = rm_agree(world, status, error);
    if (status == RINGMOE_OK) {
        (*mesh)->context = context;
        (*mesh)->dense = *world;
        status = rm_agree(world, make_axes(*mesh, &chosen, error), error);
    }
    if (status != RINGMOE_OK) ringmoe_mesh_destroy(mesh);
    return status;
}

void ringmoe_mesh_destroy(ringmoe_mesh **mesh)
{
    if (!mesh || !*mesh) return;
    rm_axis_free(&(*mesh)->expert);
    rm_axis_free(&(*mesh)->data);
    free(*mesh);
    *mesh = NULL;
}

ringmoe_mesh_dims ringmoe_mesh_get_dims(const ringmoe_mesh *mesh)
{
    return (ringmoe_mesh_dims){.data = mesh->data.size, .expert = mesh->expert.size};
}

ringmoe_mesh_dims ringmoe_mesh_get_coordinates(const ringmoe_mesh *mesh)
{
    return (ringmoe_mesh_dims){.data = mesh->data.rank, .expert = mesh->expert.rank};
}

ringmoe_context *ringmoe_mesh_get_context(const ringmoe_mesh *mesh)
{
    return mesh->context;
}
