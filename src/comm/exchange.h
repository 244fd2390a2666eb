/* SPDX-License-Identifier: MIT
 *
 * The exchange of counts that precedes every token exchange. It carries what it is for: ranks
 * that are not in the same place of the program get a named error instead of a hang or a wrong
 * answer. And the ranks settle on the round of the messages that follow (comm/mail.h), which
 * one of them may have begun after a failure. Rows then travel through shared memory
 * (comm/shared.h) and by messages (comm/mail.h).
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

#endif
