/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: saved on one layout and continued on another the run goes on as if it had never
 * stopped; damaged, foreign and unwritable ones are refused and leave everything as it was.
 */
#include "train_world.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCRATCH_BYTES = 128, PATH_BYTES = 256 };

static int n_ranks, rank;
static char scratch[SCRATCH_BYTES]; /* a folder of this test's own */

static const char *path_of(const char *name)
{
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static void make_scratch(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/ringmoe-checkpoint-XXXXXX", base ? base : "/tmp");
    if (rank == 0 && !mkdtemp(scratch)) check_report("mkdtemp", __FILE__, __LINE__, scratch);
    MPI_Bcast(scratch, sizeof scratch, MPI_CHAR, 0, MPI_COMM_WORLD);
}

/* A folder of files. */
static void remove_folder(const char *name)
{
    char path[2 * PATH_BYTES];
    DIR *folder = opendir(path_of(name));
    if (!folder) {
        check_report("opendir", __FILE__, __LINE__, path_of(name));
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", path_of(name), entry->d_name);
        CHECK(unlink(path) == 0);
    }
    closedir(folder);
    CHECK(rmdir(path_of(name)) == 0);
}

static void remove_scratch(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != 0) return;
    remove_folder("saved");
    CHECK(rmdir(scratch) == 0); /* so nothing else was left in it */
}

/* The checksum of the weights in a checkpoint's state.json. */
static void read_checksum(const char *name, char checksum[17])
{
    char text[8192] = "", file_name[64];
    snprintf(file_name, sizeof file_name, "%s/state.json", name);
    FILE *file = fopen(path_of(file_name), "r");
    CHECK(file && fread(text, 1, sizeof text - 1, file) > 0 && fclose(file) == 0);
    const char *found = strstr(text, "weights_checksum");
    CHECK(found && sscanf(found, "weights_checksum\": \"%16[0-9a-f]", checksum) == 1);
}

/* A trainer whose bits do not depend on the tensor axis either. */
static void create(struct world *world, MPI_Comm comm, struct layout layout,
                   ringmoe_precision precision)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    settings.reproducible = true;
    world_open(world, comm, layout, precision);
    CHECK_STATUS(world_train(world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

/* One that any number of ranks has. */
static struct layout some_layout(void)
{
    struct layout layouts[MAX_LAYOUTS];
    int n = layouts_of_axes(n_ranks, layouts);
    return layouts[n - 1];
}

static void check_checksum(struct layout layout, int i, const char *name);

/* Two steps on one layout, saved; two more on the other. */
static void check_continued(struct layout from, struct layout to, ringmoe_precision precision,
                            const struct curve *expected)
{
    static int n_checked;
    struct world world;
    struct curve curve;
    create(&world, MPI_COMM_WORLD, from, precision);
    world_run(&world, 0, 2, &curve);
    CHECK_STATUS(ringmoe_trainer_save(world.trainer, path_of("saved")), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(!exists("saved.tmp") && !exists("saved.old"));
    if (precision == RINGMOE_PRECISION_FP32) check_checksum(from, n_checked++, "saved");
    world_run(&world, 2, CURVE_STEPS, &curve);
    check_same_steps(&curve, expected, 0, CURVE_STEPS);
    world_close(&world);

    create(&world, MPI_COMM_WORLD, to, precision);
    CHECK_STATUS(ringmoe_trainer_restore(world.trainer, path_of("saved/")), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_steps_done(world.trainer) == 2);
    world_run(&world, 2, CURVE_STEPS, &curve);
    check_same_steps(&curve, expected, 2, CURVE_STEPS);
    world_close(&world);
}

static void run_alone(ringmoe_precision precision, struct curve *curve)
{
    struct world alone;
    create(&alone, MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1},
           precision);
    world_run(&alone, 0, CURVE_STEPS, curve);
    world_close(&alone);
}

/* From each layout to the next, round all of them; or, in short, from the first to the last. */
static void compare_layouts(ringmoe_precision precision, bool in_short)
{
    struct curve expected;
    struct layout layouts[MAX_LAYOUTS];
    run_alone(precision, &expected);
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    if (in_short) check_continued(layouts[0], layouts[n_layouts - 1], precision, &expected);
    for (int i = 0; i < n_layouts && !in_short; i++)
        check_continued(layouts[i], layouts[(i + 1) % n_layouts], precision, &expected);
}

/* The last checkpoint of this test, by many ranks, on one rank alone. */
static void continue_alone(const struct curve *expected)
{
    struct world alone;
    struct curve curve;
    create(&alone, MPI_COMM_SELF, (struct layout){.data = 1, .expert = 1, .threads = 1},
           RINGMOE_PRECISION_FP32);
    CHECK_STATUS(ringmoe_trainer_restore(alone.trainer, path_of("saved")), RINGMOE_OK,
                 ringmoe_context_error(alone.context));
    world_run(&alone, 2, CURVE_STEPS, &curve);
    check_same_steps(&curve, expected, 2, CURVE_STEPS);
    world_close(&alone);
}

static void create_with_global_balance(struct world *world, MPI_Comm comm, struct layout layout)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    config.router_balance_global = 1;
    settings.reproducible = true;
    world_open(world, comm, layout, RINGMOE_PRECISION_FP32);
    CHECK_STATUS(world_train(world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

/* The balance loss of the third step takes the counts of the second, which are in the file. */
static void the_global_balance_goes_on(const struct curve *local)
{
    struct layout layouts[MAX_LAYOUTS];
    struct curve expected, curve;
    struct world world;
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    create_with_global_balance(&world, MPI_COMM_SELF,
                               (struct layout){.data = 1, .expert = 1, .threads = 1});
    world_run(&world, 0, CURVE_STEPS, &expected);
    CHECK(strcmp(expected.hash, local->hash) != 0);
    world_close(&world);
    create_with_global_balance(&world, MPI_COMM_WORLD, layouts[0]);
    world_run(&world, 0, 2, &curve);
    CHECK_STATUS(ringmoe_trainer_save(world.trainer, path_of("saved")), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    world_close(&world);
    create_with_global_balance(&world, MPI_COMM_WORLD, layouts[n_layouts - 1]);
    CHECK_STATUS(ringmoe_trainer_restore(world.trainer, path_of("saved")), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    world_run(&world, 2, CURVE_STEPS, &curve);
    check_same_steps(&curve, &expected, 0, CURVE_STEPS);
    world_close(&world);
}

/* Restoring fails with a message, and the trainer goes on as if nothing had been tried. */
static void check_not_restored(struct world *world, const char *name, ringmoe_status expected,
                               const char *message)
{
    char before[17], after[17];
    CHECK(ringmoe_trainer_weights_hash(world->trainer, before) == RINGMOE_OK);
    CHECK_STATUS(ringmoe_trainer_restore(world->trainer, path_of(name)), expected,
                 ringmoe_context_error(world->context));
    if (!strstr(ringmoe_context_error(world->context), message))
        check_report(message, __FILE__, __LINE__, ringmoe_context_error(world->context));
    CHECK(ringmoe_trainer_weights_hash(world->trainer, after) == RINGMOE_OK);
    CHECK(!strcmp(before, after));
    CHECK(ringmoe_trainer_steps_done(world->trainer) == 0);
}

/* Turns the bits of one byte, so far from the end, and turns them back. */
static void flip_byte(const char *name, long from_end)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        FILE *file = fopen(path_of(name), "r+b");
        CHECK(file && fseek(file, -from_end, SEEK_END) == 0);
        int byte = fgetc(file);
        CHECK(fseek(file, -from_end, SEEK_END) == 0 && fputc(byte ^ 0xff, file) != EOF);
        CHECK(fclose(file) == 0);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void bad_checkpoints_are_refused(void)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    struct layout layout = some_layout();
    struct world world;
    create(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_FP32);
    check_not_restored(&world, "nothing", RINGMOE_ERROR_FILE, "nothing");
    flip_byte("saved/state.json", 100);
    check_not_restored(&world, "saved", RINGMOE_ERROR_FORMAT, "state.json");
    flip_byte("saved/state.json", 100);
    flip_byte("saved/manifest.json", 30);
    check_not_restored(&world, "saved", RINGMOE_ERROR_FORMAT, "manifest.json");
    flip_byte("saved/manifest.json", 30);
    world_close(&world);

    settings.seed = 6;
    settings.reproducible = true;
    world_open(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_FP32);
    CHECK(world_train(&world, &config, &settings) == RINGMOE_OK);
    check_not_restored(&world, "saved", RINGMOE_ERROR_ARGUMENT, "seed");
    world_close(&world);
}

/* Of each layout the same weights have the same checksum. */
static void check_checksum(struct layout layout, int i, const char *name)
{
    static char first[17];
    char checksum[17] = "";
    MPI_Barrier(MPI_COMM_WORLD);
    read_checksum(name, checksum);
    if (i == 0) memcpy(first, checksum, sizeof first);
    if (strcmp(first, checksum))
        check_report("another layout, another checksum", __FILE__, __LINE__, checksum);
    MPI_Barrier(MPI_COMM_WORLD);
}

/* A save beside training is of the step it was started after, and disturbs nothing. */
static void check_beside_training(struct layout layout, int64_t buffer_bytes,
                                  const struct curve *expected)
{
    const ringmoe_save_settings settings = {.buffer_bytes = buffer_bytes};
    ringmoe_save_result result = {0};
    struct world world;
    struct curve curve;
    int done = 0;
    create(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_FP32);
    CHECK(ringmoe_trainer_save_poll(world.trainer, 0, &done, &result) == RINGMOE_OK && done);
    CHECK(ringmoe_trainer_save_start(world.trainer, path_of("beside"), NULL) ==
          RINGMOE_ERROR_ARGUMENT);
    CHECK(ringmoe_trainer_save_reserve(world.trainer, NULL) == RINGMOE_ERROR_ARGUMENT);
    world_run(&world, 0, 2, &curve);
    for (int twice = 0; twice < 2; twice++)
        CHECK_STATUS(ringmoe_trainer_save_reserve(world.trainer, &settings), RINGMOE_OK,
                     ringmoe_context_error(world.context));
    CHECK_STATUS(ringmoe_trainer_save_start(world.trainer, path_of("beside"), &settings),
                 RINGMOE_OK, ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_save(world.trainer, path_of("other")) == RINGMOE_ERROR_STATE);
    CHECK(ringmoe_trainer_save_reserve(world.trainer, &settings) == RINGMOE_ERROR_STATE);
    CHECK(!exists("beside") && exists("beside.tmp"));
    MPI_Barrier(MPI_COMM_WORLD);
    world_run(&world, 2, 3, &curve);
    CHECK(ringmoe_trainer_save_poll(world.trainer, 0, &done, &result) == RINGMOE_OK);
    world_run(&world, 3, CURVE_STEPS, &curve);
    check_same_steps(&curve, expected, 0, CURVE_STEPS);
    if (!done)
        CHECK_STATUS(ringmoe_trainer_save_poll(world.trainer, 1, &done, &result), RINGMOE_OK,
                     ringmoe_context_error(world.context));
    CHECK(done && exists("beside") && !exists("beside.tmp"));
    CHECK(result.step == 2 && result.seconds >= result.stalled_seconds);
    CHECK(result.bytes > ringmoe_trainer_checkpoint_bytes(world.trainer));
    world_close(&world);
    check_checksum(layout, 1, "beside");

    create(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_FP32);
    CHECK_STATUS(ringmoe_trainer_restore(world.trainer, path_of("beside")), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_steps_done(world.trainer) == 2);
    world_run(&world, 2, CURVE_STEPS, &curve);
    check_same_steps(&curve, expected, 2, CURVE_STEPS);
    world_close(&world);
    if (rank == 0) remove_folder("beside");
    MPI_Barrier(MPI_COMM_WORLD);
}

/* With rings smaller than any tensor, and as large as everything. */
static void saves_go_on_beside_training(const struct curve *expected)
{
    struct layout layouts[MAX_LAYOUTS];
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    for (int i = 0; i < n_layouts; i++)
        check_beside_training(layouts[i], i % 2 ? 1 : (int64_t)1 << 30, expected);
}

/* A trainer that goes away takes the save it had begun with it. */
static void an_unfinished_save_leaves_nothing(void)
{
    const ringmoe_save_settings settings = {.buffer_bytes = 1 << 20};
    struct world world;
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32);
    CHECK(ringmoe_trainer_save_start(world.trainer, path_of("given_up"), &settings) ==
          RINGMOE_OK);
    world_close(&world);
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK(!exists("given_up") && !exists("given_up.tmp"));
}

/* What a run that was killed left behind goes with the next save; other folders stay. */
static void leftovers_go_with_the_next_save(void)
{
    static const char *const left[] = {"step-000007.tmp", "step-000008.old", "stop-000007.tmp",
                                       "step-last.tmp"};
    struct world world;
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32);
    for (int i = 0; i < 4 && rank == 0; i++) CHECK(mkdir(path_of(left[i]), 0700) == 0);
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK_STATUS(ringmoe_trainer_save(world.trainer, path_of("step-000008")), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(!exists(left[0]) && !exists(left[1]) && exists(left[2]) && exists(left[3]));
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) {
        remove_folder("step-000008");
        CHECK(rmdir(path_of(left[2])) == 0 && rmdir(path_of(left[3])) == 0);
    }
    world_close(&world);
}

/* The folder goes away while it is being filled. */
static void a_folder_that_vanishes_is_told(const struct curve *expected)
{
    const ringmoe_save_settings settings = {.buffer_bytes = 1 << 30};
    struct world world;
    struct curve curve;
    char taken[PATH_BYTES];
    int done = 0;
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32);
    world_run(&world, 0, 2, &curve);
    CHECK(ringmoe_trainer_save_start(world.trainer, path_of("gone"), &settings) == RINGMOE_OK);
    MPI_Barrier(MPI_COMM_WORLD);
    snprintf(taken, sizeof taken, "%s/taken", scratch);
    if (rank == 0) CHECK(rename(path_of("gone.tmp"), taken) == 0);
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK(ringmoe_trainer_save_poll(world.trainer, 1, &done, NULL) == RINGMOE_ERROR_FILE);
    CHECK(done && !exists("gone") && !exists("gone.tmp"));
    CHECK_TEXT(ringmoe_context_error(world.context), "gone");
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) remove_folder("taken");
    world_run(&world, 2, CURVE_STEPS, &curve);
    check_same_steps(&curve, expected, 0, CURVE_STEPS);
    world_close(&world);
}

/* As if the process had ended between the two renamings of a save. */
static void a_cut_off_save_is_undone(void)
{
    struct world world;
    char old[PATH_BYTES];
    snprintf(old, sizeof old, "%s/saved.old", scratch);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) CHECK(rename(path_of("saved"), old) == 0);
    MPI_Barrier(MPI_COMM_WORLD);
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32);
    CHECK_STATUS(ringmoe_trainer_restore(world.trainer, path_of("saved")), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_steps_done(world.trainer) == 2);
    CHECK(exists("saved/state.json") && !exists("saved.old"));
    world_close(&world);
}

/* Files of rank 0 may not grow beyond 64 KiB, as on a disk that is almost full. */
static void limit_files(bool limited)
{
    struct rlimit limit;
    if (rank != 0) return;
    CHECK(signal(SIGXFSZ, limited ? SIG_IGN : SIG_DFL) != SIG_ERR);
    CHECK(getrlimit(RLIMIT_FSIZE, &limit) == 0);
    limit.rlim_cur = limited ? 1 << 16 : limit.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void a_full_disk_leaves_nothing_and_training_goes_on(const struct curve *expected)
{
    struct world world;
    struct curve curve;
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32);
    world_run(&world, 0, 2, &curve);
    limit_files(true);
    CHECK(ringmoe_trainer_save(world.trainer, path_of("full")) == RINGMOE_ERROR_FILE);
    CHECK_TEXT(ringmoe_context_error(world.context), "full");
    CHECK(ringmoe_trainer_save(world.trainer, path_of("saved")) == RINGMOE_ERROR_FILE);
    limit_files(false);
    MPI_Barrier(MPI_COMM_WORLD);
    CHECK(!exists("full") && !exists("full.tmp"));
    CHECK(exists("saved/state.json") && !exists("saved.tmp"));
    world_run(&world, 2, CURVE_STEPS, &curve);
    check_same_steps(&curve, expected, 0, CURVE_STEPS);
    world_close(&world);
}

/* A folder that is not a checkpoint is not replaced. */
static void foreign_folders_are_kept(void)
{
    struct world world;
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32);
    if (rank == 0) {
        CHECK(mkdir(path_of("mine"), 0700) == 0);
        FILE *file = fopen(path_of("mine/letter"), "w");
        CHECK(file && fclose(file) == 0);
    }
    CHECK(ringmoe_trainer_save(world.trainer, path_of("mine")) == RINGMOE_ERROR_FILE);
    CHECK_TEXT(ringmoe_context_error(world.context), "is not a checkpoint");
    CHECK(exists("mine/letter"));
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0) CHECK(unlink(path_of("mine/letter")) == 0 && rmdir(path_of("mine")) == 0);
    CHECK(ringmoe_trainer_save(world.trainer, "") == RINGMOE_ERROR_ARGUMENT);
    world_close(&world);
}

int main(int argc, char **argv)
{
    struct curve expected;
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    make_scratch();
    run_alone(RINGMOE_PRECISION_FP32, &expected);
    the_global_balance_goes_on(&expected);
    compare_layouts(RINGMOE_PRECISION_BF16, true);
    compare_layouts(RINGMOE_PRECISION_FP32, false);
    continue_alone(&expected);
    bad_checkpoints_are_refused();
    a_cut_off_save_is_undone();
    saves_go_on_beside_training(&expected);
    an_unfinished_save_leaves_nothing();
    leftovers_go_with_the_next_save();
    a_folder_that_vanishes_is_told(&expected);
    a_full_disk_leaves_nothing_and_training_goes_on(&expected);
    foreign_folders_are_kept();
    remove_scratch();
    return check_finish("train_checkpoint");
}
