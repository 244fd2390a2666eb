/* SPDX-License-Identifier: MIT
 *
 * Comparing a folder with its manifest: sizes first, which costs nothing, then the blocks of a
 * share, dealt out to threads. What is read goes through a buffer a thread and not through a
 * mapping, so that a file that shrinks meanwhile is an error and resident memory stays small.
 */
#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/files.h"
#include "format/manifest.h"

enum { PIECE_BYTES = 1 << 20 };

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

/* --- one block -----------------------------------------------------------------------------
 */

typedef struct block_place {
    const rm_listed_file *file;
    int64_t number; /* in the file */
    int64_t begin, bytes;
} block_place;

/* Block `index` of all files' blocks. */
static block_place find_block(const rm_file_manifest *manifest, int64_t index)
{
    const rm_listed_file *file = manifest->files;
    while (index >= file->n_blocks) index -= (file++)->n_blocks;
    int64_t begin = index * manifest->block_bytes, left = file->bytes - begin;
    int64_t bytes = left < manifest->block_bytes ? left : manifest->block_bytes;
    return (block_place){file, index, begin, bytes};
}

/* A thread's means to read with. */
typedef struct block_reader {
    XXH3_state_t *state;
    char *buffer; /* [PIECE_BYTES] */
    int64_t step; /* bytes from a block of the share to its next */
} block_reader;

static ringmoe_status hash_range(int descriptor, const char *path, const block_place *block,
                                 block_reader *reader, rm_error *error)
{
    XXH3_64bits_reset(reader->state);
    for (int64_t done = 0; done < block->bytes;) {
        int64_t left = block->bytes - done;
        ssize_t got =
            pread(descriptor, reader->buffer, (size_t)(left < PIECE_BYTES ? left : PIECE_BYTES),
                  (off_t)(block->begin + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot read it: %s", path,
                           strerror(errno));
        if (got == 0)
            return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: became shorter while it was read",
                           path);
        XXH3_64bits_update(reader->state, reader->buffer, (size_t)got);
        done += got;
    }
    return RINGMOE_OK;
}

/* Blocks of the share that are asked for from the disk while one is looked at. */
enum { BLOCKS_AHEAD = 3 };

/* Keeps the disk busy: each block is opened by itself, so the system cannot know what follows.
 */
static void read_ahead(int descriptor, const block_place *block, int64_t step)
{
#ifdef POSIX_FADV_WILLNEED
    for (int i = 0; i <= BLOCKS_AHEAD; i++)
        posix_fadvise(descriptor, (off_t)(block->begin + i * step), (off_t)block->bytes,
                      POSIX_FADV_WILLNEED);
#endif
}

static ringmoe_status check_content(const char *path, const block_place *block,
                                    block_reader *reader, rm_error *error)
{
    int descriptor;
    do descriptor = open(path, O_RDONLY | O_CLOEXEC);
    while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0)
        return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot open it for reading: %s", path,
                       strerror(errno));
    read_ahead(descriptor, block, reader->step);
    ringmoe_status status = hash_range(descriptor, path, block, reader, error);
    close(descriptor);
    if (status != RINGMOE_OK ||
        XXH3_64bits_digest(reader->state) == block->file->hashes[block->number])
        return status;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: bytes %lld to %lld are not what was written; the file is damaged", path,
                   (long long)block->begin, (long long)(block->begin + block->bytes - 1));
}

static ringmoe_status check_block(const char *folder, const block_place *block,
                                  block_reader *reader, rm_error *error)
{
    char *path = rm_path_join(folder, block->file->name);
    if (!path) return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a path", folder);
    ringmoe_status status = check_content(path, block, reader, error);
    free(path);
    return status;
}

/* --- a share of them -----------------------------------------------------------------------
 */

typedef struct verification {
    const rm_file_manifest *manifest;
    const char *folder;
    rm_block_share share;
    int64_t n_blocks; /* of the share */
    rm_block_findings *findings;
    ringmoe_status status; /* of the first damaged block */
    rm_error *error;
    omp_lock_t lock; /* of what is found; a named critical section would be exported */
} verification;

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
static void check_blocks(verification *run, block_reader *reader)
{
#pragma omp for schedule(dynamic)
    for (int64_t i = 0; i < run->n_blocks; i++) {
        int64_t index = run->share.first + i * run->share.stride, first_damage;
#pragma omp atomic read
        first_damage = run->findings->block;
        if (index > first_damage) continue;
        rm_error why = {""};
        block_place block = find_block(run->manifest, index);
        ringmoe_status status = check_block(run->folder, &block, reader, &why);
        omp_set_lock(&run->lock);
        note_block(run, index, block.bytes, status, &why);
        omp_unset_lock(&run->lock);
    }
}

static bool open_readers(block_reader *readers, int n, int64_t step)
{
    bool complete = true;
    for (int i = 0; i < n; i++) {
        readers[i].state = XXH3_createState();
        readers[i].buffer = malloc(PIECE_BYTES);
        readers[i].step = step;
        complete = complete && readers[i].state && readers[i].buffer;
    }
    return complete;
}

static void close_readers(block_reader *readers, int n)
{
    for (int i = 0; i < n; i++) {
        XXH3_freeState(readers[i].state);
        free(readers[i].buffer);
    }
    free(readers);
}

static ringmoe_status run_share(verification *run, int n_threads)
{
    block_reader *readers = calloc((size_t)n_threads, sizeof *readers);
    int64_t step = run->share.stride * run->manifest->block_bytes;
    if (readers && open_readers(readers, n_threads, step)) {
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

ringmoe_status rm_file_manifest_verify(const rm_file_manifest *manifest, const char *folder,
                                       rm_block_share share, rm_block_findings *findings,
                                       rm_error *error)
{
    verification run = {
        .manifest = manifest, .folder = folder, .share = share, .findings = findings};
    int64_t n_blocks = 0;
    run.error = error;
    *findings = (rm_block_findings){.block = INT64_MAX};
    RM_TRY(rm_file_manifest_check_sizes(manifest, folder, error));
    for (int i = 0; i < manifest->n_files; i++) n_blocks += manifest->files[i].n_blocks;
    if (share.first < n_blocks) run.n_blocks = (n_blocks - share.first - 1) / share.stride + 1;
    int n_threads = run.n_blocks < share.n_threads ? (int)run.n_blocks : share.n_threads;
    return n_threads > 0 ? run_share(&run, n_threads) : RINGMOE_OK;
}
