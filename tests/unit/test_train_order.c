/* SPDX-License-Identifier: MIT
 *
 * The order of the training data: every epoch is a permutation, epochs and seeds differ, and
 * samples are windows of the stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "train/order.h"

static void is_permutation(int64_t seed, int64_t epoch, int64_t n)
{
    char *seen = calloc((size_t)n, 1);
    assert_non_null(seen);
    for (int64_t i = 0; i < n; i++) {
        int64_t image = rm_order_permute(seed, epoch, n, i);
        assert_in_range(image, 0, n - 1);
        assert_int_equal(seen[image]++, 0);
    }
    free(seen);
}

static void every_epoch_is_a_permutation(void **state)
{
    for (int64_t n = 1; n <= 70; n++) is_permutation(n, 3, n);
    is_permutation(0, 0, 4096);
    is_permutation(-5, 1, 4097);
    is_permutation(INT64_MAX, 1000000, 100003);
}

static int64_t places_alike(int64_t seed_a, int64_t epoch_a, int64_t seed_b, int64_t epoch_b)
{
    int64_t alike = 0, n = 1000;
    for (int64_t i = 0; i < n; i++)
        alike +=
            rm_order_permute(seed_a, epoch_a, n, i) == rm_order_permute(seed_b, epoch_b, n, i);
    return alike;
}

/* Two random permutations agree in one place on average. */
static void epochs_and_seeds_differ(void **state)
{
    assert_in_range(places_alike(1, 0, 1, 1), 0, 10);
    assert_in_range(places_alike(1, 0, 2, 0), 0, 10);
    assert_int_equal(places_alike(7, 4, 7, 4), 1000);
}

static void neighbours_are_scattered(void **state)
{
    int64_t n = 1000, close = 0;
    for (int64_t i = 0; i + 1 < n; i++)
        close += llabs(rm_order_permute(1, 0, n, i) - rm_order_permute(1, 0, n, i + 1)) == 1;
    assert_in_range(close, 0, 12);
}

static void an_epoch_visits_every_window_once(void **state)
{
    enum { WINDOWS = 21, SEQ_LEN = 10, BATCH = 3 };
    rm_order order;
    rm_error error = {""};
    int visits[WINDOWS] = {0};
    assert_int_equal(rm_order_init(&order, WINDOWS * SEQ_LEN + 5, SEQ_LEN, BATCH, 9, &error),
                     0);
    assert_int_equal(order.n_windows, WINDOWS);
    for (int64_t sample = 0; sample < 2 * WINDOWS; sample++) {
        int64_t first = rm_order_first_token(&order, sample / BATCH, sample % BATCH);
        assert_int_equal(first % SEQ_LEN, 0);
        assert_in_range(first, 0, (WINDOWS - 1) * SEQ_LEN);
        visits[first / SEQ_LEN]++;
    }
    for (int w = 0; w < WINDOWS; w++) assert_int_equal(visits[w], 2);
}

static void short_text_is_refused_with_numbers(void **state)
{
    rm_order order;
    rm_error error = {""};
    assert_int_equal(rm_order_init(&order, 65, 64, 4, 0, &error), RINGMOE_OK);
    assert_int_equal(order.n_windows, 1);
    assert_int_equal(rm_order_first_token(&order, 12, 3), 0);
    assert_int_equal(rm_order_init(&order, 64, 64, 4, 0, &error), RINGMOE_ERROR_FORMAT);
    assert_non_null(strstr(error.text, "64 tokens"));
    assert_non_null(strstr(error.text, "65"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_is_a_permutation),
        cmocka_unit_test(epochs_and_seeds_differ),
        cmocka_unit_test(neighbours_are_scattered),
        cmocka_unit_test(an_epoch_visits_every_window_once),
        cmocka_unit_test(short_text_is_refused_with_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
