/* SPDX-License-Identifier: MIT
 *
 * A router whose logits are the rows it is given: d_model = n_experts and identity weights. So
 * a test writes down logits by hand and looks at what becomes of them.
 */
#ifndef MOE_FIXTURE_H
#define MOE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "moe/route.h"
#include "moe/router.h"
#include "moe/settings.h"

enum { MOST_EXPERTS = 16, MOST_TOKENS = 4096 };

typedef struct moe_fixture {
    rm_compute compute;
    ringmoe_moe_settings settings;
    rm_moe_weights weights;
    rm_moe_pass pass;
    rm_routing routing;
    rm_route_plan plan;
    ringmoe_moe_stats stats;
    rm_arena arena;
    rm_real identity[MOST_EXPERTS * MOST_EXPERTS];
    rm_real bias[MOST_EXPERTS];
} moe_fixture;

static inline ringmoe_moe_settings moe_fixture_settings(int n_experts, int top_k)
{
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = settings.n_experts = n_experts;
    settings.top_k = top_k;
    settings.d_ff = 1;
    settings.max_tokens = MOST_TOKENS;
    return settings;
}

static inline void moe_fixture_layout(moe_fixture *fixture)
{
    const ringmoe_moe_settings *settings = &fixture->settings;
    rm_moe_layout alone = {.expert_ranks = 1,
                           .tensor_ranks = 1,
                           .with_backward = true,
                           .precision = fixture->compute.precision,
                           .shared_precision = fixture->compute.precision};
    rm_moe_weights_layout(&fixture->weights, &fixture->compute, settings, &alone,
                          &fixture->arena);
    rm_routing_layout(&fixture->routing, settings, true, &fixture->arena);
    rm_route_layout(&fixture->plan, settings, &fixture->arena);
}

static inline moe_fixture *moe_fixture_create(const ringmoe_moe_settings *settings)
{
    moe_fixture *fixture = test_calloc(1, sizeof *fixture);
    int n = settings->n_experts;
    fixture->settings = *settings;
    assert_int_equal(rm_moe_settings_check(settings, 1, NULL), RINGMOE_OK);
    assert_int_equal(rm_compute_init(&fixture->compute, NULL, 2, RINGMOE_PRECISION_FP32, NULL),
                     RINGMOE_OK);
    moe_fixture_layout(fixture);
    assert_int_equal(rm_arena_reserve(&fixture->arena, fixture->arena.used, NULL), RINGMOE_OK);
    moe_fixture_layout(fixture);
    for (int e = 0; e < n; e++) fixture->identity[e * n + e] = 1;
    fixture->weights.router.weights = fixture->identity;
    fixture->weights.router_noise.weights = fixture->identity;
    if (settings->bias_rate > 0) fixture->weights.bias = fixture->bias;
    rm_matrix *matrices[2] = {&fixture->weights.router, &fixture->weights.router_noise};
    bool noisy = settings->noise == RINGMOE_NOISE_NOISY_TOPK;
    rm_matrices_pack(&fixture->compute, matrices, noisy ? 2 : 1);
    return fixture;
}

static inline void moe_fixture_route(moe_fixture *fixture, int64_t n_tokens,
                                     const rm_real *logits)
{
    fixture->routing.n_tokens = n_tokens;
    rm_router router = {&fixture->compute, &fixture->settings, &fixture->weights,
                        &fixture->pass, &fixture->routing};
    rm_router_forward(&router, logits, &fixture->stats);
}

static inline void moe_fixture_destroy(moe_fixture *fixture)
{
    rm_arena_free(&fixture->arena);
    rm_compute_free(&fixture->compute);
    test_free(fixture);
}

#define assert_choice(chosen, ...)                                                             \
    do {                                                                                       \
        const int32_t expected_[] = {__VA_ARGS__};                                             \
        assert_memory_equal((chosen), expected_, sizeof expected_);                            \
    } while (0)

#define assert_near(value, expected, tolerance)                                                \
    assert_true(fabs((double)(value) - (double)(expected)) <= (tolerance))

#endif
