/* SPDX-License-Identifier: MIT
 *
 * How many cpus a rank has for itself. A cpu that several ranks of the node may use counts for
 * each of them in part: two unbound ranks on four cpus have two each, and so have two ranks
 * that are bound to two each.
 */
#ifndef TOOLS_SHARE_H
#define TOOLS_SHARE_H

#include <mpi.h>

/* From this rank's cpus as a list such as 0-3,8 and those of the other ranks of the node; 0 if
 * the system does not tell. Collective over `node`. Returns MPI's code. */
int share_of_cpus(MPI_Comm node, const char *cpus, double *share);

#endif
