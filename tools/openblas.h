/* SPDX-License-Identifier: MIT
 *
 * Repairs OpenBLAS's choice of kernel. A build older than the CPU does not know it and falls
 * back to a kernel several times too slow (OpenBLAS issue 4267). The choice is made when the
 * library is loaded, from OPENBLAS_CORETYPE, so the only way is to set it and start again.
 */
#ifndef TOOLS_OPENBLAS_H
#define TOOLS_OPENBLAS_H

/* Called before MPI_Init. Returns when there is nothing to repair; else the process starts
 * again under the same id, with the environment repaired, at most once. */
void openblas_repair(char **argv);

/* The kernel OpenBLAS had picked before the repair, NULL if there was none. */
const char *openblas_repaired_from(void);

#endif
