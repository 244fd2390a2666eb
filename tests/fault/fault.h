/* SPDX-License-Identifier: MIT
 *
 * What the programs of this folder share: a trainer whose steps and checkpoints cost next to
 * nothing, a folder of their own, and a line that says where a program hangs.
 */
#ifndef FAULT_H
#define FAULT_H

#include "train_world.h"

#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FAULT_PATH = 256, FAULT_MOST_STEPS = 20000 };

typedef struct fault_test {
    int rank, n_ranks;
    char scratch[128]; /* the folder */
    char label[384];   /* what is being tried */
} fault_test;

static fault_test fault;

/* Says what was being tried when the program hangs or crashes. */
static void fault_ends(int signal)
{
    const char *text = signal == SIGALRM   ? ": has taken too long\n"
                       : signal == SIGTERM ? ": was under way\n"
                                           : ": has crashed\n";
    if (write(2, fault.label, strlen(fault.label)) < 0 || write(2, text, strlen(text)) < 0)
        _exit(2);
    _exit(1);
}

/* What is tried from here on, in at most so many seconds. */
static inline void fault_try(unsigned seconds, const char *what, const char *with, long n)
{
    snprintf(fault.label, sizeof fault.label, "%s %s %ld", what, with, n);
    alarm(seconds);
}

/* A name in the test's folder; four at a time. */
static inline const char *fault_path(const char *name)
{
    static char paths[4][FAULT_PATH];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, FAULT_PATH, "%s/%s", fault.scratch, name);
    return path;
}

static inline bool fault_exists(const char *name)
{
    return access(fault_path(name), F_OK) == 0;
}

static int fault_remove_one(const char *path, const struct stat *about, int kind,
                            struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

static inline void fault_remove(const char *path)
{
    nftw(path, fault_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void fault_begin(int *argc, char ***argv)
{
    const char *base = getenv("TMPDIR");
    MPI_Init(argc, argv);
    MPI_Comm_size(MPI_COMM_WORLD, &fault.n_ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &fault.rank);
    signal(SIGALRM, fault_ends);
    signal(SIGTERM, fault_ends);
    signal(SIGABRT, fault_ends);
    signal(SIGSEGV, fault_ends);
    signal(SIGBUS, fault_ends);
    snprintf(fault.scratch, sizeof fault.scratch, "%s/ringmoe-fault-XXXXXX",
             base ? base : "/tmp");
    if (fault.rank == 0 && !mkdtemp(fault.scratch)) CHECK(!"a folder for the test");
    MPI_Bcast(fault.scratch, sizeof fault.scratch, MPI_CHAR, 0, MPI_COMM_WORLD);
}

static inline int fault_end(const char *name)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (fault.rank == 0) fault_remove(fault.scratch);
    return check_finish(name);
}

/* Dense and MoE layers and selection biases, in a few thousand parameters. */
static inline ringmoe_model_config fault_config(void)
{
    ringmoe_model_config config = small_config();
    config.vocab_size = 256;
    config.hidden_size = 16;
    config.intermediate_size = 8;
    config.dense_intermediate_size = 16;
    config.head_dim = 4;
    return config;
}

static inline ringmoe_train_settings fault_settings(void)
{
    ringmoe_train_settings settings = small_settings();
    settings.steps = FAULT_MOST_STEPS;
    settings.seq_len = 4;
    settings.global_batch = 8;
    return settings;
}

/* All ranks on the data axis, where each has a shard of the moments, or on the experts'. */
static inline void fault_open(struct world *world, MPI_Comm comm, bool by_experts)
{
    ringmoe_model_config config = fault_config();
    ringmoe_train_settings settings = fault_settings();
    int size;
    MPI_Comm_size(comm, &size);
    world_open(world, comm,
               (struct layout){.data = by_experts ? 1 : size,
                               .expert = by_experts ? size : 1,
                               .threads = 1},
               RINGMOE_PRECISION_FP32);
    CHECK_STATUS(world_train(world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

/* The call to fail after the n-th. On one rank all do; several ranks, which take much longer,
 * leave out some of the many allocations. */
static inline long fault_next(long n)
{
    return fault.n_ranks > 1 && n > 64 ? n + n / 4 : n + 1;
}

/* A save of either kind, to its end. */
static inline ringmoe_status fault_save(struct world *world, const char *folder, bool is_async)
{
    const ringmoe_save_settings settings = {.buffer_bytes = 1 << 20};
    int done = 0;
    if (!is_async) return ringmoe_trainer_save(world->trainer, folder);
    ringmoe_status status = ringmoe_trainer_save_start(world->trainer, folder, &settings);
    if (status == RINGMOE_OK)
        status = ringmoe_trainer_save_poll(world->trainer, 1, &done, NULL);
    return status;
}

#endif
