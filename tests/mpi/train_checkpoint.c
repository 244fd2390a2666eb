/* SPDX-License-Identifier: MIT
 *
 * Checkpoints: saved on one layout and continued on another the run goes on as if it had never
 * stopped; damaged, foreign and unwritable ones are refused and leave everything as it was.
 */
#include "train_world.h"

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

static void remove_scratch(void)
{
    static const char *const names[] = {"config.json", "model-00001-of-00001.safetensors",
                                        "model.safetensors.index.json", "optimizer.safetensors",
                                        "state.json"};
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank != 0) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char name[64];
        snprintf(name, sizeof name, "saved/%s", names[i]);
        CHECK(unlink(path_of(name)) == 0);
    }
    CHECK(rmdir(path_of("saved")) == 0);
    CHECK(rmdir(scratch) == 0); /* so nothing else was left in it */
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

/* Two steps on one layout, saved; two more on the other. */
static void check_continued(struct layout from, struct layout to, ringmoe_precision precision,
                            const struct curve *expected)
{
    struct world world;
    struct curve curve;
    create(&world, MPI_COMM_WORLD, from, precision);
    world_run(&world, 0, 2, &curve);
    CHECK_STATUS(ringmoe_trainer_save(world.trainer, path_of("saved")), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(!exists("saved.tmp") && !exists("saved.old"));
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
    check_not_restored(&world, "nothing", RINGMOE_ERROR_FILE, "state.json");
    flip_byte("saved/model-00001-of-00001.safetensors", 100);
    check_not_restored(&world, "saved", RINGMOE_ERROR_FORMAT, "damaged");
    flip_byte("saved/model-00001-of-00001.safetensors", 100);
    flip_byte("saved/model-00001-of-00001.safetensors", 4); /* of a selection bias */
    check_not_restored(&world, "saved", RINGMOE_ERROR_FORMAT, "damaged");
    flip_byte("saved/model-00001-of-00001.safetensors", 4);
    flip_byte("saved/optimizer.safetensors", 100);
    check_not_restored(&world, "saved", RINGMOE_ERROR_FORMAT, "second moments");
    flip_byte("saved/optimizer.safetensors", 100);
    world_close(&world);

    settings.lr = 0.02;
    settings.reproducible = true;
    world_open(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_FP32);
    CHECK(world_train(&world, &config, &settings) == RINGMOE_OK);
    check_not_restored(&world, "saved", RINGMOE_ERROR_ARGUMENT, "lr 0.01, this run has 0.02");
    world_close(&world);

    create(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_BF16);
    check_not_restored(&world, "saved", RINGMOE_ERROR_ARGUMENT,
                       "precision fp32, this run has bf16");
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
    a_full_disk_leaves_nothing_and_training_goes_on(&expected);
    foreign_folders_are_kept();
    remove_scratch();
    return check_finish("train_checkpoint");
}
