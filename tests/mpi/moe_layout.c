/* SPDX-License-Identifier: MIT
 *
 * The layout does not change the answer: an MoE layer spread over the ranks in every way,
 * beside one on this rank alone that is given all microbatches in their global order. Outputs,
 * gradients of x, losses, reduced gradients and weights must be the same to the last bit, step
 * after step, for every kind of layer, in fp32 and in bf16, on any number of threads; with
 * reproducible sums on any number of tensor ranks too.
 */
#include <ringmoe.h>

#include <stdlib.h>

#include "base/random.h"
#include "check.h"

#include "../moe_variants.h"

enum { D_MODEL = 37, D_FF = 29, MAX_TOKENS = 41, N_STEPS = 2, PER_RANK = 2 };
enum { MOST_RANKS = 6, MOST_MICROBATCHES = MOST_RANKS * PER_RANK };

/* Of each global microbatch; a rank may have none at all. */
static const int64_t tokens_of[MOST_MICROBATCHES] = {9, 0, 41, 1, 0, 0, 13, 6, 2, 17, 0, 5};

typedef struct machine {
    const char *level;
    int n_threads;
    ringmoe_precision precision;
    int ranks_per_node;
    ringmoe_exchange exchange;
    ringmoe_overlap overlap;
    int reproducible;
} machine;

static int n_experts = 8;

/* A layer on some ranks, and what it made of its microbatches in this step. */
typedef struct run {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_moe *layer;
    int first, n_microbatches; /* global indices of this rank's microbatches */
    ringmoe_real y[MOST_MICROBATCHES][MAX_TOKENS * D_MODEL];
    ringmoe_real d_x[MOST_MICROBATCHES][MAX_TOKENS * D_MODEL];
    ringmoe_moe_stats stats[MOST_MICROBATCHES];
} run;

static void check_ok(const run *r, ringmoe_status status)
{
    if (status != RINGMOE_OK)
        check_report(ringmoe_status_text(status), __FILE__, __LINE__,
                     ringmoe_context_error(r->context));
}

static ringmoe_moe_settings layer_settings(const machine *on, const moe_variant *variant,
                                           int n_microbatches)
{
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = D_MODEL;
    settings.d_ff = D_FF;
    settings.n_experts = n_experts;
    settings.max_tokens = MAX_TOKENS;
    settings.n_microbatches = n_microbatches;
    settings.init_std = (ringmoe_real)0.3;
    settings.balance_coefficient = (ringmoe_real)0.1;
    settings.z_coefficient = (ringmoe_real)0.05;
    settings.layer = 3;
    settings.reproducible = on->reproducible;
    variant->change(&settings);
    return settings;
}

/* n_microbatches of the global batch over the ranks of a communicator. */
static run *run_create(MPI_Comm comm, ringmoe_mesh_dims dims, const machine *on,
                       const moe_variant *variant, int n_microbatches)
{
    run *r = calloc(1, sizeof *r);
    ringmoe_context_settings settings;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = on->n_threads;
    settings.precision = on->precision;
    settings.kernel_level = on->level;
    settings.ranks_per_node = on->ranks_per_node;
    settings.exchange = on->exchange;
    settings.overlap = on->overlap;
    check_ok(r, ringmoe_context_create(comm, &settings, &r->context));
    check_ok(r, ringmoe_mesh_create(r->context, &dims, n_experts, &r->mesh));
    dims = ringmoe_mesh_get_dims(r->mesh);
    r->n_microbatches = n_microbatches / (ringmoe_context_size(r->context) / dims.tensor);
    r->first = ringmoe_context_rank(r->context) / dims.tensor * r->n_microbatches;
    ringmoe_moe_settings of_layer = layer_settings(on, variant, r->n_microbatches);
    check_ok(r, ringmoe_moe_create(r->mesh, &of_layer, &r->layer));
    return r;
}

static void run_destroy(run *r)
{
    ringmoe_moe_destroy(&r->layer);
    ringmoe_mesh_destroy(&r->mesh);
    ringmoe_context_destroy(&r->context);
    free(r);
}

/* --- a step --- */

static void fill(const char *name, int step, int microbatch, ringmoe_real *values)
{
    rm_random_key key = {5, rm_random_mix(rm_random_stream(name), (uint64_t)step)};
    key.stream = rm_random_mix(key.stream, (uint64_t)microbatch);
    rm_random_fill_normal(key, 0, tokens_of[microbatch] * D_MODEL, 1, values);
}

/* An evaluation in between must leave no trace. */
static void run_microbatch(run *r, int step, int microbatch)
{
    static ringmoe_real x[MAX_TOKENS * D_MODEL], d_y[MAX_TOKENS * D_MODEL];
    int64_t n = tokens_of[microbatch];
    fill("x", step, microbatch, x);
    fill("d_y", step, microbatch, d_y);
    check_ok(r, ringmoe_moe_forward(r->layer, n, x, 0, r->y[microbatch], NULL));
    check_ok(r,
             ringmoe_moe_forward(r->layer, n, x, 1, r->y[microbatch], &r->stats[microbatch]));
    check_ok(r, ringmoe_moe_backward(r->layer, d_y, (ringmoe_real)0.25, r->d_x[microbatch]));
}

static void run_microbatches(run *r, int step)
{
    for (int i = 0; i < r->n_microbatches; i++) run_microbatch(r, step, r->first + i);
    check_ok(r, ringmoe_moe_reduce_gradients(r->layer));
}

static size_t elements(const ringmoe_parameter_view *view)
{
    return (size_t)(view->shape[0] * (view->n_dims == 2 ? view->shape[1] : 1));
}

/* Plain gradient descent. */
static void run_update(run *r)
{
    for (int p = 0; p < ringmoe_moe_parameter_count(r->layer); p++) {
        ringmoe_parameter_view view;
        check_ok(r, ringmoe_moe_parameter(r->layer, p, &view));
        for (size_t i = 0; view.gradient && i < elements(&view); i++)
            view.values[i] -= (ringmoe_real)0.01 * view.gradient[i];
    }
    check_ok(r, ringmoe_moe_weights_changed(r->layer));
}

/* --- comparison --- */

static bool same_stats(const ringmoe_moe_stats *a, const ringmoe_moe_stats *b)
{
    return a->balance_loss == b->balance_loss && a->z_loss == b->z_loss &&
           a->n_choices == b->n_choices && a->n_dropped == b->n_dropped &&
           a->load_max_over_mean == b->load_max_over_mean;
}

static void compare_rows(const run *r, const run *alone, const char *where)
{
    for (int m = r->first; m < r->first + r->n_microbatches; m++) {
        size_t bytes = (size_t)tokens_of[m] * D_MODEL * sizeof(ringmoe_real);
        if (memcmp(r->y[m], alone->y[m], bytes)) check_report("y", __FILE__, m, where);
        if (memcmp(r->d_x[m], alone->d_x[m], bytes)) check_report("d_x", __FILE__, m, where);
        if (!same_stats(&r->stats[m], &alone->stats[m]))
            check_report("losses", __FILE__, m, where);
    }
}

static ringmoe_parameter_view find(const run *r, const char *name)
{
    ringmoe_parameter_view view = {0};
    for (int p = 0; p < ringmoe_moe_parameter_count(r->layer); p++) {
        check_ok(r, ringmoe_moe_parameter(r->layer, p, &view));
        if (strcmp(view.name, name) == 0) return view;
    }
    check_report("found a parameter", __FILE__, __LINE__, name);
    return view;
}

/* Whether `part`, numbers of this rank's part of a parameter, are those that `whole` has there.
 */
static bool same_part(const ringmoe_parameter_view *view, const ringmoe_real *part,
                      const ringmoe_real *whole)
{
    int64_t n = view->n_dims == 2 ? view->shape[1] : 1;
    int64_t stride = view->n_dims == 2 ? view->whole[1] : 1;
    for (int64_t row = 0; row < view->shape[0]; row++)
        if (memcmp(part + row * n,
                   whole + (view->first[0] + row) * stride +
                       (view->n_dims == 2 ? view->first[1] : 0),
                   (size_t)n * sizeof *part))
            return false;
    return true;
}

/* Gradients and values of every parameter this rank holds. */
static void compare_parameters(const run *r, const run *alone, const char *where)
{
    for (int p = 0; p < ringmoe_moe_parameter_count(r->layer); p++) {
        ringmoe_parameter_view view, other;
        check_ok(r, ringmoe_moe_parameter(r->layer, p, &view));
        other = find(alone, view.name);
        CHECK(view.whole[0] == other.shape[0] && view.whole[1] == other.shape[1]);
        if (!same_part(&view, view.values, other.values))
            check_report(view.name, __FILE__, __LINE__, where);
        if (view.gradient && !same_part(&view, view.gradient, other.gradient))
            check_report(view.name, __FILE__, __LINE__, where);
    }
}

static void compare_layouts(ringmoe_mesh_dims dims, const machine *on,
                            const moe_variant *variant)
{
    const machine reference = {.level = on->level,
                               .n_threads = 1,
                               .precision = on->precision,
                               .reproducible = on->reproducible};
    char where[176];
    int size;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    snprintf(
        where, sizeof where,
        "(%s, data %d, expert %d, tensor %d, %d threads, %s, %d ranks a node, exchange %d, "
        "overlap %d)",
        variant->name, dims.data, dims.expert, dims.tensor, on->n_threads,
        on->precision ? "bf16" : "fp32", on->ranks_per_node, on->exchange, on->overlap);
    int n_microbatches = size / (dims.tensor ? dims.tensor : 1) * PER_RANK;
    run *spread = run_create(MPI_COMM_WORLD, dims, on, variant, n_microbatches);
    run *alone = run_create(MPI_COMM_SELF, (ringmoe_mesh_dims){.data = 1, .expert = 1},
                            &reference, variant, n_microbatches);
    compare_parameters(spread, alone, where);
    for (int step = 0; step < N_STEPS; step++) {
        run_microbatches(spread, step);
        run_microbatches(alone, step);
        compare_rows(spread, alone, where);
        run_update(spread);
        run_update(alone);
        compare_parameters(spread, alone, where);
    }
    run_destroy(spread);
    run_destroy(alone);
}

/* Alone, threads and kernels are what varies; among ranks the mesh. */
static void compare_all(const moe_variant *variant, int size, int n_precisions)
{
    for (int precision = 0; precision < n_precisions; precision++) {
        machine one = {.n_threads = 1, .precision = (ringmoe_precision)precision};
        machine two = {.n_threads = 2, .precision = (ringmoe_precision)precision};
        machine plain = {
            .level = "scalar", .n_threads = 3, .precision = (ringmoe_precision)precision};
        for (int expert = size; size > 1 && expert >= 1; expert /= 2)
            if (size % expert == 0 && n_experts % expert == 0)
                compare_layouts((ringmoe_mesh_dims){.data = size / expert, .expert = expert},
                                &one, variant);
        if (size > 1) continue;
        compare_layouts((ringmoe_mesh_dims){.data = 1, .expert = 1}, &two, variant);
        compare_layouts((ringmoe_mesh_dims){.data = 1, .expert = 1}, &plain, variant);
    }
}

/* With each number of tensor ranks, the others being expert or data ranks. */
static void compare_tensor_ranks(const moe_variant *variant, int size)
{
    for (int precision = 0; precision < 2; precision++) {
        const machine fixed = {
            .n_threads = 1, .precision = (ringmoe_precision)precision, .reproducible = 1};
        for (int tensor = 2; tensor <= size; tensor *= 2) {
            int others = size / tensor;
            ringmoe_mesh_dims dims = {.data = 1, .expert = others, .tensor = tensor};
            compare_layouts(dims, &fixed, variant);
            dims = (ringmoe_mesh_dims){.data = others, .expert = 1, .tensor = tensor};
            if (others > 1) compare_layouts(dims, &fixed, variant);
        }
    }
}

/* --- the ways tokens travel --- */

static void three_choices(ringmoe_moe_settings *settings)
{
    settings->top_k = 3;
}

static void four_choices_dropping(ringmoe_moe_settings *settings)
{
    settings->top_k = 4;
    settings->capacity_factor = (ringmoe_real)0.7;
    settings->d_ff_shared = 3;
}

/* All tokens to the experts of one rank. */
static void one_group(ringmoe_moe_settings *settings)
{
    settings->score = RINGMOE_SCORE_SIGMOID;
    settings->init_std = (ringmoe_real)1e-30;
}

/* Messages, shared memory, some of both, a message for each rank or each node, with and without
 * overlap: the same bits, with any number of experts. Six ranks are for whole nodes of three.
 */
static void compare_ways(int size)
{
    static const moe_variant variants[] = {{"k = 1, not renormalised", one_choice},
                                           {"k = 2", plain},
                                           {"k = 3", three_choices},
                                           {"k = 4, capacity", four_choices_dropping},
                                           {"ties everywhere", one_group},
                                           {"k = n_experts", all_experts}};
    static const machine ways[] = {
        {.n_threads = 1},
        {.n_threads = 1, .exchange = RINGMOE_EXCHANGE_MESSAGES},
        {.n_threads = 1, .ranks_per_node = 1, .overlap = RINGMOE_OVERLAP_OFF},
        {.n_threads = 1, .ranks_per_node = 1, .overlap = RINGMOE_OVERLAP_ON},
        {.n_threads = 1, .ranks_per_node = 2},
        {.n_threads = 1, .ranks_per_node = 2, .precision = RINGMOE_PRECISION_BF16},
        {.n_threads = 1, .ranks_per_node = 2, .exchange = RINGMOE_EXCHANGE_TWO_LEVEL},
        {.n_threads = 1,
         .ranks_per_node = 3,
         .exchange = RINGMOE_EXCHANGE_TWO_LEVEL,
         .overlap = RINGMOE_OVERLAP_OFF},
    };
    size_t n_ways = sizeof ways / sizeof *ways;
    for (size_t v = 0; v < sizeof variants / sizeof *variants; v++)
        for (size_t w = size == 6 ? n_ways - 2 : 0; w < n_ways; w++)
            compare_layouts((ringmoe_mesh_dims){.data = 1, .expert = size}, &ways[w],
                            &variants[v]);
}

int main(int argc, char **argv)
{
    int size;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    bool divides = n_experts % size == 0; /* the experts of the variants */
    for (int i = 0; divides && i < N_MOE_VARIANTS; i++)
        compare_all(&moe_variants[i], size, size > 2 && i % 4 ? 1 : 2);
    for (int i = 0; (size == 2 || size == 4) && i < N_MOE_VARIANTS; i += size - 1)
        compare_tensor_ranks(&moe_variants[i], size);
    static const int numbers[] = {3, 1, 5, 2};
    n_experts = size * numbers[size % 4];
    if (n_experts < 4) n_experts = 4;
    if (size > 1) compare_ways(size);
    return check_finish("MoE layouts");
}
