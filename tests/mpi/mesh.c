/* SPDX-License-Identifier: MIT
 *
 * The rules of the mesh, as a table, and the axes that come of them.
 */
#include <ringmoe.h>

#include "check.h"
#include "comm/mesh.h"

static int rank, size;

typedef struct mesh_case {
    int n_ranks, n_experts;
    ringmoe_mesh_dims given;
    ringmoe_status status;
    ringmoe_mesh_dims chosen;
    const char *text;
} mesh_case;

#define FAILS                                                                                  \
    {                                                                                          \
        0, 0, 0, 0                                                                             \
    }

static const mesh_case cases[] = {
    {8, 0, {0, 0, 0, 0}, RINGMOE_OK, {1, 8, 1, 1}, ""},
    {8, 8, {0, 0, 0, 0}, RINGMOE_OK, {1, 1, 8, 1}, ""},
    {8, 64, {0, 0, 0, 0}, RINGMOE_OK, {1, 1, 8, 1}, ""},
    {8, 6, {0, 0, 0, 0}, RINGMOE_OK, {1, 4, 2, 1}, ""},
    {8, 1, {0, 0, 0, 0}, RINGMOE_OK, {1, 8, 1, 1}, ""},
    {1, 5, {0, 0, 0, 0}, RINGMOE_OK, {1, 1, 1, 1}, ""},
    {12, 8, {0, 0, 0, 0}, RINGMOE_OK, {1, 3, 4, 1}, ""},
    {8, 8, {0, 2, 0, 0}, RINGMOE_OK, {1, 2, 4, 1}, ""},
    {8, 8, {0, 0, 2, 0}, RINGMOE_OK, {1, 4, 2, 1}, ""},
    {8, 8, {0, 2, 4, 0}, RINGMOE_OK, {1, 2, 4, 1}, ""},
    {4, 0, {0, 2, 2, 0}, RINGMOE_OK, {1, 2, 2, 1}, ""},
    {8, 8, {2, 0, 0, 0}, RINGMOE_OK, {2, 1, 4, 1}, ""},
    {8, 8, {2, 0, 0, 2}, RINGMOE_OK, {2, 1, 2, 2}, ""},
    {16, 8, {2, 2, 0, 2}, RINGMOE_OK, {2, 2, 2, 2}, ""},
    {6, 0, {3, 0, 0, 0}, RINGMOE_OK, {3, 2, 1, 1}, ""},
    {8,
     8,
     {0, 3, 2, 0},
     RINGMOE_ERROR_LAYOUT,
     FAILS,
     "8 ranks cannot be split into --dp 3 x --ep 2: the product must be the number of ranks"},
    {8,
     8,
     {2, 1, 2, 1},
     RINGMOE_ERROR_LAYOUT,
     FAILS,
     "8 ranks cannot be split into --pp 2 x --dp 1 x --ep 2: the product"},
    {8, 8, {0, 3, 0, 0}, RINGMOE_ERROR_LAYOUT, FAILS, "8 ranks cannot be split by --dp 3"},
    {8, 8, {0, 0, 5, 0}, RINGMOE_ERROR_LAYOUT, FAILS, "8 ranks cannot be split by --ep 5"},
    {8, 8, {3, 0, 0, 0}, RINGMOE_ERROR_LAYOUT, FAILS, "8 ranks cannot be split by --pp 3"},
    {8, 8, {4, 0, 0, 4}, RINGMOE_ERROR_LAYOUT, FAILS, "8 ranks cannot be split by --tp 4"},
    {12,
     6,
     {0, 0, 4, 0},
     RINGMOE_ERROR_LAYOUT,
     FAILS,
     "6 experts do not divide over 4 expert ranks: use --ep 1, 2, 3 or 6"},
    {4,
     6,
     {0, 1, 4, 0},
     RINGMOE_ERROR_LAYOUT,
     FAILS,
     "6 experts do not divide over 4 expert ranks: use --ep 1 or 2"},
    {4,
     3,
     {0, 1, 0, 0},
     RINGMOE_ERROR_LAYOUT,
     FAILS,
     "4 expert ranks are more than the 3 experts: use --ep 1"},
    {4, 4, {0, -1, 0, 0}, RINGMOE_ERROR_ARGUMENT, FAILS, "--dp -1"},
    {4, 4, {0, 0, 0, -2}, RINGMOE_ERROR_ARGUMENT, FAILS, "--tp -2"},
    {4, -4, {0, 0, 0, 0}, RINGMOE_ERROR_ARGUMENT, FAILS, "n_experts is -4"},
    {65536, 65536, {0, 65536, 65536, 0}, RINGMOE_ERROR_LAYOUT, FAILS, "65536 ranks"},
};

static bool same_dims(ringmoe_mesh_dims a, ringmoe_mesh_dims b)
{
    return a.pipeline == b.pipeline && a.data == b.data && a.expert == b.expert &&
           a.tensor == b.tensor;
}

static void test_rules(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const mesh_case *c = &cases[i];
        ringmoe_mesh_dims dims = c->given;
        rm_error error = {""};
        CHECK_STATUS(rm_mesh_choose(c->n_ranks, c->n_experts, &dims, &error), c->status,
                     error.text);
        CHECK(strstr(error.text, c->text));
        if (c->status != RINGMOE_OK) continue;
        CHECK(same_dims(dims, c->chosen));
    }
}

static void test_expert_blocks(void)
{
    int next = 0;
    for (int r = 0; r < 4; r++) {
        int first, count = rm_mesh_experts(64, 4, r, &first);
        CHECK(first == next && count == 16);
        next = first + count;
    }
}

/* Sums of world ranks along each axis tell that the right ones are on it. */
static void check_axis(const rm_axis *axis, int expected_size, int expected_rank)
{
    int64_t sum = rank, expected = 0;
    rm_error error = {""};
    CHECK(axis->size == expected_size && axis->rank == expected_rank);
    CHECK(rm_axis_member(axis, axis->rank) == rank);
    for (int r = 0; r < axis->size; r++) expected += rm_axis_member(axis, r);
    CHECK_STATUS(rm_allreduce(axis, &sum, 1, MPI_INT64_T, MPI_SUM, &error), RINGMOE_OK,
                 error.text);
    CHECK(sum == expected);
}

static void check_mesh(ringmoe_context *context, ringmoe_mesh_dims dims)
{
    ringmoe_mesh *mesh;
    CHECK_STATUS(ringmoe_mesh_create(context, &dims, 2 * dims.expert, &mesh), RINGMOE_OK,
                 ringmoe_context_error(context));
    ringmoe_mesh_dims at = ringmoe_mesh_get_coordinates(mesh);
    CHECK(same_dims(ringmoe_mesh_get_dims(mesh), dims));
    CHECK(rm_mesh_rank(&dims, &at) == rank);
    CHECK(ringmoe_mesh_get_context(mesh) == context);
    check_axis(&mesh->pipeline, dims.pipeline, at.pipeline);
    check_axis(&mesh->dense, dims.data * dims.expert, at.data * dims.expert + at.expert);
    check_axis(&mesh->data, dims.data, at.data);
    check_axis(&mesh->expert, dims.expert, at.expert);
    check_axis(&mesh->tensor, dims.tensor, at.tensor);
    ringmoe_mesh_destroy(&mesh);
    CHECK(!mesh);
}

/* Every way of writing the number of ranks as a product of four. */
static void test_axes(ringmoe_context *context)
{
    for (int p = 1; p <= size; p++)
        for (int d = 1; p * d <= size; d++)
            for (int e = 1; p * d * e <= size; e++)
                if (size % (p * d * e) == 0)
                    check_mesh(context, (ringmoe_mesh_dims){p, d, e, size / (p * d * e)});
}

static void test_refusals(ringmoe_context *context)
{
    ringmoe_mesh *mesh;
    ringmoe_mesh_dims too_many = {.data = 2, .expert = size};
    CHECK(ringmoe_mesh_create(context, &too_many, 0, &mesh) == RINGMOE_ERROR_LAYOUT);
    CHECK(!mesh);
    CHECK_TEXT(ringmoe_context_error(context), "the product must be the number of ranks");
    if (size == 1) return;
    CHECK(ringmoe_mesh_create(context, NULL, rank == size - 1 ? 8 : 4, &mesh) ==
          RINGMOE_ERROR_MISMATCH);
    CHECK(!mesh);
    CHECK_TEXT(ringmoe_context_error(context), "gave 8 where rank 0 gave 4");
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    ringmoe_context *context;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context) == RINGMOE_OK);
    test_rules();
    test_expert_blocks();
    test_axes(context);
    test_refusals(context);
    ringmoe_mesh_destroy(NULL);
    ringmoe_context_destroy(&context);
    return check_finish("mesh");
}
