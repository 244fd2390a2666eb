/* SPDX-License-Identifier: MIT */
#include "train/tied.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

enum { TIED_TAG = 600, PIECE_ELEMENTS = 1 << 24 };

static rm_matrix *find_matrix(const rm_tied *tied, const ringmoe_model *model)
{
    int n_matrices;
    rm_matrix *const *matrices = rm_model_matrices(model, &n_matrices);
    if (!rm_model_holds(model, tied->head)) return NULL;
    for (int i = 0; i < n_matrices; i++)
        if (matrices[i]->weights == rm_model_weights(model, tied->head)) return matrices[i];
    return NULL;
}

/* Elements of this tensor rank's part of the embedding, and of the head. */
static int64_t part_elements(const rm_tied *tied)
{
    const rm_axis *tensor = &tied->mesh->tensor;
    return rm_parameter_part_of(tied->embedding, tensor->size, tensor->rank).n_elements;
}

static ringmoe_status create(rm_tied *tied, const ringmoe_model *model, int n_stages,
                             bool reproducible, rm_error *error)
{
    const ringmoe_mesh *mesh = tied->mesh;
    const rm_parameter_table *table = rm_model_parameters(model);
    RM_TRY(rm_shard_create(&tied->embedding_shard, table,
                           rm_mesh_shard_place(mesh, 0, RM_KIND_DENSE, reproducible), error));
    RM_TRY(rm_shard_create(&tied->head_shard, table,
                           rm_mesh_shard_place(mesh, n_stages - 1, RM_KIND_DENSE, reproducible),
                           error));
    int64_t own =
        rm_shard_overlap(&tied->embedding_shard, mesh->dense.rank, tied->embedding).n_elements;
    int64_t n_pieces = part_elements(tied) / PIECE_ELEMENTS + 1;
    tied->received = malloc((size_t)(own + 1) * sizeof *tied->received);
    tied->requests =
        malloc((size_t)(2 * (mesh->dense.size + n_pieces)) * sizeof *tied->requests);
    tied->matrix = find_matrix(tied, model);
    if (tied->received && tied->requests) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %lld gradients of the tied head",
                   (long long)own);
}

ringmoe_status rm_tied_create(rm_tied *tied, const ringmoe_model *model, int n_stages,
                              bool reproducible, rm_error *error)
{
    const ringmoe_mesh *mesh = rm_model_mesh(model);
    *tied = (rm_tied){.mesh = mesh, .last_rank = (n_stages - 1) % mesh->pipeline.size};
    tied->head = rm_table_tied_head(rm_model_parameters(model));
    tied->embedding = rm_model_parameters(model)->parameters;
    return tied->head ? create(tied, model, n_stages, reproducible, error) : RINGMOE_OK;
}

void rm_tied_free(rm_tied *tied)
{
    rm_shard_free(&tied->embedding_shard);
    rm_shard_free(&tied->head_shard);
    free(tied->received);
    free(tied->requests);
    *tied = (rm_tied){0};
}

/* A rank's part of a parameter's total, counted from the parameter's first element. */
static rm_range shard_of(const rm_shard *shard, int rank, const rm_parameter *parameter)
{
    rm_range range = rm_shard_overlap(shard, rank, parameter);
    range.first -= parameter->offset;
    return range;
}

static rm_range common_range(rm_range a, rm_range b)
{
    int64_t first = a.first > b.first ? a.first : b.first;
    int64_t end_a = a.first + a.n_elements, end_b = b.first + b.n_elements;
    int64_t end = end_a < end_b ? end_a : end_b;
    return (rm_range){first, end > first ? end - first : 0};
}

/* The context's rank of dense rank `dense` of a pipeline rank, at this tensor place. */
static int world_rank(const ringmoe_mesh *mesh, int pipeline, int dense)
{
    ringmoe_mesh_dims dims = ringmoe_mesh_get_dims(mesh);
    const ringmoe_mesh_dims place = {.pipeline = pipeline,
                                     .data = dense / dims.expert,
                                     .expert = dense % dims.expert,
                                     .tensor = mesh->tensor.rank};
    return rm_mesh_rank(&dims, &place);
}

/* Requests that are under way: receives first. */
typedef struct transfers {
    const rm_axis *axis;
    MPI_Request *requests;
    int n_receives, n_requests, code;
} transfers;

/* Sends (or receives, with `receive`) n elements in pieces whose counts fit into an int. */
static void transfer(transfers *work, bool receive, int partner, rm_real *values, int64_t n)
{
    for (int64_t done = 0; done < n && work->code == MPI_SUCCESS; done += PIECE_ELEMENTS) {
        int count = (int)(n - done < PIECE_ELEMENTS ? n - done : PIECE_ELEMENTS);
        MPI_Request *request = &work->requests[work->n_requests];
        work->code = receive ? MPI_Irecv(values + done, count, RM_MPI_REAL, partner, TIED_TAG,
                                         work->axis->comm, request)
                             : MPI_Isend(values + done, count, RM_MPI_REAL, partner, TIED_TAG,
                                         work->axis->comm, request);
        if (work->code != MPI_SUCCESS) return;
        work->n_requests++;
        work->n_receives += receive;
    }
}

static ringmoe_status complete(transfers *work, const char *what, rm_error *error)
{
    if (work->code == MPI_SUCCESS)
        return rm_wait_all(work->axis, work->n_requests, work->requests, what, error);
    rm_abandon_receives(work->axis, work->n_receives, work->requests);
    rm_abandon(work->n_requests - work->n_receives, work->requests + work->n_receives);
    return rm_mpi_check(work->code, what, error);
}

static void add(const rm_compute *compute, int64_t n, const rm_real *from, rm_real *into)
{
    int64_t n_blocks = (n + RM_BLOCK_ELEMENTS - 1) / RM_BLOCK_ELEMENTS;
#pragma omp parallel for num_threads(compute->n_threads) schedule(static)
    for (int64_t block = 0; block < n_blocks; block++) {
        int64_t at = block * RM_BLOCK_ELEMENTS, left = n - at;
        compute->kernels->add(left < RM_BLOCK_ELEMENTS ? left : RM_BLOCK_ELEMENTS, from + at,
                              into + at);
    }
}

/* This rank's shard of a parameter's total. */
static rm_real *own_total(const ringmoe_model *model, const rm_gradients *gradients,
                          const rm_parameter *parameter, rm_range own)
{
    rm_space space = rm_model_space_of(model, parameter);
    return gradients->totals[space] + parameter->offset + own.first -
           gradients->shards[space].first;
}

/* Sends the pieces of this rank's shard of the head's total to those who have them of the
 * embedding's. */
static void send_pieces(const rm_tied *tied, const ringmoe_model *model,
                        const rm_gradients *gradients, transfers *work)
{
    const ringmoe_mesh *mesh = tied->mesh;
    rm_range own = shard_of(&tied->head_shard, mesh->dense.rank, tied->head);
    if (mesh->pipeline.rank != tied->last_rank || own.n_elements == 0) return;
    rm_real *total = own_total(model, gradients, tied->head, own);
    for (int dense = 0; dense < mesh->dense.size; dense++) {
        rm_range piece =
            common_range(own, shard_of(&tied->embedding_shard, dense, tied->embedding));
        int partner = world_rank(mesh, 0, dense);
        if (partner != work->axis->rank)
            transfer(work, false, partner, total + piece.first - own.first, piece.n_elements);
    }
}

static void receive_pieces(const rm_tied *tied, const ringmoe_model *model,
                           const rm_gradients *gradients, transfers *work)
{
    const ringmoe_mesh *mesh = tied->mesh;
    rm_range own = shard_of(&tied->embedding_shard, mesh->dense.rank, tied->embedding);
    if (mesh->pipeline.rank != 0) return;
    for (int dense = 0; dense < mesh->dense.size; dense++) {
        rm_range sent = shard_of(&tied->head_shard, dense, tied->head);
        rm_range piece = common_range(own, sent);
        int partner = world_rank(mesh, tied->last_rank, dense);
        rm_real *into = tied->received + piece.first - own.first;
        if (piece.n_elements == 0) continue;
        if (partner != work->axis->rank)
            transfer(work, true, partner, into, piece.n_elements);
        else
            memcpy(into,
                   own_total(model, gradients, tied->head, sent) + piece.first - sent.first,
                   (size_t)piece.n_elements * sizeof *into);
    }
}

ringmoe_status rm_tied_add_totals(const rm_tied *tied, const ringmoe_model *model,
                                  const rm_gradients *gradients)
{
    const ringmoe_mesh *mesh = tied->mesh;
    if (!tied->head) return RINGMOE_OK;
    ringmoe_context *context = mesh->context;
    double start = rm_clock_seconds();
    transfers work = {.axis = &context->world, .requests = tied->requests};
    receive_pieces(tied, model, gradients, &work);
    send_pieces(tied, model, gradients, &work);
    RM_TRY(complete(&work, "adding up the gradients of a tied head", &context->error));
    rm_range own = shard_of(&tied->embedding_shard, mesh->dense.rank, tied->embedding);
    if (mesh->pipeline.rank == 0 && own.n_elements > 0)
        add(&context->compute, own.n_elements, tied->received,
            own_total(model, gradients, tied->embedding, own));
    context->times.exchange += rm_clock_seconds() - start;
    return RINGMOE_OK;
}

ringmoe_status rm_tied_copy_weights(const rm_tied *tied, ringmoe_model *model)
{
    if (!tied->head) return RINGMOE_OK;
    ringmoe_context *context = tied->mesh->context;
    double start = rm_clock_seconds();
    RM_TRY(rm_model_tie_head(model));
    context->times.exchange += rm_clock_seconds() - start;
    if (tied->matrix) rm_matrices_pack(&context->compute, &tied->matrix, 1);
    return RINGMOE_OK;
}
