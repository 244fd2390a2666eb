/* SPDX-License-Identifier: MIT
 *
 * The public layer on one rank: outputs against plain loops, parameters by name, the order of
 * calls, and the corners (one expert, all experts, no tokens, dropped tokens).
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <ringmoe.h>

enum { D_MODEL = 12, D_FF = 7, TOKENS = 20 };

typedef struct fixture {
    ringmoe_context *context;
    ringmoe_mesh *mesh;
    ringmoe_moe *layer;
    ringmoe_moe_settings settings;
    ringmoe_real x[TOKENS * D_MODEL], y[TOKENS * D_MODEL], d_x[TOKENS * D_MODEL];
    ringmoe_moe_stats stats;
} fixture;

static ringmoe_moe_settings settings_of(int n_experts, int top_k)
{
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    settings.d_model = D_MODEL;
    settings.d_ff = D_FF;
    settings.n_experts = n_experts;
    settings.top_k = top_k;
    settings.max_tokens = TOKENS;
    settings.init_std = (ringmoe_real)0.4;
    return settings;
}

static fixture *create(const ringmoe_moe_settings *settings)
{
    fixture *f = test_calloc(1, sizeof *f);
    f->settings = *settings;
    assert_int_equal(ringmoe_context_create(MPI_COMM_SELF, NULL, &f->context), RINGMOE_OK);
    assert_int_equal(ringmoe_mesh_create(f->context, NULL, settings->n_experts, &f->mesh),
                     RINGMOE_OK);
    assert_int_equal(ringmoe_moe_create(f->mesh, settings, &f->layer), RINGMOE_OK);
    for (int i = 0; i < TOKENS * D_MODEL; i++) f->x[i] = (ringmoe_real)sin(i * i + 0.3 * i);
    return f;
}

static void destroy(fixture *f)
{
    ringmoe_moe_destroy(&f->layer);
    ringmoe_mesh_destroy(&f->mesh);
    ringmoe_context_destroy(&f->context);
    test_free(f);
}

static ringmoe_parameter_view find(const fixture *f, const char *name)
{
    ringmoe_parameter_view view;
    for (int i = 0; i < ringmoe_moe_parameter_count(f->layer); i++) {
        assert_int_equal(ringmoe_moe_parameter(f->layer, i, &view), RINGMOE_OK);
        if (strcmp(view.name, name) == 0) return view;
    }
    fail_msg("no parameter %s", name);
    return view;
}

/* --- plain loops --- */

static double dot(const ringmoe_real *row, const ringmoe_real *x, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)row[i] * (double)x[i];
    return sum;
}

/* y += weight * expert(x) */
static void add_swiglu(const fixture *f, const char *prefix, const char *const names[3],
                       double weight, const ringmoe_real *x, double *y)
{
    const ringmoe_real *matrices[3];
    char name[64];
    ringmoe_real hidden[D_FF];
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s.%s.weight", prefix, names[i]);
        matrices[i] = find(f, name).values;
    }
    for (int i = 0; i < D_FF; i++) {
        double gate = dot(matrices[0] + i * D_MODEL, x, D_MODEL);
        double up = dot(matrices[1] + i * D_MODEL, x, D_MODEL);
        hidden[i] = (ringmoe_real)(gate / (1 + exp(-gate)) * up);
    }
    for (int i = 0; i < D_MODEL; i++)
        y[i] += weight * dot(matrices[2] + i * D_FF, hidden, D_FF);
}

/* Softmax over all experts, the best k by repeated search, renormalised. */
static void plain_token(const fixture *f, const ringmoe_real *x, double *y)
{
    static const char *const names[3] = {"w1", "w3", "w2"};
    const ringmoe_real *router = find(f, "router.weight").values;
    double scores[16], sum = 0;
    int chosen[16], k = f->settings.top_k;
    for (int e = 0; e < f->settings.n_experts; e++)
        scores[e] = exp(dot(router + e * D_MODEL, x, D_MODEL));
    for (int j = 0; j < k; j++) {
        chosen[j] = -1;
        for (int e = 0; e < f->settings.n_experts; e++) {
            int taken = 0;
            for (int i = 0; i < j; i++) taken |= chosen[i] == e;
            if (!taken && (chosen[j] < 0 || scores[e] > scores[chosen[j]])) chosen[j] = e;
        }
        sum += scores[chosen[j]];
    }
    for (int j = 0; j < k; j++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "experts.%d", chosen[j]);
        add_swiglu(f, prefix, names, scores[chosen[j]] / sum, x, y);
    }
}

static void plain_shared(const fixture *f, const ringmoe_real *x, double *y)
{
    static const char *const names[3] = {"gate_proj", "up_proj", "down_proj"};
    double gate = dot(find(f, "shared_expert_gate.weight").values, x, D_MODEL);
    add_swiglu(f, "shared_expert", names, 1 / (1 + exp(-gate)), x, y);
}

static void assert_matches_plain_loops(const ringmoe_moe_settings *settings)
{
    fixture *f = create(settings);
    assert_int_equal(ringmoe_moe_forward(f->layer, TOKENS, f->x, 0, f->y, &f->stats),
                     RINGMOE_OK);
    for (int t = 0; t < TOKENS; t++) {
        double expected[D_MODEL] = {0};
        plain_token(f, f->x + t * D_MODEL, expected);
        if (settings->d_ff_shared) plain_shared(f, f->x + t * D_MODEL, expected);
        for (int i = 0; i < D_MODEL; i++)
            assert_true(fabs((double)f->y[t * D_MODEL + i] - expected[i]) < 1e-5);
    }
    assert_int_equal(f->stats.n_dropped, 0);
    destroy(f);
}

static void outputs_match_plain_loops(void **state)
{
    const int shapes[][2] = {{8, 2}, {8, 1}, {8, 8}, {1, 1}, {3, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        ringmoe_moe_settings settings = settings_of(shapes[i][0], shapes[i][1]);
        assert_matches_plain_loops(&settings);
        settings.d_ff_shared = D_FF;
        settings.shared_gate = 1;
        assert_matches_plain_loops(&settings);
    }
}

/* --- corners --- */

static void no_tokens_give_no_rows_and_zero_gradients(void **state)
{
    ringmoe_moe_settings settings = settings_of(4, 2);
    settings.d_ff_shared = D_FF;
    settings.balance_coefficient = settings.z_coefficient = 1;
    fixture *f = create(&settings);
    assert_int_equal(ringmoe_moe_forward(f->layer, 0, NULL, 1, NULL, &f->stats), RINGMOE_OK);
    assert_int_equal(ringmoe_moe_backward(f->layer, NULL, 1, NULL), RINGMOE_OK);
    assert_int_equal(ringmoe_moe_reduce_gradients(f->layer), RINGMOE_OK);
    assert_true(f->stats.balance_loss == 0 && f->stats.z_loss == 0);
    for (int p = 0; p < ringmoe_moe_parameter_count(f->layer); p++) {
        ringmoe_parameter_view view;
        assert_int_equal(ringmoe_moe_parameter(f->layer, p, &view), RINGMOE_OK);
        for (int64_t i = 0; i < view.shape[0] * view.shape[1]; i++)
            assert_true(view.gradient[i] == 0);
    }
    destroy(f);
}

/* All tokens are alike, so they want the same expert, which takes some of them. */
static void dropped_tokens_get_nothing(void **state)
{
    ringmoe_moe_settings settings = settings_of(4, 1);
    settings.capacity_factor = 1;
    fixture *f = create(&settings);
    for (int i = D_MODEL; i < TOKENS * D_MODEL; i++) f->x[i] = f->x[i - D_MODEL];
    assert_int_equal(ringmoe_moe_forward(f->layer, TOKENS, f->x, 0, f->y, &f->stats),
                     RINGMOE_OK);
    assert_int_equal(f->stats.n_choices, TOKENS);
    assert_int_equal(f->stats.n_dropped, TOKENS - TOKENS / 4);
    for (int t = 0; t < TOKENS; t++) assert_int_equal(f->y[t * D_MODEL] != 0, t < TOKENS / 4);
    destroy(f);
}

/* --- parameters --- */

static void parameters_have_names_and_shapes(void **state)
{
    ringmoe_moe_settings settings = settings_of(3, 2);
    settings.noise = RINGMOE_NOISE_NOISY_TOPK;
    settings.bias_rate = (ringmoe_real)0.1;
    settings.d_ff_shared = 5;
    settings.shared_gate = 1;
    fixture *f = create(&settings);
    assert_int_equal(ringmoe_moe_parameter_count(f->layer), 1 + 1 + 3 + 1 + 9 + 1);
    ringmoe_parameter_view down = find(f, "experts.2.w2.weight");
    assert_true(down.n_dims == 2 && down.shape[0] == D_MODEL && down.shape[1] == D_FF);
    ringmoe_parameter_view up = find(f, "shared_expert.up_proj.weight");
    assert_true(up.n_dims == 2 && up.shape[0] == 5 && up.shape[1] == D_MODEL);
    assert_int_equal(find(f, "router_noise.weight").shape[0], 3);
    assert_int_equal(find(f, "shared_expert_gate.weight").shape[1], D_MODEL);
    ringmoe_parameter_view bias = find(f, "router.bias");
    assert_true(bias.n_dims == 1 && bias.shape[0] == 3 && bias.values && !bias.gradient);
    ringmoe_parameter_view unused;
    assert_int_equal(ringmoe_moe_parameter(f->layer, 16, &unused), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_moe_parameter(f->layer, -1, &unused), RINGMOE_ERROR_ARGUMENT);
    destroy(f);
}

/* An expert has the same weights however many others there are; layers and seeds differ. */
static void initial_weights_depend_on_the_name(void **state)
{
    ringmoe_moe_settings settings = settings_of(2, 1), more = settings_of(4, 1);
    fixture *two = create(&settings), *four = create(&more);
    more.layer = 1;
    fixture *other = create(&more);
    const size_t bytes = D_FF * D_MODEL * sizeof(ringmoe_real);
    const ringmoe_real *values = find(two, "experts.1.w1.weight").values;
    assert_memory_equal(values, find(four, "experts.1.w1.weight").values, bytes);
    assert_memory_not_equal(values, find(four, "experts.0.w1.weight").values, bytes);
    assert_memory_not_equal(values, find(other, "experts.1.w1.weight").values, bytes);
    destroy(two);
    destroy(four);
    destroy(other);
}

/* --- calls --- */

static void calls_out_of_order_are_refused(void **state)
{
    ringmoe_moe_settings settings = settings_of(4, 2);
    fixture *f = create(&settings);
    assert_int_equal(ringmoe_moe_backward(f->layer, f->y, 1, f->d_x), RINGMOE_ERROR_STATE);
    assert_int_equal(ringmoe_moe_reduce_gradients(f->layer), RINGMOE_ERROR_STATE);
    assert_int_equal(ringmoe_moe_forward(f->layer, 2, f->x, 1, f->y, NULL), RINGMOE_OK);
    assert_int_equal(ringmoe_moe_forward(f->layer, 2, f->x, 0, f->y, NULL), RINGMOE_OK);
    assert_int_equal(ringmoe_moe_backward(f->layer, f->y, 1, f->d_x), RINGMOE_ERROR_STATE);
    assert_int_equal(ringmoe_moe_forward(f->layer, 2, f->x, 1, f->y, NULL), RINGMOE_OK);
    assert_int_equal(ringmoe_moe_backward(f->layer, f->y, 1, f->y), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_moe_backward(f->layer, f->y, 1, f->d_x), RINGMOE_OK);
    assert_int_equal(ringmoe_moe_forward(f->layer, 2, f->x, 1, f->y, NULL),
                     RINGMOE_ERROR_STATE);
    assert_int_equal(ringmoe_moe_forward(f->layer, 2, f->x, 0, f->y, NULL), RINGMOE_OK);
    assert_int_equal(ringmoe_moe_reduce_gradients(f->layer), RINGMOE_OK);
    destroy(f);
}

static void absent_handles_are_refused(void **state)
{
    ringmoe_moe *layer = NULL;
    ringmoe_moe_destroy(NULL);
    ringmoe_moe_destroy(&layer);
    assert_int_equal(ringmoe_moe_create(NULL, NULL, &layer), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_moe_forward(NULL, 0, NULL, 0, NULL, NULL), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_moe_backward(NULL, NULL, 0, NULL), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_moe_reduce_gradients(NULL), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_moe_weights_changed(NULL), RINGMOE_ERROR_ARGUMENT);
    assert_int_equal(ringmoe_moe_parameter_count(NULL), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_match_plain_loops),
        cmocka_unit_test(no_tokens_give_no_rows_and_zero_gradients),
        cmocka_unit_test(dropped_tokens_get_nothing),
        cmocka_unit_test(parameters_have_names_and_shapes),
        cmocka_unit_test(initial_weights_depend_on_the_name),
        cmocka_unit_test(calls_out_of_order_are_refused),
        cmocka_unit_test(absent_handles_are_refused),
    };
    MPI_Init(&argc, &argv);
    int failed = cmocka_run_group_tests_name("moe layer", tests, NULL, NULL);
    MPI_Finalize();
    return failed;
}
