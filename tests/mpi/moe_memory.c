/* SPDX-License-Identifier: MIT
 *
 * A rank that runs out of shared memory in the middle of a pass, before or after the counts:
 * the pass fails on all ranks, by that rank's name, nobody waits for ever, and the next pass
 * works. The system's refusal is made up: this program's madvise takes the library's request.
 */
#include <ringmoe.h>

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

enum { D_MODEL = 1024, TOKENS = 200, OUT_OF_MEMORY = 1, POPULATE_WRITE = 23 };

static int rank, size;
static int until_refusal; /* requests for memory; 0: none is refused */
static ringmoe_context *context;
static ringmoe_mesh *mesh;
static ringmoe_real x[TOKENS * D_MODEL], y[TOKENS * D_MODEL], d_x[TOKENS * D_MODEL];

/* Hidden from UCX, which puts its own in the place of the one it finds. */
__attribute__((visibility("hidden"))) int madvise(void *address, size_t length, int advice)
{
    if (advice == POPULATE_WRITE && until_refusal > 0 && --until_refusal == 0) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_madvise, address, length, advice);
}

static ringmoe_status create(ringmoe_moe **layer)
{
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = D_MODEL;
    settings.d_ff = 8;
    settings.n_experts = 2 * size;
    settings.max_tokens = TOKENS;
    return ringmoe_moe_create(mesh, &settings, layer);
}

static ringmoe_moe *make_layer(void)
{
    ringmoe_moe *layer = NULL;
    CHECK_STATUS(create(&layer), RINGMOE_OK, ringmoe_context_error(context));
    return layer;
}

/* The first request of all is for the words that ranks watch: no layer without them. */
static void refuse_creation(void)
{
    ringmoe_moe *layer = NULL;
    until_refusal = rank == OUT_OF_MEMORY;
    CHECK_STATUS(create(&layer), RINGMOE_ERROR_MEMORY, ringmoe_context_error(context));
    CHECK(layer == NULL);
    until_refusal = 0;
}

static ringmoe_status forward(ringmoe_moe *layer)
{
    return ringmoe_moe_forward(layer, TOKENS, x, 1, y, NULL);
}

static ringmoe_status backward(ringmoe_moe *layer)
{
    return ringmoe_moe_backward(layer, y, 1, d_x);
}

/* The n-th request of a pass on the one rank is refused. Returns whether there was an n-th. */
static int refuse(ringmoe_moe *layer, int n, ringmoe_status (*pass)(ringmoe_moe *))
{
    until_refusal = rank == OUT_OF_MEMORY ? n : 0;
    ringmoe_status status = pass(layer);
    int refused = until_refusal == 0;
    until_refusal = 0;
    MPI_Bcast(&refused, 1, MPI_INT, OUT_OF_MEMORY, MPI_COMM_WORLD);
    const char *text = ringmoe_context_error(context);
    CHECK_STATUS(status, refused ? RINGMOE_ERROR_MEMORY : RINGMOE_OK, text);
    if (refused && rank == OUT_OF_MEMORY) CHECK_TEXT(text, "no shared memory for");
    if (refused && rank != OUT_OF_MEMORY) CHECK_TEXT(text, "rank 1");
    return refused;
}

/* One request after the other is refused, each in a layer that has touched nothing yet.
 * Returns how many there are. */
static int refuse_each_forward(void)
{
    for (int n = 1;; n++) {
        ringmoe_moe *layer = make_layer();
        int refused = refuse(layer, n, forward);
        if (refused) CHECK(forward(layer) == RINGMOE_OK);
        CHECK(backward(layer) == RINGMOE_OK);
        ringmoe_moe_destroy(&layer);
        if (!refused) return n - 1;
    }
}

static int refuse_each_backward(void)
{
    for (int n = 1;; n++) {
        ringmoe_moe *layer = make_layer();
        CHECK(forward(layer) == RINGMOE_OK);
        int refused = refuse(layer, n, backward);
        ringmoe_moe_destroy(&layer);
        if (!refused) return n - 1;
    }
}

static void run_out(int ranks_per_node, ringmoe_exchange exchange)
{
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.ranks_per_node = ranks_per_node;
    settings.exchange = exchange;
    CHECK(ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK);
    ringmoe_mesh_dims dims = {.data = 1, .expert = size};
    CHECK(ringmoe_mesh_create(context, &dims, 0, &mesh) == RINGMOE_OK);
    refuse_creation();
    CHECK(refuse_each_forward() > 1);
    CHECK(refuse_each_backward() > 0);
    ringmoe_mesh_destroy(&mesh);
    ringmoe_context_destroy(&context);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    uint64_t state = (uint64_t)rank + 1;
    for (int i = 0; i < TOKENS * D_MODEL; i++)
        x[i] = (ringmoe_real)(check_random(&state) % 1000) / 500 - 1;
    run_out(0, RINGMOE_EXCHANGE_AUTO);
    run_out(2, RINGMOE_EXCHANGE_AUTO);
    run_out(2, RINGMOE_EXCHANGE_TWO_LEVEL);
    return check_finish("MoE without shared memory");
}
