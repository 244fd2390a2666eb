/* SPDX-License-Identifier: MIT
 *
 * Laying ranks out: first the sizes of the axes, which every rank works out for itself from the
 * same numbers, then a communicator for each axis.
 */
#include "comm/mesh.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/number.h"

int64_t rm_split(int64_t n, int ranks, int rank, int64_t *first)
{
    *first = rank * n / ranks;
    return (rank + 1) * n / ranks - *first;
}

int rm_mesh_experts(int n_experts, int expert_ranks, int rank, int *first)
{
    int64_t begin, count = rm_split(n_experts, expert_ranks, rank, &begin);
    *first = (int)begin;
    return (int)count;
}

ringmoe_mesh_dims rm_mesh_place(const ringmoe_mesh_dims *dims, int rank)
{
    return (ringmoe_mesh_dims){.pipeline = rank / (dims->data * dims->expert * dims->tensor),
                               .data = rank / (dims->expert * dims->tensor) % dims->data,
                               .expert = rank / dims->tensor % dims->expert,
                               .tensor = rank % dims->tensor};
}

int rm_mesh_rank(const ringmoe_mesh_dims *dims, const ringmoe_mesh_dims *place)
{
    return ((place->pipeline * dims->data + place->data) * dims->expert + place->expert) *
               dims->tensor +
           place->tensor;
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

typedef struct dims_text {
    char text[96];
} dims_text;

/* "--pp 2 x --dp 0 x --ep 4": the pipeline and tensor sizes only where they are not 1. */
static dims_text write_dims(const ringmoe_mesh_dims *dims)
{
    dims_text line;
    char pipeline[24] = "", tensor[24] = "";
    if (dims->pipeline & ~1) snprintf(pipeline, sizeof pipeline, "--pp %d x ", dims->pipeline);
    if (dims->tensor & ~1) snprintf(tensor, sizeof tensor, " x --tp %d", dims->tensor);
    snprintf(line.text, sizeof line.text, "%s--dp %d x --ep %d%s", pipeline, dims->data,
             dims->expert, tensor);
    return line;
}

static ringmoe_status check_ranges(const ringmoe_mesh_dims *dims, int n_experts,
                                   rm_error *error)
{
    if (dims->pipeline < 0 || dims->data < 0 || dims->expert < 0 || dims->tensor < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "%s: the sizes of axes are positive, or 0 to have them chosen",
                       write_dims(dims).text);
    if (n_experts < 0)
        return rm_fail(error, RINGMOE_ERROR_ARGUMENT,
                       "n_experts is %d; it must not be negative", n_experts);
    return RINGMOE_OK;
}

/* `left` ranks, of n_ranks, are to be divided by an axis of the given size. */
static ringmoe_status check_divides(int n_ranks, int64_t left, const char *option, int64_t size,
                                    rm_error *error)
{
    if (left % size == 0) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                   "%d rank%s cannot be split by --%s %lld: it must divide the number of "
                   "ranks, which mpiexec -n or srun -n sets",
                   n_ranks, n_ranks > 1 ? "s" : "", option, (long long)size);
}

/* Fills in the sizes left open. */
static ringmoe_status complete_dims(int n_ranks, int n_experts, ringmoe_mesh_dims *dims,
                                    rm_error *error)
{
    if (!dims->pipeline) dims->pipeline = 1;
    if (!dims->tensor) dims->tensor = 1;
    RM_TRY(check_divides(n_ranks, n_ranks, "pp", dims->pipeline, error));
    int left = n_ranks / dims->pipeline;
    RM_TRY(check_divides(n_ranks, left, "tp", dims->tensor, error));
    left /= dims->tensor;
    if (!dims->data && !dims->expert)
        dims->expert = n_experts ? (int)rm_common_divisor(left, n_experts) : 1;
    if (!dims->data || !dims->expert)
        RM_TRY(check_divides(n_ranks, left, dims->data ? "dp" : "ep",
                             dims->data ? dims->data : dims->expert, error));
    if (!dims->data) dims->data = left / dims->expert;
    if (!dims->expert) dims->expert = left / dims->data;
    if ((int64_t)dims->data * dims->expert != left)
        return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                       "%d rank%s cannot be split into %s: the product must be the number of "
                       "ranks",
                       n_ranks, n_ranks > 1 ? "s" : "", write_dims(dims).text);
    return RINGMOE_OK;
}

static ringmoe_status check_experts(int n_ranks, int n_experts, int expert_ranks,
                                    rm_error *error)
{
    if (n_experts == 0 || n_experts % expert_ranks == 0) return RINGMOE_OK;
    char divisors[128];
    list_divisors((int)rm_common_divisor(n_experts, n_ranks), divisors, sizeof divisors);
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
    return check_experts(n_ranks / (dims->pipeline * dims->tensor), n_experts, dims->expert,
                         error);
}

/* One axis: `size` ranks of the context, `stride` apart, of which this one is number `place`.
 */
typedef struct axis_plan {
    rm_axis *axis;
    int size, stride, place;
} axis_plan;

/* The ranks of an axis share its first rank, which is the color. Axes of one rank get no
 * communicator: these are scarce. */
static ringmoe_status make_axis(ringmoe_context *context, const axis_plan *plan,
                                rm_error *error)
{
    const rm_axis *world = &context->world;
    MPI_Comm comm = MPI_COMM_NULL;
    int first = world->rank - plan->place * plan->stride;
    if (plan->size > 1) {
        rm_waiting waiting = rm_wait_begin(world, RM_EVERYONE, "MPI_Comm_split");
        int code = MPI_Comm_split(world->comm, first, plan->place, &comm);
        rm_wait_end(&waiting);
        RM_TRY(rm_mpi_check(code, "MPI_Comm_split", error));
    }
    RM_TRY(rm_axis_init(plan->axis, comm, first, plan->stride, error));
    rm_axis_join(plan->axis, context);
    return RINGMOE_OK;
}

/* What a node's experts make of a token is one node of the sum's tree only if their numbers
 * follow one another. */
static ringmoe_status check_neighbours(const ringmoe_mesh *mesh, rm_error *error)
{
    const rm_axis *axis = &mesh->expert;
    if (mesh->context->exchange != RINGMOE_EXCHANGE_TWO_LEVEL) return RINGMOE_OK;
    for (int last = 2; last < axis->size; last++)
        for (int first = 0; first < last - 1; first++)
            if (rm_axis_node(axis, first) == rm_axis_node(axis, last) &&
                rm_axis_node(axis, last - 1) != rm_axis_node(axis, last))
                return rm_fail(error, RINGMOE_ERROR_LAYOUT,
                               "exchange in two levels: ranks %d and %d share a node, rank %d "
                               "between them on the expert axis does not; place the ranks of "
                               "a node one after the other (mpiexec -ppn, srun -m block), or "
                               "exchange in one level",
                               rm_axis_member(axis, first), rm_axis_member(axis, last),
                               rm_axis_member(axis, last - 1));
    return RINGMOE_OK;
}

/* All axes are made on every rank before anyone looks at what failed. */
static ringmoe_status make_axes(ringmoe_mesh *mesh, const ringmoe_mesh_dims *dims,
                                rm_error *error)
{
    ringmoe_mesh_dims at = rm_mesh_place(dims, mesh->context->world.rank);
    int inner = dims->tensor, replica = inner * dims->expert, stage = replica * dims->data;
    const axis_plan plans[] = {
        {&mesh->pipeline, dims->pipeline, stage, at.pipeline},
        {&mesh->dense, dims->data * dims->expert, inner, at.data * dims->expert + at.expert},
        {&mesh->data, dims->data, replica, at.data},
        {&mesh->expert, dims->expert, inner, at.expert},
        {&mesh->tensor, dims->tensor, 1, at.tensor},
    };
    ringmoe_status first = RINGMOE_OK;
    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++) {
        ringmoe_status status = make_axis(mesh->context, &plans[i], first ? NULL : error);
        if (first == RINGMOE_OK) first = status;
    }
    return first;
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
    int64_t given[] = {chosen.pipeline, chosen.data, chosen.expert, chosen.tensor, n_experts};
    *mesh = NULL;
    RM_TRY(rm_agree_equal(world, given, 5, "pipeline, data, expert and tensor ranks, experts",
                          error));
    RM_TRY(rm_mesh_choose(world->size, n_experts, &chosen, error));

    ringmoe_status status = RINGMOE_OK;
    *mesh = calloc(1, sizeof **mesh);
    if (!*mesh) status = rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for the mesh");
    status = rm_agree(world, status, error);
    if (status == RINGMOE_OK) {
        (*mesh)->context = context;
        status = make_axes(*mesh, &chosen, error);
        if (status == RINGMOE_OK) status = check_neighbours(*mesh, error);
        status = rm_agree(world, status, error);
    }
    if (status != RINGMOE_OK) ringmoe_mesh_destroy(mesh);
    return status;
}

void ringmoe_mesh_destroy(ringmoe_mesh **mesh)
{
    if (!mesh || !*mesh) return;
    rm_axis_free(&(*mesh)->pipeline);
    rm_axis_free(&(*mesh)->dense);
    rm_axis_free(&(*mesh)->data);
    rm_axis_free(&(*mesh)->expert);
    rm_axis_free(&(*mesh)->tensor);
    free(*mesh);
    *mesh = NULL;
}

ringmoe_mesh_dims ringmoe_mesh_get_dims(const ringmoe_mesh *mesh)
{
    return (ringmoe_mesh_dims){.pipeline = mesh->pipeline.size,
                               .data = mesh->data.size,
                               .expert = mesh->expert.size,
                               .tensor = mesh->tensor.size};
}

ringmoe_mesh_dims ringmoe_mesh_get_coordinates(const ringmoe_mesh *mesh)
{
    return (ringmoe_mesh_dims){.pipeline = mesh->pipeline.rank,
                               .data = mesh->data.rank,
                               .expert = mesh->expert.rank,
                               .tensor = mesh->tensor.rank};
}

ringmoe_context *ringmoe_mesh_get_context(const ringmoe_mesh *mesh)
{
    return mesh->context;
}
