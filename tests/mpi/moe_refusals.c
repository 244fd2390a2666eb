/* SPDX-License-Identifier: MIT
 *
 * What a spread MoE layer refuses, on all ranks and with a line that names the matter, when one
 * rank alone is wrong; and that it goes on working afterwards.
 */
#include <ringmoe.h>

#include "check.h"

enum { D_MODEL = 8, MAX_TOKENS = 4 };

static int rank, size;
static ringmoe_context *context;
static ringmoe_mesh *mesh;

static const char *message(void)
{
    return ringmoe_context_error(context);
}

static ringmoe_moe_settings good_settings(void)
{
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = D_MODEL;
    settings.d_ff = 4;
    settings.n_experts = 2 * size;
    settings.max_tokens = MAX_TOKENS;
    return settings;
}

static void expect_refused(const ringmoe_moe_settings *settings, ringmoe_status expected,
                           const char *named)
{
    ringmoe_moe *layer = NULL;
    CHECK_STATUS(ringmoe_moe_create(mesh, settings, &layer), expected, message());
    if (!strstr(message(), named)) check_report(named, __FILE__, __LINE__, message());
    CHECK(layer == NULL);
}

/* The mesh is made without knowing of experts, so the layer has to look. */
static void settings_are_refused(void)
{
    ringmoe_moe_settings settings = good_settings();
    settings.n_experts = 2 * size + 1;
    expect_refused(&settings, RINGMOE_ERROR_LAYOUT, "do not divide");
    settings = good_settings();
    settings.n_experts = size - 1;
    settings.top_k = 1;
    if (size > 2) expect_refused(&settings, RINGMOE_ERROR_LAYOUT, "fewer than");
    settings = good_settings();
    if (rank == size - 1) settings.top_k = 2 * size + 1;
    expect_refused(&settings, RINGMOE_ERROR_ARGUMENT, "top_k");
    settings = good_settings();
    if (rank == 1) settings.balance_coefficient = 1;
    expect_refused(&settings, RINGMOE_ERROR_MISMATCH, "balance_coefficient");
    settings = good_settings();
    if (rank == 0) settings.seed = (int64_t)1 << 40;
    expect_refused(&settings, RINGMOE_ERROR_MISMATCH, "seed");
    expect_refused(rank == 0 ? NULL : &settings, RINGMOE_ERROR_ARGUMENT, "settings");
}

static void one_rank_is_wrong(ringmoe_moe *layer)
{
    ringmoe_real x[MAX_TOKENS * D_MODEL] = {0}, y[MAX_TOKENS * D_MODEL];
    int64_t n_tokens = rank == 0 ? MAX_TOKENS + 1 : MAX_TOKENS;
    CHECK_STATUS(ringmoe_moe_forward(layer, n_tokens, x, 0, y, NULL), RINGMOE_ERROR_ARGUMENT,
                 message());
    CHECK_TEXT(message(), "n_tokens");
    CHECK_STATUS(ringmoe_moe_forward(layer, rank == 1 ? -1 : 1, x, 0, y, NULL),
                 RINGMOE_ERROR_ARGUMENT, message());
    CHECK_STATUS(ringmoe_moe_forward(layer, 1, x, 0, rank == 1 ? x : y, NULL),
                 RINGMOE_ERROR_ARGUMENT, message());
    CHECK_STATUS(ringmoe_moe_forward(layer, 1, x, rank == 1, y, NULL), RINGMOE_ERROR_MISMATCH,
                 message());
    CHECK_TEXT(message(), "evaluation");
    CHECK_STATUS(ringmoe_moe_backward(layer, y, 1, x), RINGMOE_ERROR_STATE, message());
    CHECK_STATUS(ringmoe_moe_reduce_gradients(layer), RINGMOE_ERROR_STATE, message());
}

/* One rank goes back while the others go forward. */
static void ranks_part(ringmoe_moe *layer)
{
    ringmoe_real x[D_MODEL] = {0}, y[D_MODEL], d_x[D_MODEL];
    CHECK_STATUS(ringmoe_moe_forward(layer, 1, x, 1, y, NULL), RINGMOE_OK, message());
    ringmoe_status status = rank == 0 ? ringmoe_moe_backward(layer, y, 1, d_x)
                                      : ringmoe_moe_forward(layer, 1, x, 1, y, NULL);
    CHECK_STATUS(status, RINGMOE_ERROR_MISMATCH, message());
    CHECK_TEXT(message(), "dispatch of gradients");
}

static void step_works(ringmoe_moe *layer)
{
    ringmoe_real x[D_MODEL] = {1}, y[D_MODEL], d_x[D_MODEL];
    CHECK_STATUS(ringmoe_moe_forward(layer, 1, x, 1, y, NULL), RINGMOE_OK, message());
    CHECK_STATUS(ringmoe_moe_backward(layer, y, 1, d_x), RINGMOE_OK, message());
    CHECK_STATUS(ringmoe_moe_forward(layer, 1, x, 1, y, NULL), RINGMOE_ERROR_STATE, message());
    CHECK_TEXT(message(), "n_microbatches");
    CHECK_STATUS(ringmoe_moe_reduce_gradients(layer), RINGMOE_OK, message());
}

/* max_tokens may differ: the buffers fit the largest. */
static void max_tokens_differ(void)
{
    ringmoe_moe_settings settings = good_settings();
    ringmoe_moe *layer = NULL;
    settings.max_tokens = rank == 0 ? MAX_TOKENS : 1;
    CHECK_STATUS(ringmoe_moe_create(mesh, &settings, &layer), RINGMOE_OK, message());
    ringmoe_real x[MAX_TOKENS * D_MODEL] = {0}, y[MAX_TOKENS * D_MODEL];
    CHECK_STATUS(ringmoe_moe_forward(layer, settings.max_tokens, x, 1, y, NULL), RINGMOE_OK,
                 message());
    ringmoe_moe_destroy(&layer);
}

/* All of it with tokens travelling one way: the same failures, the same names. */
static void refuse(const ringmoe_context_settings *way)
{
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, way, &context) == RINGMOE_OK);
    ringmoe_mesh_dims dims = {.data = 1, .expert = size};
    CHECK(ringmoe_mesh_create(context, &dims, 0, &mesh) == RINGMOE_OK);
    settings_are_refused();
    max_tokens_differ();
    ringmoe_moe_settings settings = good_settings();
    ringmoe_moe *layer = NULL;
    CHECK_STATUS(ringmoe_moe_create(mesh, &settings, &layer), RINGMOE_OK, message());
    one_rank_is_wrong(layer);
    step_works(layer);
    ranks_part(layer);
    step_works(layer);
    ringmoe_moe_destroy(&layer);
    ringmoe_moe_destroy(&layer);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
}

/* Tensor ranks share the work on the same rows. */
static void tensor_ranks_part(void)
{
    ringmoe_moe_settings settings = good_settings();
    ringmoe_moe *layer = NULL;
    ringmoe_real x[D_MODEL] = {0}, y[D_MODEL];
    ringmoe_mesh_dims dims = {.data = 1, .expert = 1, .tensor = size};
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context) == RINGMOE_OK);
    CHECK(ringmoe_mesh_create(context, &dims, 0, &mesh) == RINGMOE_OK);
    settings.reproducible = 1;
    if (size == 3) expect_refused(&settings, RINGMOE_ERROR_LAYOUT, "3 tensor ranks");
    settings.reproducible = rank == 1;
    expect_refused(&settings, size == 3 ? RINGMOE_ERROR_LAYOUT : RINGMOE_ERROR_MISMATCH,
                   size == 3 ? "3 tensor ranks" : "reproducible is between 0 and 1");
    settings.reproducible = 0;
    CHECK_STATUS(ringmoe_moe_create(mesh, &settings, &layer), RINGMOE_OK, message());
    CHECK_STATUS(ringmoe_moe_forward(layer, rank == 1, x, 1, y, NULL), RINGMOE_ERROR_MISMATCH,
                 message());
    CHECK(strstr(message(), "n_tokens"));
    step_works(layer);
    ringmoe_moe_destroy(&layer);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    ringmoe_context_settings way;
    ringmoe_context_settings_default(&way);
    refuse(&way);
    way.ranks_per_node = 2;
    refuse(&way);
    way.exchange = RINGMOE_EXCHANGE_MESSAGES;
    refuse(&way);
    way.exchange = RINGMOE_EXCHANGE_TWO_LEVEL;
    refuse(&way);
    tensor_ranks_part();
    return check_finish("MoE refusals");
}
