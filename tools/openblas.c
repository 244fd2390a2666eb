/* SPDX-License-Identifier: MIT */
#include "openblas.h"

#include <ringmoe/machine.h>

#include <stdlib.h>
#include <unistd.h>

/* Set by the first start, so that the second does not try again, whatever it finds. */
static const char guard[] = "RINGMOE_BLAS_REPAIRED_FROM";

void openblas_repair(char **argv)
{
    ringmoe_machine machine;
    if (getenv(guard) || getenv("OPENBLAS_CORETYPE")) return;
    ringmoe_machine_describe(&machine);
    if (machine.blas_suggested[0] == '\0') return;
    setenv(guard, machine.blas_kernel, 1);
    setenv("OPENBLAS_CORETYPE", machine.blas_suggested, 1);
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    execv("/proc/self/exe", argv);
    execvp(argv[0], argv);
    /* Neither worked: go on with the kernel there is. `info` will tell. */
    unsetenv(guard);
    unsetenv("OPENBLAS_CORETYPE");
}

const char *openblas_repaired_from(void)
{
    return getenv(guard);
}
