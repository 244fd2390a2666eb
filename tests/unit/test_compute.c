/* SPDX-License-Identifier: MIT
 *
 * The choice of kernel level, threads and precision, and what the machine tells of itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <omp.h>

#include <ringmoe/machine.h>

#include "plan/system.h"
#include "tensor/compute.h"

static const char *level_in_use(const char *level)
{
    rm_compute compute;
    rm_error error = {""};
    assert_int_equal(rm_compute_init(&compute, level, 1, RINGMOE_PRECISION_FP32, &error),
                     RINGMOE_OK);
    const char *name = compute.kernels->level;
    rm_compute_free(&compute);
    rm_compute_free(&compute);
    return name;
}

static void test_level_comes_from_argument_environment_or_cpu(void **state)
{
    (void)state;
    unsetenv("RINGMOE_CPU");
    assert_string_equal(level_in_use(NULL), rm_kernels_best()->level);
    assert_string_equal(level_in_use("scalar"), "scalar");
    setenv("RINGMOE_CPU", "scalar", 1);
    assert_string_equal(level_in_use(NULL), "scalar");
    assert_string_equal(level_in_use(rm_kernels_best()->level), rm_kernels_best()->level);
    setenv("RINGMOE_CPU", "", 1);
    assert_string_equal(level_in_use(NULL), rm_kernels_best()->level);
    unsetenv("RINGMOE_CPU");
}

static void assert_refused(const char *level, int n_threads, int precision, const char *word)
{
    rm_compute compute;
    rm_error error = {""};
    assert_int_equal(
        rm_compute_init(&compute, level, n_threads, (ringmoe_precision)precision, &error),
        RINGMOE_ERROR_ARGUMENT);
    assert_non_null(strstr(error.text, word));
    rm_compute_free(&compute);
}

static void test_refusals_name_value_and_remedy(void **state)
{
    (void)state;
    assert_refused("mmx", 1, RINGMOE_PRECISION_FP32, "\"mmx\"");
    assert_refused("mmx", 1, RINGMOE_PRECISION_FP32, "scalar");
    assert_refused("", 1, RINGMOE_PRECISION_FP32, "scalar");
    assert_refused(NULL, -1, RINGMOE_PRECISION_FP32, "-1");
    assert_refused(NULL, 1, 7, "precision is 7");
    setenv("RINGMOE_CPU", "mmx", 1);
    assert_refused(NULL, 1, RINGMOE_PRECISION_FP32, "RINGMOE_CPU");
    unsetenv("RINGMOE_CPU");
}

static void test_each_thread_has_its_scratch(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    rm_compute compute;
    rm_error error = {""};
    char *scratch[THREADS] = {0};
    assert_int_equal(rm_compute_init(&compute, NULL, THREADS, RINGMOE_PRECISION_BF16, &error),
                     RINGMOE_OK);
#pragma omp parallel num_threads(THREADS)
    {
        char *mine = rm_compute_scratch(&compute);
        mine[0] = mine[RM_SCRATCH_BYTES - 1] = 1;
        scratch[omp_get_thread_num()] = mine;
    }
    for (int i = 1; i < THREADS && scratch[i]; i++)
        assert_true(scratch[i] - scratch[i - 1] >= (ptrdiff_t)RM_SCRATCH_BYTES);
    rm_compute_free(&compute);
    assert_int_equal(rm_compute_init(&compute, NULL, 0, RINGMOE_PRECISION_FP32, &error),
                     RINGMOE_OK);
    assert_int_equal(compute.n_threads, omp_get_max_threads());
    rm_compute_free(&compute);
}

static void test_machine_is_described(void **state)
{
    (void)state;
    ringmoe_machine machine;
    ringmoe_machine_describe(&machine);
    assert_true(rm_words_contain(machine.kernel_levels, "scalar"));
    assert_non_null(strstr(machine.blas, "OpenBLAS"));
    assert_true(machine.blas_kernel[0] && machine.blas_threads > 0);
#ifdef __linux__
    assert_true(machine.n_cpus > 0 && machine.n_cores <= machine.n_cpus);
    assert_true(machine.n_cpus_bound > 0 && machine.binding[0]);
    assert_true(machine.memory_free_bytes > 0);
    assert_true(machine.memory_free_bytes <= machine.memory_bytes);
#endif
}

static void test_words(void **state)
{
    (void)state;
    char words[RINGMOE_MACHINE_TEXT] = "";
    rm_words_append(words, "avx2");
    rm_words_append(words, "fma");
    assert_string_equal(words, "avx2 fma");
    assert_true(rm_words_contain(words, "fma"));
    assert_false(rm_words_contain(words, "avx"));
    assert_false(rm_words_contain("", "avx"));
    assert_true(rm_words_contain(" \tavx\n", "avx"));
    for (int i = 0; i < 100; i++) rm_words_append(words, "0123456789");
    assert_true(strlen(words) < sizeof words);
    assert_true(strlen(words) % 11 == strlen("avx2 fma") % 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_level_comes_from_argument_environment_or_cpu),
        cmocka_unit_test(test_refusals_name_value_and_remedy),
        cmocka_unit_test(test_each_thread_has_its_scratch),
        cmocka_unit_test(test_machine_is_described),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
