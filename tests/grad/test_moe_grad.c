/* SPDX-License-Identifier: MIT
 *
 * The whole MoE layer against central finite differences, in double, on any number of ranks:
 * derivatives along random directions in x and in every parameter, through every kind of
 * router, the exchange, capacity drops, shared experts, noise and the auxiliary losses.
 *
 *   L = sum over ranks of  <y, G> + aux_scale * (c_b * balance loss + c_z * z-loss)
 *
 * The choice of experts has no gradient, so a perturbation that changes some token's choice is
 * passed over; there may be few of these.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ringmoe.h>

#include "base/random.h"
#include "moe/standalone.h"

#include "../moe_variants.h"

enum { D_MODEL = 6, D_FF = 5, N_EXPERTS = 8, MAX_TOKENS = 9 };
enum { MOST_ELEMENTS = MAX_TOKENS * D_MODEL, MOST_PROBES = 128, MOST_DATA = 2 };

static const double aux_scale = 0.7, step_size = 1e-5, tolerance = 1e-6;

/* One rank's part of the problem. */
typedef struct problem {
    ringmoe_mesh *mesh;
    ringmoe_moe_settings settings;
    ringmoe_moe *layer;
    int64_t n_tokens;
    double x[MOST_ELEMENTS], d_x[MOST_ELEMENTS];
    double y[MOST_ELEMENTS], weights_of_y[MOST_ELEMENTS];
    int32_t slots[MAX_TOKENS * N_EXPERTS]; /* of the unperturbed pass */
    int32_t chosen[MAX_TOKENS * N_EXPERTS];
    int n_passed_over, n_wrong;
    double worst;
} problem;

static void check(ringmoe_status status, const problem *p)
{
    if (status == RINGMOE_OK) return;
    fprintf(stderr, "%s: %s\n", ringmoe_status_text(status),
            ringmoe_context_error(ringmoe_mesh_get_context(p->mesh)));
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* --- the loss --- */

static size_t choices_bytes(const problem *p)
{
    return (size_t)(p->n_tokens * p->settings.top_k) * sizeof(int32_t);
}

static void keep_choice(problem *p)
{
    memcpy(p->slots, p->layer->saved->plan.slots, choices_bytes(p));
    memcpy(p->chosen, p->layer->saved->routing.chosen, choices_bytes(p));
}

static bool choice_changed(const problem *p)
{
    return memcmp(p->slots, p->layer->saved->plan.slots, choices_bytes(p)) ||
           memcmp(p->chosen, p->layer->saved->routing.chosen, choices_bytes(p));
}

/* L over all ranks; *changed becomes true if a token of any rank chose otherwise than kept. The
 * sum is made by the library's collectives, which yield: there may be more ranks than cores. */
static double loss(problem *p, bool *changed)
{
    ringmoe_moe_stats stats;
    check(ringmoe_moe_forward(p->layer, p->n_tokens, p->x, 1, p->y, &stats), p);
    double sums[2] = {0, choice_changed(p)};
    sums[0] = aux_scale * (p->settings.balance_coefficient * stats.balance_loss +
                           p->settings.z_coefficient * stats.z_loss);
    for (int64_t i = 0; i < p->n_tokens * D_MODEL; i++) sums[0] += p->y[i] * p->weights_of_y[i];
    check(rm_allreduce(&p->mesh->dense, sums, 2, MPI_DOUBLE, MPI_SUM, &p->mesh->context->error),
          p);
    *changed |= sums[1] > 0;
    return sums[0];
}

/* Derivative of L along a direction in which this rank's `values` move; NULL on ranks that have
 * not got them, which join in. NaN if a choice changed. */
static double difference(problem *p, double *values, int64_t n, const double *direction)
{
    double ends[2], original[MOST_ELEMENTS];
    bool changed = false;
    if (values) memcpy(original, values, (size_t)n * sizeof *values);
    for (int end = 0; end < 2; end++) {
        for (int64_t i = 0; values && i < n; i++)
            values[i] = original[i] + (end ? step_size : -step_size) * direction[i];
        check(ringmoe_moe_weights_changed(p->layer), p);
        ends[end] = loss(p, &changed);
    }
    if (values) memcpy(values, original, (size_t)n * sizeof *values);
    check(ringmoe_moe_weights_changed(p->layer), p);
    return changed ? NAN : (ends[1] - ends[0]) / (2 * step_size);
}

/* --- the problem --- */

static void fill(double *values, int64_t n, const char *name, int index)
{
    rm_random_key key = {7, rm_random_mix(rm_random_stream(name), (uint64_t)index)};
    rm_random_fill_normal(key, 0, n, 1, values);
}

/* Ranks differ, and the third has none. */
static int64_t tokens_of(int rank)
{
    return rank == 2 ? 0 : MAX_TOKENS - rank;
}

static void problem_create(problem *p, ringmoe_mesh *mesh, const moe_variant *which)
{
    int rank = mesh->dense.rank;
    *p = (problem){.mesh = mesh, .n_tokens = tokens_of(rank)};
    ringmoe_moe_settings_default(&p->settings);
    p->settings.d_model = D_MODEL;
    p->settings.d_ff = D_FF;
    p->settings.n_experts = N_EXPERTS;
    p->settings.max_tokens = MAX_TOKENS;
    p->settings.init_std = 0.5;
    p->settings.balance_coefficient = 0.3;
    p->settings.z_coefficient = 0.2;
    which->change(&p->settings);
    check(ringmoe_moe_create(mesh, &p->settings, &p->layer), p);
    fill(p->x, p->n_tokens * D_MODEL, "x", rank);
    fill(p->weights_of_y, p->n_tokens * D_MODEL, "weights of y", rank);
}

static void backward(problem *p)
{
    check(ringmoe_moe_backward(p->layer, p->weights_of_y, aux_scale, p->d_x), p);
    check(ringmoe_moe_reduce_gradients(p->layer), p);
}

static ringmoe_parameter_view find(const problem *p, const char *name)
{
    ringmoe_parameter_view view;
    for (int i = 0; i < ringmoe_moe_parameter_count(p->layer); i++) {
        check(ringmoe_moe_parameter(p->layer, i, &view), p);
        if (strcmp(view.name, name) == 0) return view;
    }
    return (ringmoe_parameter_view){0};
}

/* --- probes --- */

/* A finite difference along a direction, waiting for its gradient, which comes after all. */
typedef struct probe {
    char name[RM_MOE_NAME_BYTES];
    const double *gradient; /* NULL: another rank's */
    int64_t n;
    double direction[MOST_ELEMENTS];
    double difference;
} probe;

typedef struct probe_list {
    int n;
    probe probes[MOST_PROBES];
} probe_list;

static void add_probe(problem *p, probe_list *list, const char *name, double *values,
                      const double *gradient, int64_t n)
{
    probe *new = &list->probes[list->n++];
    snprintf(new->name, sizeof new->name, "%s", name);
    new->gradient = gradient;
    new->n = n;
    fill(new->direction, n, "direction", list->n);
    new->difference = difference(p, values, n, new->direction);
}

/* All ranks take part, whether they hold the parameter or not. */
static void probe_parameter(problem *p, probe_list *list, const char *name, int64_t n)
{
    ringmoe_parameter_view view = find(p, name);
    add_probe(p, list, name, view.values, view.gradient, n);
}

static void probe_swiglu(problem *p, probe_list *list, const char *prefix,
                         const char *const names[3], int d_ff)
{
    for (int i = 0; i < 3; i++) {
        char name[RM_MOE_NAME_BYTES];
        snprintf(name, sizeof name, "%s.%s.weight", prefix, names[i]);
        probe_parameter(p, list, name, (int64_t)d_ff * D_MODEL);
    }
}

static void probe_all(problem *p, probe_list *list)
{
    static const char *const of_expert[3] = {"w1", "w3", "w2"};
    static const char *const of_shared[3] = {"gate_proj", "up_proj", "down_proj"};
    const ringmoe_moe_settings *settings = &p->settings;
    probe_parameter(p, list, "router.weight", N_EXPERTS * D_MODEL);
    if (settings->noise == RINGMOE_NOISE_NOISY_TOPK)
        probe_parameter(p, list, "router_noise.weight", N_EXPERTS * D_MODEL);
    for (int e = 0; e < N_EXPERTS; e++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "experts.%d", e);
        probe_swiglu(p, list, prefix, of_expert, D_FF);
    }
    if (settings->d_ff_shared)
        probe_swiglu(p, list, "shared_expert", of_shared, settings->d_ff_shared);
    if (settings->shared_gate) probe_parameter(p, list, "shared_expert_gate.weight", D_MODEL);
    for (int r = 0; r < p->mesh->dense.size; r++) {
        bool mine = r == p->mesh->dense.rank;
        add_probe(p, list, "x", mine ? p->x : NULL, mine ? p->d_x : NULL,
                  tokens_of(r) * D_MODEL);
    }
}

static void compare_one(problem *p, const probe *at)
{
    double expected = 0, size = 0;
    for (int64_t i = 0; i < at->n; i++) {
        expected += at->gradient[i] * at->direction[i];
        size += fabs(at->gradient[i] * at->direction[i]);
    }
    double error = fabs(at->difference - expected) / fmax(1e-2, size);
    if (error > p->worst) p->worst = error;
    if (error <= tolerance) return;
    if (p->n_wrong++ < 4)
        fprintf(stderr, "    %s: gradient %.12g, difference %.12g\n", at->name, expected,
                at->difference);
}

static void compare(problem *p, const probe_list *list)
{
    for (int i = 0; i < list->n; i++) {
        const probe *at = &list->probes[i];
        if (isnan(at->difference)) {
            p->n_passed_over++;
        } else if (at->gradient) {
            compare_one(p, at);
        }
    }
}

/* --- runs --- */

/* A whole step first, so that a bias has moved and a global batch has been counted. */
static void run_steps(problem *p, probe_list *list)
{
    bool ignored = false;
    loss(p, &ignored);
    backward(p);
    loss(p, &ignored);
    keep_choice(p);
    probe_all(p, list);
    loss(p, &ignored);
    backward(p);
    compare(p, list);
}

static bool run_variant(ringmoe_mesh *mesh, const moe_variant *which)
{
    problem *p = malloc(sizeof *p);
    probe_list *list = calloc(1, sizeof *list);
    problem_create(p, mesh, which);
    run_steps(p, list);
    double result[2] = {p->n_wrong, p->worst};
    check(rm_allreduce(&mesh->dense, result, 2, MPI_DOUBLE, MPI_MAX, &mesh->context->error), p);
    bool right = result[0] == 0 && p->n_passed_over * 10 <= list->n;
    if (mesh->dense.rank == 0)
        printf("  %-45s %4d probes, %d passed over, worst %.1e%s\n", which->name, list->n,
               p->n_passed_over, result[1], right ? "" : "  WRONG");
    ringmoe_moe_destroy(&p->layer);
    free(list);
    free(p);
    return right;
}

/* All variants on one mesh of the world. */
static bool run_mesh(ringmoe_context *context, ringmoe_mesh_dims dims)
{
    ringmoe_mesh *mesh = NULL;
    bool right = true;
    if (ringmoe_mesh_create(context, &dims, N_EXPERTS, &mesh) != RINGMOE_OK) {
        fprintf(stderr, "%s\n", ringmoe_context_error(context));
        return false;
    }
    if (ringmoe_context_rank(context) == 0)
        printf("data %d x expert %d\n", dims.data, dims.expert);
    for (int i = 0; i < N_MOE_VARIANTS; i++) right &= run_variant(mesh, &moe_variants[i]);
    ringmoe_mesh_destroy(&mesh);
    return right;
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    ringmoe_context_settings settings;
    ringmoe_context *context = NULL;
    ringmoe_context_settings_default(&settings);
    settings.n_threads = 1;
    bool right = ringmoe_context_create(MPI_COMM_WORLD, &settings, &context) == RINGMOE_OK;
    int size = right ? ringmoe_context_size(context) : 0;
    for (int expert = size; right && expert * MOST_DATA >= size && expert >= 1; expert /= 2)
        right = run_mesh(context, (ringmoe_mesh_dims){.data = size / expert, .expert = expert});
    ringmoe_context_destroy(&context);
    MPI_Finalize();
    return right ? 0 : 1;
}
