/* SPDX-License-Identifier: MIT
 *
 * Comparing a folder with its manifest: sizes first, which costs nothing, then the blocks of a
 * share, dealt out to threads.
 */
#include <errno.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/files.h"
#include "format/block_read.h"

static ringmoe_status check_size(const char *path, int64_t expected, rm_error *error)
{
    struct stat about;
    if (stat(path, &about) != 0 && errno != ENOENT)
        return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot look at it: %s", path,
                       strerror(errno));
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return rm_fail(error, RINGMOE_ERROR_FORMAT,
                       "%s: is missing; " RM_FILE_MANIFEST_NAME " lists it with %lld bytes",
                       path, (long long)expected);
    if (about.st_size == expected) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: has %lld bytes; %lld were written: it was %s", path,
                   (long long)about.st_size, (long long)expected,
                   about.st_size < expected ? "cut short" : "added to");
}

ringmoe_status rm_file_manifest_check_sizes(const rm_file_manifest *manifest,
                                            const char *folder, rm_error *error)
{
    for (int i = 0; i < manifest->n_files; i++) {
        char *path = rm_path_join(folder, manifest->files[i].name);
        if (!path)
            return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a path", folder);
        ringmoe_status status = check_size(path, manifest->files[i].bytes, error);
        free(path);
        if (status != RINGMOE_OK) return status;
    }
    return RINGMOE_OK;
}

/* --- a share of them -----------------------------------------------------------------------
 */

typedef struct verification {
    const rm_file_manifest *manifest;
    const char *folder;
    rm_block_share share;
    int64_t first, n_blocks; /* of the share */
    int at_a_time;
    rm_block_findings *findings;
    ringmoe_status status; /* of the first damaged block */
    rm_error *error;
    omp_lock_t lock; /* of what is found; a named critical section would be exported */
} verification;

/* Blocks that a thread takes at a time, at most: one behind the other, so that the system sees
 * a file being read and reads ahead. */
enum { BLOCKS_AT_A_TIME = 16 };

static int64_t block_of_share(const verification *run, int64_t i)
{
    return run->share.list ? run->share.list[i] : run->first + i;
}

/* Under the lock. */
static void note_block(verification *run, int64_t index, int64_t bytes, ringmoe_status status,
                       const rm_error *why)
{
    if (status == RINGMOE_OK) {
        run->findings->bytes += bytes;
    } else if (index < run->findings->block) {
#pragma omp atomic write
        run->findings->block = index;
        run->status = rm_fail(run->error, status, "%s", why->text);
    }
}

/* Blocks of the share as they are free; none behind one that is known to be damaged. */
static void check_blocks(verification *run, rm_block_reader *reader)
{
#pragma omp for schedule(dynamic, run->at_a_time)
    for (int64_t i = 0; i < run->n_blocks; i++) {
        int64_t index = block_of_share(run, i), first_damage;
#pragma omp atomic read
        first_damage = run->findings->block;
        if (index > first_damage) continue;
        rm_error why = {""};
        rm_block_place block = rm_block_find(run->manifest, index);
        ringmoe_status status = rm_block_read(reader, &block, &why);
        omp_set_lock(&run->lock);
        note_block(run, index, block.bytes, status, &why);
        omp_unset_lock(&run->lock);
    }
}

static bool open_readers(const verification *run, rm_block_reader *readers, int n)
{
    bool complete = true;
    for (int i = 0; i < n; i++)
        complete =
            rm_block_reader_open(&readers[i], run->manifest, run->folder, run->share.sink) &&
            complete;
    return complete;
}

static void close_readers(rm_block_reader *readers, int n)
{
    for (int i = 0; i < n; i++) rm_block_reader_close(&readers[i]);
    free(readers);
}

/* Each thread comes twice at least, if there is enough to do. */
static int choose_stretch(int64_t n_blocks, int n_threads)
{
    int64_t most = n_blocks / (2 * (int64_t)n_threads);
    if (most > BLOCKS_AT_A_TIME) return BLOCKS_AT_A_TIME;
    return most > 1 ? (int)most : 1;
}

static ringmoe_status run_share(verification *run, int n_threads)
{
    run->at_a_time = choose_stretch(run->n_blocks, n_threads);
    rm_block_reader *readers = calloc((size_t)n_threads, sizeof *readers);
    if (readers && open_readers(run, readers, n_threads)) {
        omp_init_lock(&run->lock);
#pragma omp parallel num_threads(n_threads)
        check_blocks(run, &readers[omp_get_thread_num()]);
        omp_destroy_lock(&run->lock);
    } else {
        run->status = rm_fail(run->error, RINGMOE_ERROR_MEMORY,
                              "%s: no memory to check its blocks", run->folder);
    }
    if (readers) close_readers(readers, n_threads);
    return run->status;
}

static void choose_blocks(verification *run)
{
    const rm_block_share *share = &run->share;
    int64_t n = rm_file_manifest_blocks(run->manifest);
    if (share->list) {
        run->n_blocks = share->n_listed;
        return;
    }
    run->first = n * share->number / share->of;
    run->n_blocks = n * (share->number + 1) / share->of - run->first;
}

ringmoe_status rm_file_manifest_verify(const rm_file_manifest *manifest, const char *folder,
                                       rm_block_share share, rm_block_findings *findings,
                                       rm_error *error)
{
    verification run = {.manifest = manifest,
                        .folder = folder,
                        .share = share,
                        .findings = findings,
                        .error = error};
    choose_blocks(&run);
    *findings = (rm_block_findings){.block = INT64_MAX};
    RM_TRY(rm_file_manifest_check_sizes(manifest, folder, error));
    int n_threads = run.n_blocks < share.n_threads ? (int)run.n_blocks : share.n_threads;
    return n_threads > 0 ? run_share(&run, n_threads) : RINGMOE_OK;
}
