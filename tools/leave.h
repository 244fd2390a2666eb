/* SPDX-License-Identifier: MIT
 *
 * The way out of MPI, where some versions of it are stuck.
 */
#ifndef TOOLS_LEAVE_H
#define TOOLS_LEAVE_H

#include <stdbool.h>

/* MPI_Finalize. are_all_done: no rank does anything but this any more, so if it takes long the
 * process ends without it, after a line on stderr, with `status`. */
void leave_mpi(bool are_all_done, int n_nodes, int status);

#endif
