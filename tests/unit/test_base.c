/* SPDX-License-Identifier: MIT
 *
 * Random numbers against Random123's known answers, their moments and their independence of the
 * order they are asked for in; the arena's measuring, alignment and refusals; error lines.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/random.h"

/* Random123's kat_vectors for philox4x32 with 10 rounds: counter, key, answer. */
static const struct {
    uint32_t counter[4], key[2], words[4];
} known_answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static uint64_t pair(uint32_t low, uint32_t high)
{
    return (uint64_t)high << 32 | low;
}

static void test_philox_known_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof known_answers / sizeof *known_answers; i++) {
        const uint32_t *counter = known_answers[i].counter, *key = known_answers[i].key;
        rm_random_key random = {pair(key[0], key[1]), pair(counter[2], counter[3])};
        uint32_t words[4];
        rm_random_words(random, pair(counter[0], counter[1]), words);
        assert_memory_equal(words, known_answers[i].words, sizeof words);
    }
}

enum { SAMPLES = 200000 };

/* Within five standard deviations of the sample mean. */
static void assert_mean(double sum, double mean, double variance)
{
    double distance = fabs(sum / SAMPLES - mean);
    assert_true(distance <= 5 * sqrt(variance / SAMPLES));
}

static void test_uniform_moments(void **state)
{
    (void)state;
    rm_random_key key = {42, rm_random_stream("uniform")};
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < SAMPLES; i++) {
        double u = rm_random_uniform(key, i);
        assert_true(u >= 0 && u < 1);
        sum += u, squares += u * u;
    }
    assert_mean(sum, 1.0 / 2, 1.0 / 12);
    assert_mean(squares, 1.0 / 3, 4.0 / 45);
}

/* Moments 1 to 4 of the normal distribution are 0, 1, 0, 3. */
static void test_normal_moments(void **state)
{
    (void)state;
    rm_random_key key = {7, rm_random_stream("normal")};
    double sums[5] = {0};
    for (uint64_t i = 0; i < SAMPLES; i++) {
        double x = rm_random_normal(key, i), power = 1;
        for (int moment = 1; moment <= 4; moment++) sums[moment] += power *= x;
    }
    assert_mean(sums[1], 0, 1);
    assert_mean(sums[2], 1, 2);
    assert_mean(sums[3], 0, 15);
    assert_mean(sums[4], 3, 96);
}

/* Any cut of a range into calls, at odd places too, gives the same numbers. */
static void test_fill_does_not_depend_on_cuts(void **state)
{
    (void)state;
    enum { N = 101, FIRST = 13 };
    rm_random_key key = {3, 5};
    rm_real whole[N], parts[N];
    rm_random_fill_normal(key, FIRST, N, 0.5, whole);
    for (int at = 0, length = 1; at < N; at += length, length = length % 7 + 1) {
        if (length > N - at) length = N - at;
        rm_random_fill_normal(key, (uint64_t)(FIRST + at), length, 0.5, parts + at);
    }
    assert_memory_equal(whole, parts, sizeof whole);
    for (int i = 0; i < N; i++)
        assert_true(whole[i] == (rm_real)(0.5 * rm_random_normal(key, (uint64_t)(FIRST + i))));
}

static void test_streams_differ(void **state)
{
    (void)state;
    assert_true(rm_random_stream("a") != rm_random_stream("b"));
    assert_true(rm_random_mix(1, 2) != rm_random_mix(2, 1));
    rm_random_key one = {1, rm_random_stream("a")}, other = {1, rm_random_stream("b")};
    assert_true(rm_random_uniform(one, 0) != rm_random_uniform(other, 0));
    assert_true(rm_random_uniform(one, 0) == rm_random_uniform(one, 0));
}

static void take_some(rm_arena *arena, char **bytes, double **numbers)
{
    *bytes = RM_TAKE(arena, 3, char);
    *numbers = RM_TAKE(arena, 100, double);
}

static void test_arena_measures_what_it_gives(void **state)
{
    (void)state;
    rm_arena arena = {0};
    char *bytes;
    double *numbers;
    take_some(&arena, &bytes, &numbers);
    assert_null(bytes);
    assert_null(numbers);
    size_t size = arena.used;
    rm_error error = {""};
    assert_int_equal(rm_arena_reserve(&arena, size, &error), RINGMOE_OK);
    take_some(&arena, &bytes, &numbers);
    assert_int_equal(arena.used, size);
    assert_int_equal((uintptr_t)bytes % RM_ARENA_ALIGN, 0);
    assert_int_equal((uintptr_t)numbers % RM_ARENA_ALIGN, 0);
    assert_true((char *)numbers >= bytes + 3 && (char *)(numbers + 100) <= arena.base + size);
    for (int i = 0; i < 100; i++) assert_true(numbers[i] == 0);
    assert_null(rm_arena_take(&arena, 1, 1));
    rm_arena_free(&arena);
    rm_arena_free(&arena);
}

static void test_arena_refuses_absurd_sizes(void **state)
{
    (void)state;
    static const int64_t counts[] = {-1, INT64_MAX, INT64_MAX / 8};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        rm_arena arena = {0};
        rm_error error = {""};
        assert_null(rm_arena_take(&arena, counts[i], 8));
        assert_int_equal(rm_arena_reserve(&arena, arena.used, &error), RINGMOE_ERROR_MEMORY);
        assert_true(strlen(error.text) > 0);
        rm_arena_free(&arena);
    }
}

static void test_arena_tells_what_the_system_refused(void **state)
{
    (void)state;
    rm_arena arena = {0};
    rm_error error = {""};
    assert_int_equal(rm_arena_reserve(&arena, (size_t)1 << 60, &error), RINGMOE_ERROR_MEMORY);
    assert_non_null(strstr(error.text, "MiB"));
    assert_int_equal(rm_arena_reserve(&arena, 0, &error), RINGMOE_OK);
    rm_arena_free(&arena);
}

static void test_error_lines(void **state)
{
    (void)state;
    rm_error error = {""};
    assert_int_equal(rm_fail(&error, RINGMOE_ERROR_LAYOUT, "%d of %s", 3, "x"),
                     RINGMOE_ERROR_LAYOUT);
    assert_string_equal(error.text, "3 of x");
    assert_int_equal(rm_fail(NULL, RINGMOE_ERROR_MPI, "nobody listens"), RINGMOE_ERROR_MPI);
    char long_text[2 * RM_ERROR_BYTES];
    memset(long_text, 'a', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    rm_fail(&error, RINGMOE_ERROR_FILE, "%s", long_text);
    assert_int_equal(strlen(error.text), RM_ERROR_BYTES - 1);
    assert_string_equal(ringmoe_status_text(RINGMOE_OK), "ok");
    assert_string_equal(ringmoe_status_text((ringmoe_status)999), "unknown status");
}

static void test_clock_goes_forward(void **state)
{
    (void)state;
    double before = rm_clock_seconds(), after = rm_clock_seconds();
    assert_true(after >= before && after - before < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_known_answers),
        cmocka_unit_test(test_uniform_moments),
        cmocka_unit_test(test_normal_moments),
        cmocka_unit_test(test_fill_does_not_depend_on_cuts),
        cmocka_unit_test(test_streams_differ),
        cmocka_unit_test(test_arena_measures_what_it_gives),
        cmocka_unit_test(test_arena_refuses_absurd_sizes),
        cmocka_unit_test(test_arena_tells_what_the_system_refused),
        cmocka_unit_test(test_error_lines),
        cmocka_unit_test(test_clock_goes_forward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
