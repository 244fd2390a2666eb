/* SPDX-License-Identifier: MIT
 *
 * Bytes on their way to the disk. The caller copies them into a ring, in any pieces; a thread
 * of the stream's own takes them out in large blocks, makes their checksums, and writes them to
 * one file after the other. What fits into the ring is written while the caller does something
 * else.
 *
 *   files     | file 0                    | file 1                      |
 *   sections  | header | tensor | tensor  | header | tensor | ...       |
 *
 * Bytes may also be lent (loans.h): copied only if they are about to change before the thread
 * has come to them.
 *
 * The sizes of files and sections are known from the start, so the caller only has to hand over
 * their bytes in order. A stream that has failed goes on taking bytes and drops them: whoever
 * feeds it need not know. If the system has no thread to give, the caller's does the work.
 */
#ifndef RM_STREAM_H
#define RM_STREAM_H

#include "base/block_hash.h"
#include "base/ring.h"

typedef struct rm_stream_file {
    char *path;    /* of a file that must not be there yet */
    int64_t bytes; /* at least 1 */
} rm_stream_file;

/* The arrays are the caller's and outlive the stream. Sizes of files, and those of sections,
 * add up to the same. */
typedef struct rm_stream_plan {
    const rm_stream_file *files;
    int n_files;
    const int64_t *sections; /* bytes */
    int n_sections;
    bool gives_way; /* the thread takes little of the processors, and begins when all bytes are
                       there or the ring is full */
} rm_stream_plan;

typedef struct rm_stream rm_stream;

/* `ring` of ring_bytes, a multiple of RM_RING_ALIGN and aligned to it, is the caller's too.
 * Files are created by the thread, as it comes to them. MEMORY. */
ringmoe_status rm_stream_open(const rm_stream_plan *plan, void *ring, int64_t ring_bytes,
                              rm_stream **stream, rm_error *error);
/* The next bytes, copied by so many threads if they are many. Waits while the ring is full. */
void rm_stream_write(rm_stream *stream, const void *data, int64_t bytes, int n_threads);
/* Likewise, of one section, but a thread that gives way may take them later from where they
 * are: until rm_stream_end_loans, which copies what it has not taken by then, they do not
 * change. */
void rm_stream_lend(rm_stream *stream, const void *data, int64_t bytes, int n_threads);
void rm_stream_end_loans(rm_stream *stream, int n_threads);
/* Where the next bytes, all of one section, are to be put by the caller; NULL: there is no room
 * for them in one piece, unless `wait` until the ring has been drained so far, or the stream
 * has failed. While some are awaited, the caller must not wait, nor write more than there is
 * room for. */
void *rm_stream_room(rm_stream *stream, int64_t bytes, bool wait);
/* So many will be put there, before rm_stream_arrived; others may follow them already. */
void rm_stream_await(rm_stream *stream, int64_t bytes);
/* All that were awaited are there. */
void rm_stream_arrived(rm_stream *stream);
/* From now on somebody waits for the end: a thread that gives way does so no more. */
void rm_stream_hurry(rm_stream *stream);
/* True when all files are on the disk, or the stream has failed. Does not wait. */
bool rm_stream_has_ended(rm_stream *stream);
/* True when it has failed or was stopped. */
bool rm_stream_has_failed(rm_stream *stream);
/* Bytes written so far. */
int64_t rm_stream_written(rm_stream *stream);
/* Writes no more than the block at hand. */
void rm_stream_stop(rm_stream *stream);
/* Waits for the thread to end: all bytes must have been handed over, or the stream stopped.
 * FILE: the first failure, and the stream's until it is closed. */
ringmoe_status rm_stream_join(rm_stream *stream, rm_error *error);

/* After rm_stream_join: the checksums of the blocks of a file; XXH3-64 of a section. */
const rm_block_hasher *rm_stream_file_hashes(const rm_stream *stream, int file);
uint64_t rm_stream_section_hash(const rm_stream *stream, int section);

/* Stops and joins it, if need be, and frees it. What was written stays. NULL or *stream NULL:
 * nothing. */
void rm_stream_close(rm_stream **stream);

#endif
