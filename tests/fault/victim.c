/* SPDX-License-Identifier: MIT
 *
 * The run that kill.c kills: goes on from its newest checkpoint, which has to be whole and what
 * the undisturbed run had at that step, and saves after each step until it is killed.
 *
 *   victim BOARD FOLDER undisturbed|numbered|replaced|look
 *
 * numbered: a folder for each step, as `ringmoe train` has it; replaced: always the same name;
 * look: ends when the checkpoint has been loaded.
 */
#include "fault.h"

#include <dirent.h>
#include <time.h>

#include "board.h"

enum { NO_STEPS = 0, BUFFER_BYTES = 1 << 20 };

static board *shared;
static struct world world;
static char top[FAULT_PATH]; /* the folder of checkpoints */
static bool is_replaced;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void checkpoint_path(int64_t step, char path[FAULT_PATH])
{
    if (is_replaced)
        snprintf(path, FAULT_PATH, "%.200s/saved", top);
    else
        snprintf(path, FAULT_PATH, "%.200s/step-%06lld", top, (long long)step);
}

/* The newest below `limit`; temporary names do not count. */
static int64_t newest_step(int64_t limit)
{
    DIR *folder = opendir(top);
    int64_t newest = NO_STEPS;
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        char *end = NULL;
        if (strncmp(entry->d_name, "step-", 5) != 0) continue;
        int64_t step = strtoll(entry->d_name + 5, &end, 10);
        if (*end == '\0' && step > newest && step < limit) newest = step;
    }
    if (folder) closedir(folder);
    return newest;
}

static void check_weights(void)
{
    char hash[17];
    int64_t step = ringmoe_trainer_steps_done(world.trainer);
    CHECK(ringmoe_trainer_weights_hash(world.trainer, hash) == RINGMOE_OK);
    if (strcmp(hash, shared->hashes[step]) != 0)
        check_report("the weights of the undisturbed run", __FILE__, __LINE__, fault.label);
}

static void load_newest(void)
{
    char path[FAULT_PATH];
    int64_t newest = newest_step(INT64_MAX);
    MPI_Bcast(&newest, 1, MPI_INT64_T, 0, MPI_COMM_WORLD);
    checkpoint_path(newest, path);
    fault_try(60, "loading", path, (long)newest);
    if (is_replaced ? shared->promised > 0 : newest > NO_STEPS) {
        CHECK_STATUS(ringmoe_trainer_restore(world.trainer, path), RINGMOE_OK,
                     ringmoe_context_error(world.context));
        check_weights();
    }
    int64_t step = ringmoe_trainer_steps_done(world.trainer);
    if (fault.rank == 0) shared->loaded = step;
    if (step < shared->promised)
        check_report("what a save had promised", __FILE__, __LINE__, path);
}

static void one_step(void)
{
    CHECK_STATUS(ringmoe_trainer_step(world.trainer, NULL), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    check_weights();
}

/* As training does: a look after each further step. */
static void save_beside(const char *path)
{
    const ringmoe_save_settings settings = {.buffer_bytes = BUFFER_BYTES};
    int done = 0;
    CHECK_STATUS(ringmoe_trainer_save_start(world.trainer, path, &settings), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    while (!done) {
        bool is_last = ringmoe_trainer_steps_done(world.trainer) + 2 >= BOARD_STEPS;
        if (!is_last) one_step();
        CHECK_STATUS(ringmoe_trainer_save_poll(world.trainer, is_last, &done, NULL), RINGMOE_OK,
                     ringmoe_context_error(world.context));
    }
}

static void save(bool is_beside)
{
    char path[FAULT_PATH];
    int64_t step = ringmoe_trainer_steps_done(world.trainer);
    double begin = now();
    checkpoint_path(step, path);
    fault_try(60, "saving", path, (long)step);
    if (fault.rank == 0) shared->saves++;
    shared->is_beside[fault.rank] = is_beside;
    shared->is_saving[fault.rank] = 1;
    if (is_beside)
        save_beside(path);
    else
        CHECK_STATUS(ringmoe_trainer_save(world.trainer, path), RINGMOE_OK,
                     ringmoe_context_error(world.context));
    shared->is_saving[fault.rank] = 0;
    if (fault.rank != 0) return;
    shared->promised = step;
    shared->save_seconds = now() - begin;
    for (int64_t old; !is_replaced && (old = newest_step(step - 4)) > NO_STEPS;) {
        checkpoint_path(old, path);
        fault_remove(path);
    }
}

/* Until the steps of the undisturbed run are used up. */
static void save_until_killed(void)
{
    while (check_failures == 0 && ringmoe_trainer_steps_done(world.trainer) + 2 < BOARD_STEPS) {
        one_step();
        save(ringmoe_trainer_steps_done(world.trainer) % 2 == 0);
    }
}

static void run_undisturbed(void)
{
    for (int i = 1; i <= BOARD_STEPS; i++) {
        CHECK(ringmoe_trainer_step(world.trainer, NULL) == RINGMOE_OK);
        CHECK(ringmoe_trainer_weights_hash(world.trainer, shared->hashes[i]) == RINGMOE_OK);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    fault_begin(&argc, &argv);
    shared = board_open(argv[1]);
    if (!shared || fault.n_ranks > BOARD_RANKS) return 2;
    snprintf(top, sizeof top, "%s", argv[2]);
    is_replaced = strcmp(argv[3], "replaced") == 0;
    fault_open(&world, MPI_COMM_WORLD, true);
    if (strcmp(argv[3], "undisturbed") == 0) {
        run_undisturbed();
    } else {
        load_newest();
        shared->pids[fault.rank] = getpid();
        if (strcmp(argv[3], "look") != 0) save_until_killed();
    }
    world_close(&world);
    return fault_end("victim");
}
