/* SPDX-License-Identifier: MIT
 *
 * Bytes on their way through a ring that are not copied into it but lent: they stay where they
 * are, and the ring keeps their place free.
 *
 *   ring | copied | place of loan 0 | place of loan 1 | copied |
 *                         ^ fetched: so far the draining side has them
 *
 * The draining side fetches each byte from where it is. Before its owner changes any, he ends
 * the loans: what has not been fetched is copied into the ring then, and only that.
 */
#ifndef RM_LOANS_H
#define RM_LOANS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/status.h"

typedef struct rm_loan {
    const char *bytes; /* the owner's */
    char *place;       /* in the ring */
    int64_t begin, n;  /* `begin`: bytes of the ring before it, since the start */
} rm_loan;

typedef struct rm_loans {
    rm_loan *loans; /* in the ring's order */
    int room;       /* for so many */
    pthread_mutex_t lock;
    /* Under the lock: */
    int n, next;     /* loans before `next` have been fetched */
    int64_t fetched; /* bytes of the ring */
    bool are_over;
} rm_loans;

/* MEMORY. To be freed after success alone. */
ringmoe_status rm_loans_init(rm_loans *loans, int most, rm_error *error);
void rm_loans_free(rm_loans *loans);

/* On the filling side, before the place is shown. False: there is room for no more, or they are
 * over. */
bool rm_loans_add(rm_loans *loans, rm_loan loan);
/* Whether something at or behind `at` is lent. */
bool rm_loans_reach(rm_loans *loans, int64_t at);
/* On the draining side, in order: the ring's n bytes from `at` on to `to`; those that are not
 * lent lie at `place`. It holds the lock while it copies, so n is small: the owner may have to
 * wait for a thread that gives way. */
void rm_loans_fetch(rm_loans *loans, int64_t at, int64_t n, const char *place, char *to);
/* On the owner's side: by so many threads into the ring what has not been fetched, unless
 * nobody will fetch it. */
void rm_loans_end(rm_loans *loans, bool are_wanted, int n_threads);

#endif
