/* SPDX-License-Identifier: MIT
 *
 * What is taken from a checkpoint beside going on with it: its weights alone for a new run,
 * what it says of itself, whether it is whole; and going on with other settings than it was
 * made with, where that is allowed. What is refused leaves the trainer as it was.
 */
#include "train_world.h"

#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

#include "format/manifest.h"

enum { PATH_BYTES = 256, SAVED_STEPS = 2, NEW_STEPS = 2 };

static int n_ranks, rank;
static char scratch[PATH_BYTES / 2], saved[PATH_BYTES];
static const struct layout alone = {.data = 1, .expert = 1, .threads = 1};

/* Of a checkpoint's file; two paths live at a time. */
static const char *file_of(const char *name)
{
    static char paths[2][2 * PATH_BYTES];
    static int turn;
    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", saved, name);
    return paths[turn];
}

static void make_scratch(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(scratch, sizeof scratch, "%s/ringmoe-weights-XXXXXX", base ? base : "/tmp");
    if (rank == 0 && !mkdtemp(scratch)) check_report("mkdtemp", __FILE__, __LINE__, scratch);
    MPI_Bcast(scratch, sizeof scratch, MPI_CHAR, 0, MPI_COMM_WORLD);
    snprintf(saved, sizeof saved, "%s/saved", scratch);
}

static void remove_scratch(void)
{
    MPI_Barrier(MPI_COMM_WORLD);
    DIR *folder = rank == 0 ? opendir(saved) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        unlink(file_of(entry->d_name));
    if (folder) closedir(folder);
    if (rank == 0) CHECK(rmdir(saved) == 0 && rmdir(scratch) == 0);
}

/* On rank 0, all ranks waiting before and after. */
static void on_first_rank(bool done)
{
    CHECK(rank != 0 || done);
    MPI_Barrier(MPI_COMM_WORLD);
}

static bool rename_file(const char *from, const char *to)
{
    MPI_Barrier(MPI_COMM_WORLD);
    return rank == 0 && rename(file_of(from), file_of(to)) == 0;
}

/* Turns the bits of a file's last byte but nine. */
static bool flip(const char *name)
{
    MPI_Barrier(MPI_COMM_WORLD);
    FILE *file = rank == 0 ? fopen(file_of(name), "r+b") : NULL;
    if (!file) return false;
    bool done = fseek(file, -10, SEEK_END) == 0;
    int byte = fgetc(file);
    done = done && fseek(file, -10, SEEK_END) == 0 && fputc(byte ^ 0xff, file) != EOF;
    return fclose(file) == 0 && done;
}

/* --- worlds ---------------------------------------------------------------------------------
 */

/* `bias`: of the routers, which only a checkpoint has, not a foreign folder. */
static void create(struct world *world, MPI_Comm comm, struct layout layout,
                   ringmoe_precision precision, bool bias, double lr)
{
    ringmoe_model_config config = small_config();
    ringmoe_train_settings settings = small_settings();
    settings.reproducible = true;
    settings.lr = lr;
    if (!bias) config.router_bias_rate = 0;
    world_open(world, comm, layout, precision);
    CHECK_STATUS(world_train(world, &config, &settings), RINGMOE_OK,
                 ringmoe_context_error(world->context));
}

static void hash_of(struct world *world, char hash[17])
{
    CHECK(ringmoe_trainer_weights_hash(world->trainer, hash) == RINGMOE_OK);
}

static struct layout some_layout(void)
{
    struct layout layouts[MAX_LAYOUTS];
    return layouts[layouts_of_axes(n_ranks, layouts) - 1];
}

static void save_steps(bool bias, char hash[17])
{
    struct world world;
    struct curve curve;
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32, bias, 0.01);
    world_run(&world, 0, SAVED_STEPS, &curve);
    CHECK_STATUS(ringmoe_trainer_save(world.trainer, saved), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    hash_of(&world, hash);
    world_close(&world);
}

/* --- weights --------------------------------------------------------------------------------
 */

/* The first steps of a new run from the saved weights. */
static void begin_with_them(MPI_Comm comm, struct layout layout, bool bias, const char *hash,
                            struct curve *curve)
{
    struct world world;
    char loaded[17];
    create(&world, comm, layout, RINGMOE_PRECISION_FP32, bias, 0.01);
    CHECK_STATUS(ringmoe_trainer_load_weights(world.trainer, saved), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_steps_done(world.trainer) == 0);
    hash_of(&world, loaded);
    CHECK(!strcmp(loaded, hash));
    world_run(&world, 0, NEW_STEPS, curve);
    CHECK(ringmoe_trainer_load_weights(world.trainer, saved) == RINGMOE_ERROR_STATE);
    world_close(&world);
}

/* Every layout makes the same of them. */
static void new_runs_begin_with_them(bool bias, const char *hash)
{
    struct layout layouts[MAX_LAYOUTS];
    struct curve expected, curve;
    int n_layouts = layouts_of_axes(n_ranks, layouts);
    begin_with_them(MPI_COMM_SELF, alone, bias, hash, &expected);
    for (int i = 0; i<n_layouts; i += n_layouts> 1 ? n_layouts - 1 : 1) {
        begin_with_them(MPI_COMM_WORLD, layouts[i], bias, hash, &curve);
        check_same_steps(&curve, &expected, 0, NEW_STEPS);
    }
}

/* Status and message, and the weights stay. `restore`: instead of taking the weights alone. */
static void check_refused(struct world *world, bool restore, ringmoe_status expected,
                          const char *message)
{
    char before[17], after[17];
    hash_of(world, before);
    ringmoe_status status = restore ? ringmoe_trainer_restore(world->trainer, saved)
                                    : ringmoe_trainer_load_weights(world->trainer, saved);
    const char *text = ringmoe_context_error(world->context);
    if (status != expected || !strstr(text, message))
        check_report(message, __FILE__, __LINE__, text);
    hash_of(world, after);
    CHECK(!strcmp(before, after));
    CHECK(ringmoe_trainer_steps_done(world->trainer) == 0);
}

/* Damage that a restore found while it read values: nothing goes on from there. */
static void check_of_no_use(struct world *world, const char *damaged)
{
    CHECK(ringmoe_trainer_restore(world->trainer, saved) == RINGMOE_ERROR_FORMAT);
    const char *text = ringmoe_context_error(world->context);
    if (!strstr(text, damaged)) check_report(damaged, __FILE__, __LINE__, text);
    CHECK(ringmoe_trainer_steps_done(world->trainer) == 0);
    CHECK(ringmoe_trainer_step(world->trainer, NULL) == RINGMOE_ERROR_STATE);
    CHECK(ringmoe_trainer_save(world->trainer, file_of("mixed")) == RINGMOE_ERROR_STATE);
}

static void damaged_weights_are_refused(void)
{
    char first[PATH_BYTES] = "";
    struct world world;
    DIR *folder = opendir(saved);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (!strncmp(entry->d_name, "model-00001", strlen("model-00001")))
            snprintf(first, sizeof first, "%s", entry->d_name);
    if (folder) closedir(folder);
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32, true, 0.01);
    on_first_rank(flip(first));
    check_refused(&world, false, RINGMOE_ERROR_FORMAT, first);
    on_first_rank(flip(first));
    on_first_rank(rename_file("state.json", "elsewhere"));
    check_refused(&world, false, RINGMOE_ERROR_FORMAT, "state.json");
    on_first_rank(rename_file("elsewhere", "state.json"));
    on_first_rank(rename_file("manifest.json", "elsewhere"));
    check_refused(&world, true, RINGMOE_ERROR_FORMAT, "no manifest.json");
    on_first_rank(rename_file("elsewhere", "manifest.json"));
    world_close(&world);
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32, false, 0.01);
    check_refused(&world, true, RINGMOE_ERROR_ARGUMENT, "router_bias_rate is 0.01 there and 0");
    world_close(&world);
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32, true, 0.01);
    on_first_rank(flip(first));
    check_of_no_use(&world, first);
    on_first_rank(flip(first));
    CHECK_STATUS(ringmoe_trainer_restore(world.trainer, saved), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_step(world.trainer, NULL) == RINGMOE_OK);
    world_close(&world);
}

/* As if a faulty program had written it: the manifest fits what is there. */
static bool list_again(const char *left_out)
{
    rm_file_manifest old, listed = {0};
    rm_error error;
    char *text = NULL;
    int64_t size = 0;
    bool done = rm_file_manifest_read(saved, &old, &error) == RINGMOE_OK;
    for (int i = 0; i < old.n_files && done; i++)
        if (strncmp(old.files[i].name, left_out, strlen(left_out)))
            done = rm_file_manifest_add(&listed, old.files[i].name, old.files[i].bytes,
                                        old.files[i].hashes, old.files[i].n_blocks,
                                        &error) == RINGMOE_OK;
    done = done && rm_file_manifest_text(&listed, &text, &size, &error) == RINGMOE_OK;
    FILE *file = done ? fopen(file_of("manifest.json"), "w") : NULL;
    done = file && fwrite(text, 1, (size_t)size, file) == (size_t)size && fclose(file) == 0;
    free(text);
    rm_file_manifest_free(&old);
    rm_file_manifest_free(&listed);
    return done;
}

/* A whole checkpoint that lacks moments is none to go on from, but its weights are good. */
static void missing_tensors_are_named(const char *hash)
{
    struct world world;
    char loaded[17];
    MPI_Barrier(MPI_COMM_WORLD);
    on_first_rank(rank == 0 && list_again("optimizer-00001"));
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32, true, 0.01);
    check_refused(&world, true, RINGMOE_ERROR_FORMAT, "tensor exp_avg");
    CHECK_STATUS(ringmoe_trainer_load_weights(world.trainer, saved), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    hash_of(&world, loaded);
    CHECK(!strcmp(loaded, hash));
    world_close(&world);
}

/* --- what it says of itself ------------------------------------------------------------------
 */

static void it_describes_itself(void)
{
    struct layout layout = some_layout();
    struct world world;
    ringmoe_checkpoint_info info;
    ringmoe_model_config config = small_config();
    int64_t bytes = 0;
    world_open(&world, MPI_COMM_WORLD, layout, RINGMOE_PRECISION_BF16);
    CHECK_STATUS(ringmoe_checkpoint_describe(world.context, saved, &info), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(info.step == SAVED_STEPS && info.samples_seen == SAVED_STEPS * 16 && info.seed == 5);
    CHECK(info.parameters == ringmoe_model_config_parameters(&config));
    CHECK(info.n_tensors > 0 && info.n_files >= 5 && !strcmp(info.precision, "fp32"));
    CHECK(info.pipeline == layout.pipeline && info.data == layout.data);
    CHECK(info.expert == layout.expert && info.tensor == layout.tensor);
    CHECK(strlen(info.weights_checksum) == 16);
    CHECK_STATUS(ringmoe_checkpoint_verify(world.context, saved, &bytes), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(bytes == info.bytes);
    on_first_rank(flip("config.json"));
    CHECK(ringmoe_checkpoint_describe(world.context, saved, &info) == RINGMOE_OK);
    CHECK(ringmoe_checkpoint_verify(world.context, saved, NULL) == RINGMOE_ERROR_FORMAT);
    CHECK_TEXT(ringmoe_context_error(world.context), "config.json");
    on_first_rank(flip("config.json"));
    CHECK(ringmoe_checkpoint_describe(world.context, NULL, &info) == RINGMOE_ERROR_ARGUMENT);
    CHECK(ringmoe_checkpoint_describe(world.context, scratch, &info) == RINGMOE_ERROR_FORMAT);
    CHECK(ringmoe_checkpoint_verify(world.context, "/nothing", NULL) == RINGMOE_ERROR_FILE);
    CHECK(ringmoe_checkpoint_describe(NULL, saved, &info) == RINGMOE_ERROR_ARGUMENT);
    world_close(&world);
}

/* --- going on with other settings ------------------------------------------------------------
 */

/* Rate and precision may change: the weights are the saved ones, and what follows is what the
 * new settings make of them. */
static void rate_and_precision_may_change(const char *hash)
{
    struct world world;
    ringmoe_step_metrics metrics;
    char loaded[17];
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_BF16, true, 0.02);
    CHECK_STATUS(ringmoe_trainer_restore(world.trainer, saved), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_steps_done(world.trainer) == SAVED_STEPS);
    hash_of(&world, loaded);
    CHECK(!strcmp(loaded, hash));
    CHECK(ringmoe_trainer_step(world.trainer, &metrics) == RINGMOE_OK);
    CHECK(metrics.step == SAVED_STEPS + 1 && metrics.lr > 0.01);
    world_close(&world);
}

/* What Hugging Face's own library writes: no manifest, no state, no moments. */
static void a_foreign_folder_will_do(void)
{
    char hash[17];
    save_steps(false, hash);
    MPI_Barrier(MPI_COMM_WORLD);
    if (rank == 0)
        CHECK(unlink(file_of("manifest.json")) == 0 && unlink(file_of("state.json")) == 0);
    MPI_Barrier(MPI_COMM_WORLD);
    new_runs_begin_with_them(false, hash);
    struct world world;
    create(&world, MPI_COMM_WORLD, some_layout(), RINGMOE_PRECISION_FP32, true, 0.01);
    check_refused(&world, false, RINGMOE_ERROR_FILE, "state.json");
    world_close(&world);
}

int main(int argc, char **argv)
{
    char hash[17];
    MPI_Init(&argc, &argv);
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    make_scratch();
    save_steps(true, hash);
    new_runs_begin_with_them(true, hash);
    it_describes_itself();
    rate_and_precision_may_change(hash);
    damaged_weights_are_refused();
    missing_tensors_are_named(hash);
    a_foreign_folder_will_do();
    remove_scratch();
    return check_finish("train_weights");
}
