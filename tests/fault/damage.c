/* SPDX-License-Identifier: MIT
 *
 * A checkpoint that is not what was written: each file cut short at every hundredth, missing,
 * too long, or that of another step; a thousand bits turned, one at a time. All of it is
 * detected by whoever looks, nothing crashes, and the trainer is left as it was, or goes on
 * with nothing until it has been restored.
 */
#include "fault.h"

#include <dirent.h>

enum { MOST_FILES = 64 };

/* One file of the good checkpoint, and of one some steps older. */
typedef struct content {
    char name[64];
    char *bytes, *older;
    long size, older_size;
} content;

static content files[MOST_FILES];
static int n_files;
static struct world world, loader; /* loader: takes the weights alone, again and again */
static char saved_weights[17], new_weights[17];
static int n_changed; /* refusals that left a trainer neither new nor restored */
static int n_flips = 1000, n_cuts = 100; /* of one rank; several take turns for fewer */

static char *read_file(const char *path, long *size)
{
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    *size = -1;
    if (!file) return NULL;
    if (fseek(file, 0, SEEK_END) == 0 && (*size = ftell(file)) >= 0)
        bytes = calloc(1, (size_t)*size + 1);
    rewind(file);
    CHECK(bytes && fread(bytes, 1, (size_t)*size, file) == (size_t)*size);
    fclose(file);
    return bytes;
}

static const char *path_in(const char *folder, const content *file)
{
    char name[128];
    snprintf(name, sizeof name, "%.16s/%.60s", folder, file->name);
    return fault_path(name);
}

/* Rank 0 writes what the others then see; fewer bytes than it has: cut short. */
static void put_file(const content *file, const char *bytes, long size)
{
    MPI_Barrier(MPI_COMM_WORLD);
    if (fault.rank == 0) {
        FILE *out = fopen(path_in("saved", file), "wb");
        CHECK(out && fwrite(bytes, 1, (size_t)size, out) == (size_t)size);
        CHECK(out && fclose(out) == 0);
    }
    MPI_Barrier(MPI_COMM_WORLD);
}

static void mend_file(const content *file)
{
    put_file(file, file->bytes, file->size);
}

static void list_files(void)
{
    DIR *folder = opendir(fault_path("saved"));
    CHECK(folder != NULL);
    for (const struct dirent *entry; folder && (entry = readdir(folder));) {
        content *file = &files[n_files];
        if (entry->d_name[0] == '.' || n_files == MOST_FILES) continue;
        snprintf(file->name, sizeof file->name, "%.60s", entry->d_name);
        file->bytes = read_file(path_in("saved", file), &file->size);
        file->older = read_file(path_in("older", file), &file->older_size);
        n_files++;
    }
    if (folder) closedir(folder);
    CHECK(n_files >= 6);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const content *)a)->name, ((const content *)b)->name);
}

static void hash_weights(struct world *of, char hash[17])
{
    CHECK(ringmoe_trainer_weights_hash(of->trainer, hash) == RINGMOE_OK);
}

static void make_checkpoints(void)
{
    struct world maker;
    fault_open(&maker, MPI_COMM_WORLD, true);
    for (int i = 0; i < 4; i++) {
        CHECK(ringmoe_trainer_step(maker.trainer, NULL) == RINGMOE_OK);
        if (i % 2 == 1)
            CHECK_STATUS(fault_save(&maker, fault_path(i == 1 ? "older" : "saved"), false),
                         RINGMOE_OK, ringmoe_context_error(maker.context));
    }
    hash_weights(&maker, saved_weights);
    world_close(&maker);
    MPI_Barrier(MPI_COMM_WORLD);
    list_files();
    qsort(files, (size_t)n_files, sizeof files[0], by_name);
    MPI_Barrier(MPI_COMM_WORLD);
}

static void check_refused(const char *who, const struct world *of, ringmoe_status status)
{
    const char *text = ringmoe_context_error(of->context);
    char line[1024];
    if ((status == RINGMOE_ERROR_FORMAT || status == RINGMOE_ERROR_FILE) && text[0]) return;
    snprintf(line, sizeof line, "%s: %s: status %d, %.500s", fault.label, who, (int)status,
             text);
    check_report("damage is detected", __FILE__, __LINE__, line);
}

/* A model is loaded from a folder that need not be a checkpoint either. */
static void check_model(bool is_needed)
{
    ringmoe_model *model;
    ringmoe_status status = ringmoe_model_load(loader.mesh, fault_path("saved"), NULL, &model);
    if (is_needed || status != RINGMOE_OK) check_refused("model_load", &loader, status);
    CHECK((status == RINGMOE_OK) == (model != NULL));
    ringmoe_model_destroy(&model);
}

/* Weights alone may come from a folder that has nothing else; then they are the right ones. */
static void check_weights_alone(const content *file, bool is_missing)
{
    char hash[17];
    bool is_needed = strncmp(file->name, "optimizer-", 10) != 0 &&
                     !(is_missing && strcmp(file->name, "manifest.json") == 0);
    ringmoe_status status = ringmoe_trainer_load_weights(loader.trainer, fault_path("saved"));
    if (is_needed || status != RINGMOE_OK) check_refused("load_weights", &loader, status);
    hash_weights(&loader, hash);
    CHECK(status != RINGMOE_OK || !strcmp(hash, saved_weights));
    check_model(is_needed);
}

/* A refusal counts no steps; where values had changed by then, the trainer does none either. */
static void check_left_alone(void)
{
    char hash[17];
    CHECK(ringmoe_trainer_steps_done(world.trainer) == 0);
    /* Copies that differ by now are refused a hash. */
    ringmoe_status hashed = ringmoe_trainer_weights_hash(world.trainer, hash);
    if (hashed == RINGMOE_OK && !strcmp(hash, new_weights)) return;
    n_changed++;
    CHECK(ringmoe_trainer_step(world.trainer, NULL) == RINGMOE_ERROR_STATE);
}

/* What the folder holds now is refused in every way that reads it. */
static void check_detected(const char *how, const content *file, long place)
{
    const char *folder = fault_path("saved");
    ringmoe_checkpoint_info info;
    fault_try(60, how, file->name, place);
    ringmoe_checkpoint_describe(world.context, folder, &info);
    check_refused("verify", &world, ringmoe_checkpoint_verify(world.context, folder, NULL));
    check_refused("restore", &world, ringmoe_trainer_restore(world.trainer, folder));
    check_left_alone();
    check_weights_alone(file, strcmp(how, "missing") == 0);
}

static void cut_short(const content *file)
{
    for (int percent = 0; percent < n_cuts && check_failures < 20; percent++) {
        put_file(file, file->bytes, file->size * percent / n_cuts);
        check_detected("cut short", file, file->size * percent / n_cuts);
    }
    mend_file(file);
}

static void grown_swapped_or_missing(content *file)
{
    put_file(file, file->bytes, file->size + 1); /* a zero stands behind the content */
    check_detected("too long", file, file->size + 1);
    bool differs = file->older && (file->older_size != file->size ||
                                   memcmp(file->older, file->bytes, (size_t)file->size) != 0);
    if (differs) {
        put_file(file, file->older, file->older_size);
        check_detected("of another step", file, file->older_size);
    }
    MPI_Barrier(MPI_COMM_WORLD);
    if (fault.rank == 0) CHECK(unlink(path_in("saved", file)) == 0);
    MPI_Barrier(MPI_COMM_WORLD);
    check_detected("missing", file, 0);
    mend_file(file);
}

/* Any file as likely as any other, so that the small ones have their share. */
static void turn_bits(uint64_t seed)
{
    uint64_t state = seed;
    for (int i = 0; i < n_flips && check_failures < 20; i++) {
        content *file = &files[check_random(&state) % (uint32_t)n_files];
        long place = (long)(check_random(&state) % (uint32_t)file->size);
        char bit = (char)(1 << check_random(&state) % 8);
        file->bytes[place] ^= bit;
        mend_file(file);
        check_detected("a bit turned", file, place);
        file->bytes[place] ^= bit;
        mend_file(file);
    }
}

static void whole_is_taken(void)
{
    int64_t bytes = 0;
    char hash[17];
    const char *folder = fault_path("saved");
    CHECK_STATUS(ringmoe_checkpoint_verify(world.context, folder, &bytes), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(bytes > 0);
    CHECK_STATUS(ringmoe_trainer_restore(world.trainer, folder), RINGMOE_OK,
                 ringmoe_context_error(world.context));
    CHECK(ringmoe_trainer_steps_done(world.trainer) == 4);
    hash_weights(&world, hash);
    CHECK(!strcmp(hash, saved_weights));
}

int main(int argc, char **argv)
{
    unsigned long long seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 20;
    fault_begin(&argc, &argv);
    if (fault.n_ranks > 1) {
        n_flips = 100;
        n_cuts = 10;
    }
    make_checkpoints();
    fault_open(&world, MPI_COMM_WORLD, false);
    fault_open(&loader, MPI_COMM_WORLD, false);
    hash_weights(&world, new_weights);
    for (int i = 0; i < n_files; i++) {
        cut_short(&files[i]);
        grown_swapped_or_missing(&files[i]);
    }
    turn_bits(seed);
    CHECK(n_changed > 0);
    whole_is_taken();
    if (fault.rank == 0) printf("seed %llu: %d bits of %d files\n", seed, n_flips, n_files);
    for (int i = 0; i < n_files; i++) {
        free(files[i].bytes);
        free(files[i].older);
    }
    world_close(&world);
    world_close(&loader);
    return fault_end("damage");
}
