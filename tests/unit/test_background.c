/* SPDX-License-Identifier: MIT
 *
 * A thread in the background: where OpenMP has bound the first thread to one core it may use
 * all of the process, and it never gets ahead of who started it.
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/background.h"

typedef struct findings {
    int n_processors, priority;
} findings;

static int count_processors(void)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    return CPU_COUNT(&cpus);
}

static void *look(void *argument)
{
    findings *found = argument;
    rm_background_give_way();
    found->n_processors = count_processors();
    found->priority = getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    return NULL;
}

static findings start(void)
{
    pthread_t thread;
    findings found = {0};
    assert_true(rm_background_thread(&thread, look, &found));
    assert_int_equal(pthread_join(thread, NULL), 0);
    return found;
}

static void it_has_all_processors(void **state)
{
    (void)state;
    int n = atoi(getenv("RINGMOE_TEST_PROCESSORS"));
    assert_int_equal(start().n_processors, n);
}

static void it_gives_way(void **state)
{
    (void)state;
    int before = getpriority(PRIO_PROCESS, 0);
    int after = start().priority;
    assert_true(after >= before);
    assert_true(after > before || before == 19);
    if (before < 17) assert_int_equal(setpriority(PRIO_PROCESS, 0, 17), 0);
    assert_int_equal(start().priority, 19);
}

/* OpenMP binds before main, so what it is to do must stand in the environment before. */
static int start_bound(char **arguments)
{
    char n[16];
    snprintf(n, sizeof n, "%d", count_processors());
    if (setenv("RINGMOE_TEST_PROCESSORS", n, 1) != 0 || setenv("OMP_PLACES", "cores", 1) != 0 ||
        setenv("OMP_PROC_BIND", "close", 1) != 0)
        return 1;
    execv("/proc/self/exe", arguments);
    perror("skipped: /proc/self/exe");
    return 77;
}

int main(int argc, char **argv)
{
    (void)argc;
    if (!getenv("RINGMOE_TEST_PROCESSORS")) return start_bound(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_has_all_processors),
        cmocka_unit_test(it_gives_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
