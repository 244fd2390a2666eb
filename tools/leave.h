/* SPDX-License-Identifier: MIT
 *
 * The way out of MPI, where some versions of it are stuck.
 */
#ifndef TOOLS_LEAVE_H
#define TOOLS_LEAVE_H

/* MPI_Finalize, once no rank has anything else left to do: so if it takes long the process ends
 * without it, after a line on stderr, with `status`. */
void leave_mpi(int n_nodes, int status);

#endif
