/* SPDX-License-Identifier: MIT */
#include "format/block_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/xxh3.h"

/* Bytes read at a time, which are still in the cache when they are hashed; and of those that
 * are wanted somewhere, how many make a read of their own worth while. */
enum { PIECE_BYTES = 256 << 10, DIRECT_BYTES = 64 << 10 };

rm_block_place rm_block_find(const rm_file_manifest *manifest, int64_t index)
{
    int file = 0;
    while (index >= manifest->files[file].n_blocks) index -= manifest->files[file++].n_blocks;
    int64_t begin = index * manifest->block_bytes, left = manifest->files[file].bytes - begin;
    int64_t bytes = left < manifest->block_bytes ? left : manifest->block_bytes;
    return (rm_block_place){file, index, begin, bytes};
}

bool rm_block_reader_open(rm_block_reader *reader, const rm_file_manifest *manifest,
                          const char *folder, const rm_block_sink *sink)
{
    *reader = (rm_block_reader){
        .manifest = manifest, .folder = folder, .sink = sink, .file = -1, .descriptor = -1};
    reader->state = XXH3_createState();
    reader->buffer = malloc(PIECE_BYTES);
    return reader->state && reader->buffer;
}

static void close_file(rm_block_reader *reader)
{
    if (reader->descriptor >= 0) close(reader->descriptor);
    free(reader->path);
    reader->path = NULL;
    reader->file = reader->descriptor = -1;
}

void rm_block_reader_close(rm_block_reader *reader)
{
    if (!reader->manifest) return;
    close_file(reader);
    XXH3_freeState(reader->state);
    free(reader->buffer);
    *reader = (rm_block_reader){0};
}

/* A file stays open from block to block: the system reads ahead of what it sees read. */
static ringmoe_status open_file(rm_block_reader *reader, int file, rm_error *error)
{
    if (reader->file == file) return RINGMOE_OK;
    close_file(reader);
    reader->path = rm_path_join(reader->folder, reader->manifest->files[file].name);
    if (!reader->path)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for a path", reader->folder);
    do reader->descriptor = open(reader->path, O_RDONLY | O_CLOEXEC);
    while (reader->descriptor < 0 && errno == EINTR);
    if (reader->descriptor < 0)
        return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot open it for reading: %s",
                       reader->path, strerror(errno));
    reader->file = file;
    return RINGMOE_OK;
}

/* --- a piece of a block --------------------------------------------------------------------
 */

/* n bytes from `at` on, into `to` and the checksum. */
static ringmoe_status take(const rm_block_reader *reader, char *to, int64_t at, int64_t n,
                           rm_error *error)
{
    for (int64_t done = 0; done < n;) {
        ssize_t got =
            pread(reader->descriptor, to + done, (size_t)(n - done), (off_t)(at + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot read it: %s", reader->path,
                           strerror(errno));
        if (got == 0)
            return rm_fail(error, RINGMOE_ERROR_FORMAT, "%s: became shorter while it was read",
                           reader->path);
        done += got;
    }
    XXH3_64bits_update(reader->state, to, (size_t)n);
    return RINGMOE_OK;
}

/* Puts the buffer's n bytes, which begin at `at` of the file, where they are wanted. */
static void spread(const rm_block_reader *reader, int64_t at, int64_t n)
{
    const rm_block_sink *sink = reader->sink;
    for (int64_t done = 0, run; done < n && sink; done += run) {
        char *to = sink->place(sink->argument, reader->file, at + done, &run);
        if (run > n - done) run = n - done;
        if (to) memcpy(to, reader->buffer + done, (size_t)run);
    }
}

/* Up to `left` bytes; *n: so many. */
static ringmoe_status take_piece(const rm_block_reader *reader, int64_t at, int64_t left,
                                 int64_t *n, rm_error *error)
{
    const rm_block_sink *sink = reader->sink;
    int64_t run = 0;
    char *to = sink ? sink->place(sink->argument, reader->file, at, &run) : NULL;
    bool is_direct = to && run >= DIRECT_BYTES;
    *n = left < PIECE_BYTES ? left : PIECE_BYTES;
    if (is_direct && run < *n) *n = run;
    if (is_direct) return take(reader, to, at, *n, error);
    RM_TRY(take(reader, reader->buffer, at, *n, error));
    spread(reader, at, *n);
    return RINGMOE_OK;
}

/* --- a block -------------------------------------------------------------------------------
 */

ringmoe_status rm_block_read(rm_block_reader *reader, const rm_block_place *block,
                             rm_error *error)
{
    uint64_t written = reader->manifest->files[block->file].hashes[block->number];
    RM_TRY(open_file(reader, block->file, error));
    XXH3_64bits_reset(reader->state);
    for (int64_t done = 0, n; done < block->bytes; done += n)
        RM_TRY(take_piece(reader, block->begin + done, block->bytes - done, &n, error));
    if (XXH3_64bits_digest(reader->state) == written) return RINGMOE_OK;
    return rm_fail(error, RINGMOE_ERROR_FORMAT,
                   "%s: bytes %lld to %lld are not what was written; the file is damaged",
                   reader->path, (long long)block->begin,
                   (long long)(block->begin + block->bytes - 1));
}
