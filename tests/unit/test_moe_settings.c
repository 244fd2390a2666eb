/* SPDX-License-Identifier: MIT
 *
 * Every setting out of its range is refused by name.
 */
#include <limits.h>
#include <math.h>

#include "moe_fixture.h"

static ringmoe_moe_settings good(void)
{
    return moe_fixture_settings(8, 2);
}

static void assert_refused(ringmoe_moe_settings settings, const char *named)
{
    rm_error error = {""};
    assert_int_equal(rm_moe_settings_check(&settings, 1, &error), RINGMOE_ERROR_ARGUMENT);
    if (!strstr(error.text, named)) fail_msg("\"%s\" does not name %s", error.text, named);
}

#define REFUSES(member, value)                                                                 \
    do {                                                                                       \
        ringmoe_moe_settings settings_ = good();                                               \
        settings_.member = value;                                                              \
        assert_refused(settings_, #member);                                                    \
    } while (0)

static void defaults_need_only_the_sizes(void **state)
{
    ringmoe_moe_settings settings;
    ringmoe_moe_settings_default(&settings);
    assert_refused(settings, "d_model");
    settings = good();
    assert_int_equal(rm_moe_settings_check(&settings, 1, NULL), RINGMOE_OK);
    assert_int_equal(rm_moe_settings_check(&settings, 8, NULL), RINGMOE_OK);
}

static void sizes(void **state)
{
    REFUSES(d_model, 0);
    REFUSES(d_model, -1);
    REFUSES(d_model, INT_MAX);
    REFUSES(d_ff, 0);
    REFUSES(d_ff, INT_MAX);
    REFUSES(n_experts, 0);
    REFUSES(n_experts, -8);
    REFUSES(max_tokens, 0);
    REFUSES(max_tokens, (int64_t)1 << 40);
    REFUSES(max_tokens, INT_MAX); /* times top_k */
    REFUSES(n_microbatches, 0);
    REFUSES(layer, -1);
    REFUSES(d_ff_shared, -1);
    REFUSES(shared_gate, 1); /* of no shared expert */
    REFUSES(shared_gate, 2);
}

static void choice(void **state)
{
    REFUSES(top_k, 0);
    REFUSES(top_k, 9);
    REFUSES(n_groups, 0);
    REFUSES(n_groups, 3);
    REFUSES(top_groups, 0);
    REFUSES(top_groups, 2); /* of one group */
    REFUSES(score, (ringmoe_router_score)3);
    REFUSES(noise, (ringmoe_router_noise)-1);
    REFUSES(group_score, (ringmoe_group_score)2);
    REFUSES(balance_scope, (ringmoe_balance_scope)2);
    REFUSES(renormalize, 2);
    ringmoe_moe_settings settings = good();
    settings.n_groups = 4;
    settings.top_k = 3; /* of one group of two */
    assert_refused(settings, "top_groups");
}

static void numbers(void **state)
{
    REFUSES(routed_scale, 0);
    REFUSES(routed_scale, -1);
    REFUSES(routed_scale, NAN);
    REFUSES(jitter, 1);
    REFUSES(jitter, (rm_real)-0.1);
    REFUSES(bias_rate, -1);
    REFUSES(capacity_factor, -1);
    REFUSES(capacity_factor, INFINITY);
    REFUSES(capacity_factor, 65537);
    REFUSES(balance_coefficient, NAN);
    REFUSES(z_coefficient, -1);
    REFUSES(init_std, -1);
}

static void experts_must_divide_over_the_ranks(void **state)
{
    rm_error error = {""};
    ringmoe_moe_settings settings = good();
    assert_int_equal(rm_moe_settings_check(&settings, 3, &error), RINGMOE_ERROR_LAYOUT);
    assert_non_null(strstr(error.text, "n_experts is 8"));
    assert_non_null(strstr(error.text, "3 expert ranks"));
    assert_int_equal(rm_moe_settings_check(&settings, 16, &error), RINGMOE_ERROR_LAYOUT);
    assert_non_null(strstr(error.text, "16 expert ranks"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_need_only_the_sizes),
        cmocka_unit_test(sizes),
        cmocka_unit_test(choice),
        cmocka_unit_test(numbers),
        cmocka_unit_test(experts_must_divide_over_the_ranks),
    };
    return cmocka_run_group_tests_name("moe settings", tests, NULL, NULL);
}
