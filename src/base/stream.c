/* SPDX-License-Identifier: MIT */
#include "base/stream.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/background.h"
#include "base/clock.h"
#include "base/copy.h"
#include "base/disk.h"
#include "base/loans.h"
#include "base/xxh3.h"

/* Bytes of a write; of them, those that are hashed at a time, twice while they are in the
 * cache. */
enum { BLOCK_BYTES = 4 << 20, HASHED_BYTES = 64 << 10 };

/* Threads that compute wait for one another, so that a moment one of them loses is lost by all:
 * a thread that gives way takes no more than such a part of one processor's time, and pauses so
 * long at once. */
static const double way_part = 1.0 / 100, longest_pause = 0.02;

struct rm_stream {
    rm_stream_plan plan;
    rm_ring ring;
    rm_loans loans;
    pthread_t thread;
    bool has_thread;
    /* The caller's side. */
    int fed_file;          /* the file whose bytes come next */
    int64_t fed;           /* of which so many have come */
    bool awaits;           /* some of them are still on their way */
    atomic_bool may_pause; /* all of them are there, and nobody waits for the end */
    /* The thread's side. */
    int file;
    rm_disk_file disk;       /* open if `file` has been begun */
    char *block;             /* one, fetched from where it was lent */
    rm_block_hasher *blocks; /* [files] */
    int section;
    int64_t section_done; /* bytes of the section that have been hashed */
    XXH3_state_t *section_state;
    uint64_t *section_hashes; /* [sections] */
    ringmoe_status status;
    rm_error error;
};

/* --- the thread's side ---------------------------------------------------------------------
 */

static void hash_sections(rm_stream *stream, const char *data, int64_t bytes)
{
    while (bytes > 0) {
        int64_t left = stream->plan.sections[stream->section] - stream->section_done;
        int64_t n = bytes < left ? bytes : left;
        XXH3_64bits_update(stream->section_state, data, (size_t)n);
        stream->section_done += n;
        if (n == left) {
            stream->section_hashes[stream->section++] =
                XXH3_64bits_digest(stream->section_state);
            stream->section_done = 0;
            XXH3_64bits_reset(stream->section_state);
        }
        data += n;
        bytes -= n;
    }
}

/* The next block's checksums. It lies in the ring at `data`, unless some of it is lent: then it
 * is fetched. Returns where it is to be written from. */
static const char *take_block(rm_stream *stream, const char *data, int64_t bytes)
{
    int64_t at = rm_ring_drained(&stream->ring);
    bool is_lent = rm_loans_reach(&stream->loans, at);
    for (int64_t done = 0; done < bytes; done += HASHED_BYTES) {
        int64_t n = bytes - done < HASHED_BYTES ? bytes - done : HASHED_BYTES;
        const char *piece = is_lent ? stream->block + done : data + done;
        if (is_lent)
            rm_loans_fetch(&stream->loans, at + done, n, data + done, stream->block + done);
        rm_block_hasher_add(&stream->blocks[stream->file], piece, n);
        hash_sections(stream, piece, n);
    }
    return is_lent ? stream->block : data;
}

static ringmoe_status finish_file(rm_stream *stream)
{
    rm_block_hasher_finish(&stream->blocks[stream->file++]);
    return rm_disk_finish(&stream->disk, &stream->error);
}

/* Writes the next block: 1; 0: there is none yet, unless `wait` until there is; -1: all is
 * written, or the stream has failed or been stopped. */
static int write_block(rm_stream *stream, bool wait)
{
    if (stream->status != RINGMOE_OK || stream->file == stream->plan.n_files) return -1;
    const rm_stream_file *file = &stream->plan.files[stream->file];
    if (stream->disk.descriptor < 0) {
        stream->status = rm_disk_create(&stream->disk, file->path, &stream->error);
        if (stream->status != RINGMOE_OK) return -1;
    }
    char *data;
    int64_t left = file->bytes - stream->disk.written;
    int64_t n =
        rm_ring_next(&stream->ring, left < BLOCK_BYTES ? left : BLOCK_BYTES, wait, &data);
    if (n <= 0) return n < 0 ? -1 : 0;
    stream->status =
        rm_disk_write(&stream->disk, take_block(stream, data, n), n, &stream->error);
    rm_ring_drain(&stream->ring, n);
    if (stream->status == RINGMOE_OK && n == left) stream->status = finish_file(stream);
    return stream->status == RINGMOE_OK ? 1 : -1;
}

static void end_writing(rm_stream *stream)
{
    rm_disk_close(&stream->disk);
    if (stream->status != RINGMOE_OK) rm_ring_stop(&stream->ring);
    rm_ring_end(&stream->ring);
}

/* Until what the thread has had is its part of the time since `begun`. */
static void pause_awhile(rm_stream *stream, double begun)
{
    double passed = rm_clock_seconds() - begun;
    double left = rm_clock_thread_seconds() / way_part - (passed > 0 ? passed : 0);
    while (left > 0 && atomic_load(&stream->may_pause) && !rm_ring_is_stopped(&stream->ring)) {
        double pause = left < longest_pause ? left : longest_pause;
        nanosleep(&(struct timespec){.tv_nsec = (long)(pause * 1e9)}, NULL);
        left -= pause;
    }
}

static void *run_thread(void *argument)
{
    rm_stream *stream = argument;
    double begun = rm_clock_seconds();
    if (stream->plan.gives_way) rm_background_give_way();
    while (write_block(stream, true) > 0) pause_awhile(stream, begun);
    end_writing(stream);
    return NULL;
}

/* --- the caller's side ---------------------------------------------------------------------
 */

static ringmoe_status allocate(rm_stream *stream, rm_error *error)
{
    const rm_stream_plan *plan = &stream->plan;
    stream->blocks = calloc((size_t)plan->n_files + 1, sizeof *stream->blocks);
    stream->section_hashes = calloc((size_t)plan->n_sections + 1, sizeof(uint64_t));
    stream->section_state = XXH3_createState();
    if (!stream->blocks || !stream->section_hashes || !stream->section_state)
        return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for %d checksums",
                       plan->n_sections);
    XXH3_64bits_reset(stream->section_state);
    if (plan->gives_way) {
        stream->block = aligned_alloc(RM_RING_ALIGN, BLOCK_BYTES);
        if (!stream->block)
            return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory for a block of a file");
    }
    for (int i = 0; i < plan->n_files; i++)
        RM_TRY(rm_block_hasher_init(&stream->blocks[i], plan->files[i].bytes, error));
    return RINGMOE_OK;
}

static void free_stream(rm_stream *stream)
{
    for (int i = 0; i < stream->plan.n_files && stream->blocks; i++)
        rm_block_hasher_free(&stream->blocks[i]);
    free(stream->blocks);
    free(stream->section_hashes);
    XXH3_freeState(stream->section_state);
    free(stream->block);
    free(stream);
}

ringmoe_status rm_stream_open(const rm_stream_plan *plan, void *ring, int64_t ring_bytes,
                              rm_stream **stream, rm_error *error)
{
    rm_stream *made = calloc(1, sizeof *made);
    *stream = NULL;
    if (!made) return rm_fail(error, RINGMOE_ERROR_MEMORY, "no memory to write files");
    made->plan = *plan;
    made->disk.descriptor = -1;
    ringmoe_status status = allocate(made, error);
    if (status == RINGMOE_OK)
        status = rm_loans_init(&made->loans, plan->gives_way ? plan->n_sections : 0, error);
    if (status == RINGMOE_OK) {
        status = rm_ring_init(&made->ring, ring, ring_bytes, error);
        if (status != RINGMOE_OK) rm_loans_free(&made->loans);
    }
    if (status != RINGMOE_OK) {
        free_stream(made);
        return status;
    }
    made->has_thread = rm_background_thread(&made->thread, run_thread, made);
    *stream = made;
    return RINGMOE_OK;
}

/* The next bytes of the file have their place. */
static void count_in(rm_stream *stream, int64_t bytes)
{
    bool is_last = stream->fed + bytes == stream->plan.files[stream->fed_file].bytes;
    rm_ring_place(&stream->ring, bytes, is_last);
    stream->fed = is_last ? 0 : stream->fed + bytes;
    stream->fed_file += is_last;
}

static bool is_fed(const rm_stream *stream)
{
    return stream->fed_file == stream->plan.n_files;
}

/* A thread that gives way leaves the memory to the copying until all is there or the ring is
 * full. */
static void show(rm_stream *stream)
{
    if (stream->awaits || (stream->plan.gives_way && !is_fed(stream))) return;
    if (stream->plan.gives_way) atomic_store(&stream->may_pause, true);
    rm_ring_show(&stream->ring);
}

/* Bytes of one file, as many as there is room for; 0: the ring is full and has no thread to
 * wait for; -1: they are not wanted any more. */
static int64_t feed(rm_stream *stream, const char *data, int64_t bytes, int n_threads)
{
    char *place;
    int64_t left = stream->plan.files[stream->fed_file].bytes - stream->fed;
    int64_t room = rm_ring_room(&stream->ring, 1, stream->has_thread, &place);
    if (room <= 0) return room;
    if (bytes > left) bytes = left;
    if (bytes > room) bytes = room;
    rm_copy(place, data, bytes, n_threads);
    count_in(stream, bytes);
    show(stream);
    return bytes;
}

void rm_stream_write(rm_stream *stream, const void *data, int64_t bytes, int n_threads)
{
    for (const char *at = data; bytes > 0 && !is_fed(stream);) {
        int64_t n = feed(stream, at, bytes, n_threads);
        if (n < 0) return;
        if (n == 0) rm_ring_show(&stream->ring);
        if (n == 0 && write_block(stream, false) < 0) rm_ring_stop(&stream->ring);
        at += n;
        bytes -= n;
    }
    if (stream->has_thread || !is_fed(stream)) return;
    while (write_block(stream, false) > 0) continue;
    end_writing(stream);
}

/* The thread leaves less than a block in the ring when it has nothing to do: what needs that
 * room too would wait for ever. */
void *rm_stream_room(rm_stream *stream, int64_t bytes, bool wait)
{
    char *place;
    if (!stream->has_thread || (wait && bytes > stream->ring.capacity - BLOCK_BYTES))
        return NULL;
    int64_t room = rm_ring_room(&stream->ring, bytes, wait, &place);
    return room >= bytes ? place : NULL;
}

void rm_stream_lend(rm_stream *stream, const void *data, int64_t bytes, int n_threads)
{
    char *place = stream->plan.gives_way ? rm_stream_room(stream, bytes, false) : NULL;
    const rm_loan loan = {data, place, stream->ring.placed, bytes};
    if (!place || !rm_loans_add(&stream->loans, loan)) {
        rm_stream_write(stream, data, bytes, n_threads);
        return;
    }
    count_in(stream, bytes);
    show(stream);
}

void rm_stream_end_loans(rm_stream *stream, int n_threads)
{
    rm_loans_end(&stream->loans, !rm_stream_has_ended(stream), n_threads);
}

void rm_stream_await(rm_stream *stream, int64_t bytes)
{
    stream->awaits = true;
    count_in(stream, bytes);
}

void rm_stream_arrived(rm_stream *stream)
{
    stream->awaits = false;
    show(stream);
}

void rm_stream_hurry(rm_stream *stream)
{
    atomic_store(&stream->may_pause, false);
}

bool rm_stream_has_ended(rm_stream *stream)
{
    return rm_ring_has_ended(&stream->ring) || rm_ring_is_stopped(&stream->ring);
}

bool rm_stream_has_failed(rm_stream *stream)
{
    return rm_ring_is_stopped(&stream->ring);
}

int64_t rm_stream_written(rm_stream *stream)
{
    return rm_ring_drained(&stream->ring);
}

void rm_stream_stop(rm_stream *stream)
{
    rm_ring_stop(&stream->ring);
}

ringmoe_status rm_stream_join(rm_stream *stream, rm_error *error)
{
    if (stream->has_thread) pthread_join(stream->thread, NULL);
    stream->has_thread = false;
    rm_disk_close(&stream->disk);
    if (stream->status == RINGMOE_OK) return RINGMOE_OK;
    return rm_fail(error, stream->status, "%s", stream->error.text);
}

const rm_block_hasher *rm_stream_file_hashes(const rm_stream *stream, int file)
{
    return &stream->blocks[file];
}

uint64_t rm_stream_section_hash(const rm_stream *stream, int section)
{
    return stream->section_hashes[section];
}

void rm_stream_close(rm_stream **stream)
{
    if (!stream || !*stream) return;
    rm_stream_stop(*stream);
    rm_stream_join(*stream, NULL);
    rm_ring_free(&(*stream)->ring);
    rm_loans_free(&(*stream)->loans);
    free_stream(*stream);
    *stream = NULL;
}
