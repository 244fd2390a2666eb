/* SPDX-License-Identifier: MIT */
#include "base/loans.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Bytes a thread copies at a time. */
static const int64_t COPIED_BYTES = 1 << 20;

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

ringmoe_status rm_loans_init(rm_loans *loans, int most, rm_error *error)
{
    *loans = (rm_loans){.room = most};
    loans->loans = calloc((size_t)most + 1, sizeof *loans->loans);
    if (loans->loans && pthread_mutex_init(&loans->lock, NULL) == 0) return RINGMOE_OK;
    free(loans->loans);
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a list of %d tensors", most);
}

void rm_loans_free(rm_loans *loans)
{
    pthread_mutex_destroy(&loans->lock);
    free(loans->loans);
}

bool rm_loans_add(rm_loans *loans, rm_loan loan)
{
    pthread_mutex_lock(&loans->lock);
    bool is_taken = loans->n < loans->room && !loans->are_over;
    if (is_taken) loans->loans[loans->n++] = loan;
    pthread_mutex_unlock(&loans->lock);
    return is_taken;
}

/* Passes over what lies before `at`. Under the lock. */
static void pass_over(rm_loans *loans, int64_t at)
{
    const rm_loan *all = loans->loans;
    while (loans->next < loans->n && all[loans->next].begin + all[loans->next].n <= at)
        loans->next++;
}

bool rm_loans_reach(rm_loans *loans, int64_t at)
{
    pthread_mutex_lock(&loans->lock);
    pass_over(loans, at);
    bool reach = !loans->are_over && loans->next < loans->n;
    pthread_mutex_unlock(&loans->lock);
    return reach;
}

void rm_loans_fetch(rm_loans *loans, int64_t at, int64_t n, const char *place, char *to)
{
    pthread_mutex_lock(&loans->lock);
    for (int64_t done = 0, run; done < n; done += run) {
        pass_over(loans, at + done);
        const rm_loan *next = &loans->loans[loans->next];
        bool has_next = !loans->are_over && loans->next < loans->n;
        int64_t into = has_next ? at + done - next->begin : -1;
        run = n - done;
        if (has_next) run = smaller(run, into < 0 ? -into : next->n - into);
        memcpy(to + done, into >= 0 ? next->bytes + into : place + done, (size_t)run);
    }
    loans->fetched = at + n;
    pthread_mutex_unlock(&loans->lock);
}

/* Of what has not been fetched every `of`-th piece. */
static void copy_share(const rm_loans *loans, int64_t number, int64_t of)
{
    int64_t turn = 0;
    for (int i = loans->next; i < loans->n; i++) {
        const rm_loan *loan = &loans->loans[i];
        int64_t at = loans->fetched > loan->begin ? loans->fetched - loan->begin : 0;
        for (int64_t run; at < loan->n; at += run) {
            run = smaller(COPIED_BYTES, loan->n - at);
            if (turn++ % of == number) memcpy(loan->place + at, loan->bytes + at, (size_t)run);
        }
    }
}

void rm_loans_end(rm_loans *loans, bool are_wanted, int n_threads)
{
    pthread_mutex_lock(&loans->lock);
    bool has_some = !loans->are_over && loans->next < loans->n;
#pragma omp parallel num_threads(n_threads) if (has_some && are_wanted)
    if (has_some && are_wanted) copy_share(loans, omp_get_thread_num(), omp_get_num_threads());
    loans->are_over = true;
    pthread_mutex_unlock(&loans->lock);
}
