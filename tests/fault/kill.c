/* SPDX-License-Identifier: MIT
 *
 * Kills a run (victim.c) in the midst of its saves, again and again, and starts it anew: each
 * start has to find a whole checkpoint, not older than the last that a save had promised.
 *
 *   kill VICTIM MPIEXEC [SEED]
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "board.h"

enum { ALONE = 150, IN_PAIRS = 60, WAIT_SECONDS = 60, MOST_ROUNDS = 1000 };

extern char **environ;

typedef struct killer {
    const char *victim, *mpiexec;
    char board_path[256], folder[256], said[256]; /* said: what the last start wrote */
    board *shared;
    uint64_t random;
    long hits, beside, rounds; /* kills within a save, of these beside training; starts */
} killer;

static uint32_t draw(killer *k)
{
    k->random ^= k->random << 13;
    k->random ^= k->random >> 7;
    k->random ^= k->random << 17;
    return (uint32_t)(k->random >> 32);
}

static void sleep_microseconds(long microseconds)
{
    struct timespec time = {microseconds / 1000000, microseconds % 1000000 * 1000};
    nanosleep(&time, NULL);
}

/* One rank is started as it is, several by mpiexec. */
static pid_t start(killer *k, int n_ranks, const char *how)
{
    char ranks[8];
    pid_t pid = -1;
    snprintf(ranks, sizeof ranks, "%d", n_ranks);
    const char *words[] = {k->mpiexec,    "-n",      ranks, k->victim,
                           k->board_path, k->folder, how,   NULL};
    const char **first = n_ranks > 1 ? words : words + 3;
    memset(k->shared->pids, 0, sizeof k->shared->pids);
    memset(k->shared->is_saving, 0, sizeof k->shared->is_saving);
    k->shared->saves = 0;
    k->rounds++;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, k->said, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    int problem = posix_spawn(&pid, first[0], &actions, NULL, (char *const *)first, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (problem) fprintf(stderr, "%s: %s\n", first[0], strerror(problem));
    return problem ? -1 : pid;
}

/* Whether it ended in time; *status as of waitpid. */
static bool ended(pid_t pid, int *status)
{
    for (int i = 0; i < WAIT_SECONDS * 1000; i++) {
        if (waitpid(pid, status, WNOHANG) == pid) return true;
        sleep_microseconds(1000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, status, 0);
    return false;
}

static bool run_to_its_end(killer *k, const char *how)
{
    int status = 1;
    pid_t pid = start(k, 1, how);
    return pid > 0 && ended(pid, &status) && status == 0;
}

/* Until its first save is under way. False: it has ended before. */
static bool wait_for_save(const killer *k, pid_t pid)
{
    int status;
    volatile board *shared = k->shared;
    for (int i = 0; i < WAIT_SECONDS * 1000 && shared->saves == 0; i++) {
        if (waitpid(pid, &status, WNOHANG) == pid) return false;
        sleep_microseconds(200);
    }
    return shared->saves > 0;
}

/* What the last start wrote, for whoever reads the test's log. */
static void show_said(const killer *k)
{
    char line[512];
    FILE *said = fopen(k->said, "r");
    while (said && fgets(line, sizeof line, said)) fputs(line, stderr);
    if (said) fclose(said);
}

/* A start, a random moment of one of its first saves, a kill. */
static bool strike(killer *k, int n_ranks, const char *how)
{
    int status = 0;
    pid_t pid = start(k, n_ranks, how);
    if (pid < 0 || !wait_for_save(k, pid)) return false;
    double window = k->shared->save_seconds > 0 ? 3 * k->shared->save_seconds : 0.02;
    sleep_microseconds((long)(1e6 * window * draw(k) / 4294967296.0));
    int rank = (int)(draw(k) % (uint32_t)n_ranks);
    if (kill(k->shared->pids[rank], SIGKILL) != 0) return false;
    if (!ended(pid, &status)) {
        fprintf(stderr, "rank %d was killed, and the others go on\n", rank);
        return false;
    }
    k->hits += k->shared->is_saving[rank];
    k->beside += k->shared->is_saving[rank] && k->shared->is_beside[rank];
    return true;
}

/* Checkpoints of an earlier series go; a series ends before the undisturbed run does. */
static bool begin_series(killer *k)
{
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", k->folder, k->folder);
    k->shared->promised = 0;
    k->shared->save_seconds = 0;
    return system(command) == 0;
}

static bool strike_often(killer *k, int n_ranks, const char *how, long hits)
{
    bool is_well = begin_series(k);
    for (long wanted = k->hits + hits;
         is_well && k->hits < wanted && k->rounds < MOST_ROUNDS;) {
        is_well = strike(k, n_ranks, how);
        if (is_well && k->shared->loaded > BOARD_STEPS / 2) is_well = begin_series(k);
    }
    if (!is_well) fprintf(stderr, "%d ranks, %s, start %ld:\n", n_ranks, how, k->rounds);
    return is_well;
}

static bool strike_all(killer *k)
{
    return run_to_its_end(k, "undisturbed") && strike_often(k, 1, "numbered", ALONE / 2) &&
           strike_often(k, 2, "numbered", IN_PAIRS / 2) && run_to_its_end(k, "look") &&
           strike_often(k, 1, "replaced", ALONE - ALONE / 2) &&
           strike_often(k, 2, "replaced", IN_PAIRS - IN_PAIRS / 2);
}

int main(int argc, char **argv)
{
    char scratch[256], command[300];
    const char *base = getenv("TMPDIR");
    if (argc < 3) return 2;
    unsigned long long seed =
        argc > 3 ? strtoull(argv[3], NULL, 10) : (unsigned long long)time(NULL);
    snprintf(scratch, sizeof scratch, "%.200s/ringmoe-kill-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(scratch)) return 2;
    setenv("TMPDIR", scratch, 1);
    killer k = {.victim = argv[1], .mpiexec = argv[2], .random = seed * 2 + 1};
    snprintf(k.board_path, sizeof k.board_path, "%.200s/board", scratch);
    snprintf(k.folder, sizeof k.folder, "%.200s/checkpoints", scratch);
    snprintf(k.said, sizeof k.said, "%.200s/said", scratch);
    k.shared = board_open(k.board_path);
    printf("seed %llu\n", seed);
    bool is_well = k.shared && strike_all(&k);
    if (!is_well) show_said(&k);
    printf("%ld kills within a save, %ld of them beside training, in %ld starts: %s\n", k.hits,
           k.beside, k.rounds, is_well ? "passed" : "FAILED");
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command) == 0 && is_well ? 0 : 1;
}
