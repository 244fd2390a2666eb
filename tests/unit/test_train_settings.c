/* SPDX-License-Identifier: MIT
 *
 * The learning rate's values, clipping, and the refusal of settings by name.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/config.h"
#include "train/optimizer.h"
#include "train/recipe.h"
#include "train/schedule.h"

static ringmoe_train_settings defaults(void)
{
    ringmoe_train_settings settings;
    ringmoe_train_settings_default(&settings);
    return settings;
}

static void close_to(double value, double expected)
{
    if (fabs(value - expected) > 1e-12 * fabs(expected))
        fail_msg("%g, not %g", value, expected);
}

static void rate_warms_up_and_falls_as_a_cosine(void **state)
{
    ringmoe_train_settings settings = defaults();
    settings.lr = 2;
    settings.lr_min_ratio = 0.25;
    settings.warmup_steps = 4;
    settings.steps = 104;
    close_to(rm_learning_rate(&settings, 1), 0.5);
    close_to(rm_learning_rate(&settings, 4), 2);
    close_to(rm_learning_rate(&settings, 54), 1.25);
    close_to(rm_learning_rate(&settings, 29), 0.5 + 1.5 * 0.5 * (1 + sqrt(0.5)));
    close_to(rm_learning_rate(&settings, 104), 0.5);
    close_to(rm_learning_rate(&settings, 100000), 0.5);
}

static void rate_without_warmup_or_decay(void **state)
{
    ringmoe_train_settings settings = defaults();
    settings.lr = 1;
    settings.warmup_steps = 0;
    settings.steps = 1;
    settings.lr_min_ratio = 1;
    close_to(rm_learning_rate(&settings, 1), 1);
    close_to(rm_learning_rate(&settings, 7), 1);
    settings.warmup_steps = 10;
    close_to(rm_learning_rate(&settings, 5), 0.5);
    close_to(rm_learning_rate(&settings, 11), 1);
}

static void clipping_brings_the_norm_down(void **state)
{
    close_to(rm_clip_factor(4, 1), 0.25);
    close_to(rm_clip_factor(0.5, 1), 1);
    close_to(rm_clip_factor(4, 0), 1);
    close_to(rm_clip_factor(0, 1), 1);
}

static void numbers_read_back_exactly(void **state)
{
    const double numbers[] = {0.1, 1e-8, 1.0 / 3, 5e-324, 1e30, 1000, -2.5, 0};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[RM_NUMBER_TEXT];
        rm_number_format(numbers[i], text);
        assert_true(strtod(text, NULL) == numbers[i]);
    }
}

static ringmoe_model_config tiny(void)
{
    ringmoe_model_config config;
    assert_int_equal(rm_config_preset("tiny", &config, NULL), RINGMOE_OK);
    return config;
}

static void refused_on(const ringmoe_train_settings *settings, ringmoe_mesh_dims dims,
                       ringmoe_status expected, const char *message)
{
    rm_error error = {""};
    ringmoe_model_config config = tiny();
    assert_int_equal(rm_settings_check(settings, &config, &dims, &error), expected);
    if (!strstr(error.text, message)) fail_msg("%s", error.text);
}

static void refused(const ringmoe_train_settings *settings, int n_ranks,
                    ringmoe_status expected, const char *message)
{
    refused_on(settings, (ringmoe_mesh_dims){1, n_ranks, 1, 1}, expected, message);
}

static void settings_out_of_range_are_named(void **state)
{
    ringmoe_train_settings settings = defaults();
    ringmoe_model_config config = tiny();
    const ringmoe_mesh_dims dims = {3, 2, 2, 5};
    assert_int_equal(rm_settings_check(&settings, &config, &dims, NULL), RINGMOE_OK);
    settings.beta2 = 1;
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "beta2 is 1; it must be");
    settings = defaults(), settings.lr = NAN;
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "lr is nan");
    settings = defaults(), settings.seq_len = 0;
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "seq_len is 0");
    settings = defaults(), settings.seq_len = 5000;
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "max_position_embeddings");
    settings = defaults(), settings.global_batch = 18;
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "multiple of microbatch, 4");
    settings = defaults();
    refused(&settings, 3, RINGMOE_ERROR_LAYOUT, "multiple of 12");
}

static void layouts_that_cannot_be_are_named(void **state)
{
    ringmoe_train_settings settings = defaults();
    snprintf(settings.schedule, sizeof settings.schedule, "gpip");
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "schedule is \"gpip\"; it must be one of");
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "zb-h1");
    memset(settings.schedule, 'x', sizeof settings.schedule);
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "schedule is \"xxxxxxxxxxxxxxxx\"");
    snprintf(settings.schedule, sizeof settings.schedule, "forward");
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "schedule is \"forward\"");
    settings = defaults(), settings.chunks = 65;
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "chunks is 65");
    settings = defaults(), settings.recompute = 3;
    refused(&settings, 1, RINGMOE_ERROR_ARGUMENT, "recompute is 3");
    settings = defaults(), settings.chunks = 64;
    refused_on(&settings, (ringmoe_mesh_dims){9, 1, 1, 1}, RINGMOE_ERROR_LAYOUT, "576 stages");
    settings = defaults(), settings.reproducible = 1;
    refused_on(&settings, (ringmoe_mesh_dims){1, 1, 1, 3}, RINGMOE_ERROR_LAYOUT,
               "use 1, 2 or 4");
}

static void chosen(const char *schedule, int64_t chunks, ringmoe_mesh_dims dims,
                   const char *expected, int64_t expected_chunks)
{
    ringmoe_train_settings settings = defaults();
    ringmoe_model_config config = tiny();
    snprintf(settings.schedule, sizeof settings.schedule, "%s", schedule);
    settings.chunks = chunks;
    rm_settings_choose(&settings, &config, &dims);
    assert_string_equal(settings.schedule, expected);
    assert_int_equal(settings.chunks, expected_chunks);
}

static void schedule_and_chunks_are_chosen(void **state)
{
    assert_true(tiny().num_hidden_layers >= 4);
    chosen("", 0, (ringmoe_mesh_dims){1, 1, 1, 1}, "1f1b", 1);
    chosen("", 0, (ringmoe_mesh_dims){1, 2, 1, 1}, "1f1b", 4);
    chosen("", 0, (ringmoe_mesh_dims){2, 2, 1, 1}, "1f1b", 1);
    chosen("", 2, (ringmoe_mesh_dims){2, 1, 1, 1}, "interleaved", 2);
    chosen("", 2, (ringmoe_mesh_dims){1, 1, 1, 1}, "1f1b", 2);
    chosen("zb-h1", 0, (ringmoe_mesh_dims){2, 1, 1, 1}, "zb-h1", 1);
}

static void a_recipe_tells_what_matters(void **state)
{
    ringmoe_train_settings settings = defaults();
    ringmoe_model_config config = tiny();
    rm_recipe one, other;
    rm_recipe_write(&one, &settings, &config, RINGMOE_PRECISION_FP32, "0123456789abcdef");
    settings.lr *= 1 + 1e-15;
    settings.chunks = 3; /* no part of it */
    config.is_dense_layer[3] = 1;
    rm_recipe_write(&other, &settings, &config, RINGMOE_PRECISION_BF16, "0123456789abcdef");
    assert_int_equal(one.n_items, other.n_items);
    int n_different = 0;
    for (int i = 0; i < one.n_items; i++)
        n_different += strcmp(one.items[i].value, other.items[i].value) != 0;
    assert_int_equal(n_different, 3);
}

/* The recipe of such a run of a tiny model. */
static rm_recipe recipe_with(const ringmoe_train_settings *settings, int n_layers,
                             ringmoe_precision precision, const char *data_hash)
{
    ringmoe_model_config config = tiny();
    rm_recipe recipe;
    config.num_hidden_layers = n_layers;
    rm_recipe_write(&recipe, settings, &config, precision, data_hash);
    return recipe;
}

static void refused_for(const rm_recipe *own, const rm_recipe *found, const char *words)
{
    rm_error error = {""};
    assert_int_equal(rm_recipe_check(own, found, "folder", &error), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, words));
}

static void model_data_and_batch_must_stay(void **state)
{
    ringmoe_train_settings settings = defaults(), other = settings;
    int n_layers = tiny().num_hidden_layers;
    rm_recipe own = recipe_with(&settings, n_layers, RINGMOE_PRECISION_FP32, "a"), found;
    found = recipe_with(&settings, n_layers - 1, RINGMOE_PRECISION_FP32, "b");
    refused_for(&own, &found, "in the model: num_hidden_layers is");
    found = recipe_with(&settings, n_layers, RINGMOE_PRECISION_FP32, "b");
    refused_for(&own, &found, "in the data: data_hash is b there and a in this run");
    other.seed = 7;
    found = recipe_with(&other, n_layers, RINGMOE_PRECISION_FP32, "a");
    refused_for(&own, &found, "in the data: seed is 7");
    other = settings;
    other.microbatch *= 2;
    found = recipe_with(&other, n_layers, RINGMOE_PRECISION_FP32, "a");
    refused_for(&own, &found, "in the batch: microbatch is 8 there and 4 in this run");
}

static void what_the_optimizer_does_may_change(void **state)
{
    char text[200];
    rm_error error = {""};
    ringmoe_train_settings settings = defaults(), other = settings;
    int n_layers = tiny().num_hidden_layers;
    rm_recipe own = recipe_with(&settings, n_layers, RINGMOE_PRECISION_FP32, "a"), found = own;
    rm_recipe_describe_changes(&own, &found, text, sizeof text);
    assert_string_equal(text, "");
    other.steps *= 2;
    other.lr /= 2;
    other.chunks = 2;
    found = recipe_with(&other, n_layers, RINGMOE_PRECISION_BF16, "a");
    assert_int_equal(rm_recipe_check(&own, &found, "folder", &error), RINGMOE_OK);
    rm_recipe_describe_changes(&own, &found, text, sizeof text);
    assert_string_equal(text, "steps 2000 -> 1000, lr 0.0005 -> 0.001, precision bf16 -> fp32");
    found.n_items--;
    assert_int_equal(rm_recipe_check(&own, &found, "folder", &error), RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, "precision"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rate_warms_up_and_falls_as_a_cosine),
        cmocka_unit_test(rate_without_warmup_or_decay),
        cmocka_unit_test(clipping_brings_the_norm_down),
        cmocka_unit_test(numbers_read_back_exactly),
        cmocka_unit_test(settings_out_of_range_are_named),
        cmocka_unit_test(layouts_that_cannot_be_are_named),
        cmocka_unit_test(schedule_and_chunks_are_chosen),
        cmocka_unit_test(a_recipe_tells_what_matters),
        cmocka_unit_test(model_data_and_batch_must_stay),
        cmocka_unit_test(what_the_optimizer_does_may_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
