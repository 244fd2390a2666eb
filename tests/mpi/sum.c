/* SPDX-License-Identifier: MIT
 *
 * Sums over an axis have the bits of the tree over ranks, for every number of ranks and arrays
 * of any size, and every rank gets the same.
 */
#include <ringmoe.h>

#include "check.h"
#include "comm/mesh.h"
#include "comm/sum.h"
#include "leaves.h"

#include <stdlib.h>

static ringmoe_context *context;

/* Leaf (first + i) of each rank, i < leaves_per_rank (a power of two), added up by the rank. */
static void test_sum(const rm_axis *axis, int64_t n, int leaves_per_rank)
{
    rm_real *data = calloc((size_t)n + 2, sizeof *data);
    uint64_t seed = (uint64_t)n;
    data[n] = 7;
    for (int64_t i = 0; i < n; i++)
        data[i] = node_sum(seed, axis->rank * leaves_per_rank, leaves_per_rank, i);
    CHECK_STATUS(rm_sum(axis, data, n, &context->compute, &context->times, &context->error),
                 RINGMOE_OK, context->error.text);
    for (int64_t i = 0; i < n; i++)
        if (data[i] != tree_sum(seed, axis->size * leaves_per_rank, i)) {
            CHECK(data[i] == tree_sum(seed, axis->size * leaves_per_rank, i));
            break;
        }
    CHECK(data[n] == 7);
    free(data);
}

/* One after the other without anything between: no message meets another sum's. */
static void test_in_a_row(const rm_axis *axis)
{
    for (int64_t n = 1; n < 40; n++) test_sum(axis, n, 1);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    ringmoe_mesh *mesh;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, NULL, &context) == RINGMOE_OK);
    ringmoe_mesh_dims dims = {.tensor = ringmoe_context_size(context)};
    CHECK(ringmoe_mesh_create(context, &dims, 0, &mesh) == RINGMOE_OK);
    static const int64_t sizes[] = {0, 1, 3, 67, 4095, 4096, 4097, 5003, 262147, 1000003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        test_sum(&mesh->tensor, sizes[i], 1);
        test_sum(&mesh->tensor, sizes[i], 4);
    }
    test_in_a_row(&mesh->tensor);
    test_sum(&mesh->expert, 5, 1);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
    return check_finish("sum");
}
