/* SPDX-License-Identifier: MIT
 *
 * Saves among folders of others: only what a save made is ever removed, and a save whose files
 * are taken away fails as a save.
 */
#include "train_world.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 256 };

static int n_ranks, rank;
static char scratch[PATH_BYTES / 2]; /* a folder of this test's own */

static const char *path_of(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%.80s", scratch, name);
    return path;
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static void make_scratch(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%.100s/ringmoe-folders-XXXXXX", base ? base : "/tmp");
    if (rank == 0) CHECK(mkdtemp(scratch) != NULL);
    MPI_Bcast(scratch, sizeof scratch, MPI_CHAR, 0, MPI_COMM_WORLD);
}

/* Makes a folder, on rank 0, with a file of that name; NULL: empty. */
static void make_folder(const char *name, const char *file)
{
    char file_name[80];
    if (rank != 0) return;
    CHECK(mkdir(path_of(name), 0700) == 0);
    if (!file) return;
    snprintf(file_name, sizeof file_name, "%.30s/%.40s", name, file);
    FILE *made = fopen(path_of(file_name), "w");
    CHECK(made && fclose(made) == 0);
}

/* A folder of files, on rank 0. */
static void remove_folder(const char *name)
{
    MPI_Barrier(MPI_COMM_WORLD);
    DIR *folder = rank == 0 ? opendir(path_of(name)) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.') CHECK(unlinkat(dirfd(folder), entry->d_name, 0) == 0);
    if (folder) closedir(folder);
    if (rank == 0) CHECK(rmdir(path_of(name)) == 0);
}

static void create(struct world *world)
{
    struct layout layouts[MAX_LAYOUTS];
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    int n = layouts_of_axes(n_ranks, layouts);
    world_open(world, MPI_COMM_WORLD, layouts[n - 1], RINGMOE_PRECISION_FP32);
    CHECK_STATUS(world_train(world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

static void check_save(struct world *world, const char *name, ringmoe_status expected)
{
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK_STATUS(ringmoe_trainer_save(world->trainer, path_of(name)), expected,
                 ringmoe_context_error(world->context));
}

/* What a run that was killed left behind goes with the next save. */
static void leftovers_go(void)
{
    struct world world;
    create(&world);
    make_folder("step-1.tmp", "model-00001-of-00001.safetensors");
    make_folder("step-2.tmp", "config.json.tmp");
    make_folder("step-3.tmp", "manifest.json");
    check_save(&world, "step-4", RINGMOE_OK);
    CHECK(!exists("step-1.tmp") && !exists("step-2.tmp") && !exists("step-3.tmp"));
    remove_folder("step-4");
    world_close(&world);
}

/* Folders that only happen to have such a name are not a save's to empty. */
static void folders_of_others_stay(void)
{
    struct world world;
    create(&world);
    make_folder("step-1.tmp", "notes.txt");
    make_folder("step-2", NULL);
    make_folder("step-2.old", "model-00001-of-00001.txt");
    check_save(&world, "step-3", RINGMOE_OK);
    check_save(&world, "step-1", RINGMOE_ERROR_FILE);
    CHECK_TEXT(ringmoe_context_error(world.context), "step-1.tmp");
    check_save(&world, "step-2", RINGMOE_ERROR_FILE);
    CHECK_TEXT(ringmoe_context_error(world.context), "step-2.old");
    CHECK(exists("step-1.tmp/notes.txt") && exists("step-2.old/model-00001-of-00001.txt"));
    remove_folder("step-1.tmp");
    remove_folder("step-2.old");
    remove_folder("step-3");
    world_close(&world);
}

/* Waits for the first file of weights in a folder that is being filled, and takes it away. */
static void take_a_file(const char *folder)
{
    for (bool is_gone = false; !is_gone;) {
        DIR *list = opendir(path_of(folder));
        CHECK(list != NULL);
        if (!list) return;
        for (struct dirent *entry; !is_gone && (entry = readdir(list));)
            is_gone = !strncmp(entry->d_name, "model-", 6) &&
                      unlinkat(dirfd(list), entry->d_name, 0) == 0;
        closedir(list);
    }
}

/* That is no damage of a checkpoint that was read: whoever can do without the save goes on. */
static void a_file_that_vanishes_fails_the_save(void)
{
    const ringmoe_save_settings settings = {.buffer_bytes = 1 << 30};
    struct world world;
    int done = 0;
    create(&world);
    CHECK(ringmoe_trainer_save_start(world.trainer, path_of("robbed"), &settings) ==
          RINGMOE_OK);
    if (rank == 0) take_a_file("robbed.tmp");
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK_STATUS(ringmoe_trainer_save_poll(world.trainer, 1, &done, NULL), RINGMOE_ERROR_FILE,
                 ringmoe_context_error(world.context));
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK(done && !exists("robbed") && !exists("robbed.tmp"));
    CHECK_TEXT(ringmoe_context_error(world.context), "model-0000");
    world_close(&world);
}

int main(int argc, char **argv)
{
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    make_scratch();
    leftovers_go();
    folders_of_others_stay();
    a_file_that_vanishes_fails_the_save();
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) CHECK(rmdir(path_of("step-2")) == 0 || !exists("step-2"));
    if (rank == 0) CHECK(rmdir(scratch) == 0); /* so nothing else was left in it */
    return check_finish("train_folders");
}
