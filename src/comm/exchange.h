/* SPDX-License-Identifier: MIT
 *
 * The token exchange: rows to the ranks of their experts and back, MPI_Alltoallv both ways. An
 * exchange of counts precedes it and carries what it is for; ranks that are not in the same
 * place of the program get a named error instead of a hang or a wrong answer.
 */
#ifndef RM_EXCHANGE_H
#define RM_EXCHANGE_H

#include "comm/context.h"

/* Sends send[r * n .. +n) to rank r and receives recv[r * n .. +n) from it: n counts for each
 * pair of ranks. Collective. MISMATCH on every rank, naming two ranks and their labels, when
 * labels differ. `workspace` of rm_exchange_counts_workspace(axis, n) int32. Time goes to
 * times->wait. */
ringmoe_status rm_exchange_counts(const rm_axis *axis, rm_label label, int n,
                                  const int32_t *send, int32_t *recv, int32_t *workspace,
                                  rm_comm_times *times, rm_error *error);
int64_t rm_exchange_counts_workspace(const rm_axis *axis, int n);

/* Sends send_rows[r] rows of `width` to rank r, taken one after the other from `send`; receives
 * likewise. Collective; the counts agree. More than 2^31 bytes are fine. Time goes to
 * times->exchange. `send` and `recv` do not overlap. */
ringmoe_status rm_exchange_rows(const rm_axis *axis, int64_t width, const rm_real *send,
                                const int64_t *send_rows, rm_real *recv,
                                const int64_t *recv_rows, rm_comm_times *times,
                                rm_error *error);

#endif
