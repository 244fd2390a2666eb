/* SPDX-License-Identifier: MIT
 *
 * The exchange in two levels: a token whose experts are on several ranks of another node goes
 * there once and comes back as one sum, which the counted bytes show; and a node's ranks must
 * be neighbours. tests/mpi/moe_layout.c holds that the answer is the same.
 */
#include <ringmoe.h>

#include "check.h"
#include "comm/context.h"

enum { D_MODEL = 24, TOKENS = 10, EXPERTS_PER_RANK = 2, ROW = D_MODEL * sizeof(ringmoe_real) };

static int rank, size;

static ringmoe_context *open_context(ringmoe_exchange exchange)
{
    ringmoe_context *context = NULL;
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    settings.ranks_per_node = size / 2;
    settings.exchange = exchange;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    return context;
}

static void run_passes(ringmoe_moe *layer, const char *message)
{
    static ringmoe_real x[TOKENS * D_MODEL], y[TOKENS * D_MODEL], d_x[TOKENS * D_MODEL];
    for (int i = 0; i < TOKENS * D_MODEL; i++) x[i] = (ringmoe_real)(i % 7 - rank);
    CHECK_STATUS(ringmoe_moe_forward(layer, TOKENS, x, 1, y, NULL), RINGMOE_OK, message);
    CHECK_STATUS(ringmoe_moe_backward(layer, y, 1, d_x), RINGMOE_OK, message);
}

/* Bytes between nodes of both passes, of tokens that go to all experts. */
static int64_t bytes_between_nodes(ringmoe_exchange exchange)
{
    ringmoe_context *context = open_context(exchange);
    ringmoe_mesh_dims dims = {.data = 1, .expert = size};
    ringmoe_mesh *mesh = NULL;
    ringmoe_moe *layer = NULL;
    ringmoe_moe_settings settings;
    ringmoe_comm_times times;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = D_MODEL;
    settings.d_ff = 8;
    settings.n_experts = settings.top_k = EXPERTS_PER_RANK * size;
    settings.max_tokens = TOKENS;
    const char *message = ringmoe_context_error(context);
    CHECK_STATUS(ringmoe_mesh_create(context, &dims, settings.n_experts, &mesh), RINGMOE_OK,
                 message);
    CHECK_STATUS(ringmoe_moe_create(mesh, &settings, &layer), RINGMOE_OK, message);
    run_passes(layer, message);
    ringmoe_context_times(context, &times);
    ringmoe_moe_destroy(&layer);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
    return times.bytes_between_nodes;
}

/* A row out and a sum back for each rank of the other node; then a row for the node, and as
 * many sums as its experts are nodes of the tree: one of four, or one of four and one of two.
 */
static void tokens_go_once(void)
{
    int64_t of_a_row = 2 * (int64_t)TOKENS * ROW;
    CHECK(bytes_between_nodes(RINGMOE_EXCHANGE_AUTO) == 2 * (size / 2) * of_a_row);
    CHECK(bytes_between_nodes(RINGMOE_EXCHANGE_TWO_LEVEL) == (size == 4 ? 2 : 3) * of_a_row);
}

/* Ranks placed round robin, and a layout in which that does not matter. */
static void nodes_are_refused_in_pieces(void)
{
    ringmoe_context *context = open_context(RINGMOE_EXCHANGE_TWO_LEVEL);
    ringmoe_mesh_dims experts = {.data = 1, .expert = size};
    ringmoe_mesh_dims pairs = {.data = size / 2, .expert = 2};
    ringmoe_mesh *mesh = NULL;
    for (int r = 0; r < size; r++) context->nodes[r] = r % 2;
    CHECK(ringmoe_mesh_create(context, &experts, 0, &mesh) == RINGMOE_ERROR_LAYOUT);
    CHECK(mesh == NULL);
    CHECK_TEXT(ringmoe_context_error(context), "ranks 0 and 2 share a node, rank 1 between");
    CHECK_STATUS(ringmoe_mesh_create(context, &pairs, 0, &mesh), RINGMOE_OK,
                 ringmoe_context_error(context));
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    tokens_go_once();
    nodes_are_refused_in_pieces();
    return check_finish("MoE exchange in two levels");
}
