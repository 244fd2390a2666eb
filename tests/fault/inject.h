/* SPDX-License-Identifier: MIT
 *
 * A library that stands between a program and the system, by being linked or preloaded before
 * libc, and lets the n-th call of a kind fail. It counts and hits only calls that come from the
 * program itself, libringmoe or libjansson: MPI and OpenMP end the process when an allocation
 * of theirs fails.
 *
 * A program arms it by inject_arm. Where it is preloaded, the environment does:
 *
 *   INJECT=KIND:N:WHAT    the N-th call of that kind (inject.c has the words); N+: all from
 *                         then on; WHAT: ENOSPC, EIO, ..., short, kill, loop, term, usr1
 *   INJECT_RANK=R         only in this rank of an MPICH job
 *   INJECT_COUNTS=FILE    at the process's end: a line "KIND CALLS" for each kind
 *   INJECT_CLOCK=SECONDS  wall clocks jump to and fro by so much, several times a second
 */
#ifndef INJECT_H
#define INJECT_H

#include <stdbool.h>

typedef enum inject_kind {
    INJECT_OPEN,      /* open, openat, opendir, fopen */
    INJECT_READ,      /* read, pread */
    INJECT_WRITE,     /* write, pwrite, writev, pwritev */
    INJECT_SYNC,      /* fsync, fdatasync */
    INJECT_WRITEBACK, /* sync_file_range, after whose error fsync has none any more */
    INJECT_RESERVE,   /* ftruncate, fallocate, posix_fallocate */
    INJECT_CLOSE,
    INJECT_RENAME,   /* rename, renameat */
    INJECT_FOLDER,   /* mkdir, mkdirat */
    INJECT_REMOVE,   /* unlink, unlinkat, rmdir */
    INJECT_LINK,     /* symlink, symlinkat */
    INJECT_MEMORY,   /* malloc and its relatives, strdup, open_memstream */
    INJECT_MAP,      /* mmap */
    INJECT_FETCH,    /* madvise, where it brings pages of a file in */
    INJECT_THREAD,   /* pthread_create */
    INJECT_MESSAGE,  /* MPI_Isend, MPI_Iallreduce, MPI_Ialltoall, MPI_Ibcast; only signals */
    INJECT_EXCHANGE, /* of these MPI_Ialltoall, which comes before tokens go to experts */
    INJECT_KINDS
} inject_kind;

/* What happens instead of an errno. */
enum {
    INJECT_SHORT = -1,
    INJECT_KILL = -2,
    INJECT_TERM = -3,
    INJECT_USR1 = -4,
    INJECT_LOOP = -5
};

const char *inject_kind_name(inject_kind kind);
/* From now on: the n-th call of the kind, 1 the next. `what`: an errno, or one of the above. */
void inject_arm(inject_kind kind, long n, int what);
/* No call fails any more. Returns whether one did. */
bool inject_disarm(void);

/* For the files that stand in for functions: 0, or what is to happen to this call. A signal has
 * been raised already. */
int inject_strikes(inject_kind kind, const void *caller);

#endif
