/* SPDX-License-Identifier: MIT
 *
 * Streams to files: what was handed over in any pieces, through rings of any size, lies in the
 * files, with the checksums of their blocks and sections; a failure is kept, and nobody waits
 * for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>
#include <xxhash.h>

#include "base/arena.h"
#include "base/files.h"
#include "base/stream.h"
#include "scratch.h"

enum { N_FILES = 3, N_SECTIONS = 6, MOST_BYTES = 10 << 20 };

static const int64_t file_bytes[N_FILES] = {5, 4096 * 3, MOST_BYTES - 5 - 4096 * 3};
/* The third spans two files, the fifth is empty. */
static const int64_t section_bytes[N_SECTIONS] = {
    2, 1000, 20000, RM_BLOCK_BYTES, 0, MOST_BYTES - 2 - 1000 - 20000 - RM_BLOCK_BYTES};

static unsigned char *content(void)
{
    static unsigned char bytes[MOST_BYTES];
    if (!bytes[1])
        for (int i = 0; i < MOST_BYTES; i++)
            bytes[i] = (unsigned char)((uint32_t)i * 2654435761u >> 24 | 1);
    return bytes;
}

struct job {
    rm_stream_file files[N_FILES];
    rm_arena ring;
    rm_stream *stream;
};

static void open_job(struct job *job, const char *folder, int64_t ring_bytes)
{
    rm_error error = {""};
    *job = (struct job){0};
    if (folder) assert_int_equal(mkdir(scratch_path(folder), 0777), 0);
    for (int i = 0; i < N_FILES; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s/%d", folder ? folder : "nowhere", i);
        job->files[i] =
            (rm_stream_file){.path = strdup(scratch_path(name)), .bytes = file_bytes[i]};
    }
    const rm_stream_plan plan = {job->files, N_FILES, section_bytes, N_SECTIONS,
                                 .gives_way = ring_bytes > 4096};
    assert_int_equal(rm_arena_reserve(&job->ring, (size_t)ring_bytes, &error), RINGMOE_OK);
    assert_int_equal(rm_stream_open(&plan, job->ring.base, ring_bytes, &job->stream, &error),
                     RINGMOE_OK);
}

static void close_job(struct job *job)
{
    rm_stream_close(&job->stream);
    assert_null(job->stream);
    for (int i = 0; i < N_FILES; i++) free(job->files[i].path);
    rm_arena_free(&job->ring);
}

static void check_files(const struct job *job)
{
    const unsigned char *at = content();
    for (int i = 0; i < N_FILES; i++) {
        char *found;
        int64_t size;
        rm_error error = {""};
        const rm_block_hasher *blocks = rm_stream_file_hashes(job->stream, i);
        assert_int_equal(rm_file_read(job->files[i].path, MOST_BYTES, &found, &size, &error),
                         RINGMOE_OK);
        assert_int_equal(size, file_bytes[i]);
        assert_memory_equal(found, at, (size_t)size);
        free(found);
        assert_int_equal(blocks->n_hashes, rm_block_count(size, RM_BLOCK_BYTES));
        for (int64_t b = 0; b < blocks->n_hashes; b++) {
            int64_t first = b * RM_BLOCK_BYTES, n = size - first;
            if (n > RM_BLOCK_BYTES) n = RM_BLOCK_BYTES;
            assert_true(blocks->hashes[b] == XXH3_64bits(at + first, (size_t)n));
        }
        at += size;
    }
}

static void check_sections(const struct job *job)
{
    const unsigned char *at = content();
    for (int i = 0; i < N_SECTIONS; i++) {
        assert_true(rm_stream_section_hash(job->stream, i) ==
                    XXH3_64bits(at, (size_t)section_bytes[i]));
        at += section_bytes[i];
    }
}

/* Pieces of up to `most` bytes, of all sizes. */
static void feed(struct job *job, int64_t most, int n_threads)
{
    uint32_t lot = 1;
    for (int64_t done = 0; done < MOST_BYTES;) {
        lot = lot * 1664525 + 1013904223;
        int64_t n = 1 + (int64_t)(lot >> 8) % most;
        if (n > MOST_BYTES - done) n = MOST_BYTES - done;
        rm_stream_write(job->stream, content() + done, n, n_threads);
        done += n;
    }
}

static void any_ring_will_do(void **state)
{
    static const int64_t rings[] = {4096, 3 * 4096, 1 << 20, 5 << 20, 32 << 20};
    rm_error error = {""};
    for (int i = 0; i < 5; i++) {
        struct job job;
        char folder[16];
        snprintf(folder, sizeof folder, "ring-%d", i);
        open_job(&job, folder, rings[i]);
        feed(&job, i % 2 ? 3 << 20 : 50000, 1 + i % 2);
        assert_int_equal(rm_stream_join(job.stream, &error), RINGMOE_OK);
        assert_true(rm_stream_has_ended(job.stream));
        assert_false(rm_stream_has_failed(job.stream));
        check_files(&job);
        check_sections(&job);
        close_job(&job);
    }
}

/* Each section lent from memory of its own, which changes when the loans have ended. */
static void lend_and_change(int64_t ring_bytes, const char *folder, long wait_ns, int n_threads)
{
    struct job job;
    rm_error error = {""};
    unsigned char *lent = malloc(MOST_BYTES);
    memcpy(lent, content(), MOST_BYTES);
    open_job(&job, folder, ring_bytes);
    /* The third section spans two files, so it is lent in two parts. */
    const int64_t parts[] = {2, 3, 997, 11291, 8709, RM_BLOCK_BYTES};
    int64_t done = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; done += parts[i++])
        rm_stream_lend(job.stream, lent + done, parts[i], n_threads);
    /* Something of the caller's own between. */
    rm_stream_write(job.stream, lent + done, 4321, n_threads);
    done += 4321;
    rm_stream_lend(job.stream, lent + done, MOST_BYTES - done, n_threads);
    nanosleep(&(struct timespec){.tv_nsec = wait_ns}, NULL);
    rm_stream_end_loans(job.stream, n_threads);
    memset(lent, 0, MOST_BYTES);
    rm_stream_end_loans(job.stream, n_threads);
    rm_stream_hurry(job.stream);
    assert_int_equal(rm_stream_join(job.stream, &error), RINGMOE_OK);
    check_files(&job);
    check_sections(&job);
    close_job(&job);
    free(lent);
}

/* None of them, some, and all have been taken by then; through a ring that has room for all,
 * for most, and for none of the larger ones. */
static void what_is_lent_may_change_afterwards(void **state)
{
    static const int64_t rings[] = {32 << 20, 9 << 20, 2 << 20};
    static const long waits[] = {0, 1000000, 3000000, 300000000};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 4; j++) {
            char folder[24];
            snprintf(folder, sizeof folder, "lent-%d-%d", i, j);
            lend_and_change(rings[i], folder, waits[j], 1 + j % 2);
        }
}

/* A stream that has failed, or ends before its loans do, takes nothing any more. */
static void loans_of_a_failed_stream_end(void **state)
{
    struct job job;
    rm_error error = {""};
    unsigned char *lent = calloc(1, MOST_BYTES);
    open_job(&job, NULL, 32 << 20);
    rm_stream_lend(job.stream, lent, 2, 1);
    rm_stream_write(job.stream, lent + 2, MOST_BYTES - 2, 1);
    rm_stream_end_loans(job.stream, 2);
    free(lent);
    assert_int_equal(rm_stream_join(job.stream, &error), RINGMOE_ERROR_FILE);
    close_job(&job);
}

/* The bytes are dropped; the first failure is told, by the name of its file. */
static void a_failure_is_kept(void **state)
{
    struct job job;
    rm_error error = {""};
    open_job(&job, NULL, 8192);
    feed(&job, 50000, 1);
    assert_int_equal(rm_stream_join(job.stream, &error), RINGMOE_ERROR_FILE);
    assert_non_null(strstr(error.text, "nowhere/0"));
    assert_true(rm_stream_has_failed(job.stream) && rm_stream_has_ended(job.stream));
    close_job(&job);
}

/* A file that is there already is somebody else's. */
static void nothing_is_overwritten(void **state)
{
    struct job job;
    rm_error error = {""};
    assert_int_equal(mkdir(scratch_path("taken"), 0777), 0);
    scratch_text("taken/1", "mine");
    assert_int_equal(rename(scratch_path("taken"), scratch_path("kept")), 0);
    open_job(&job, "taken", 4096);
    assert_int_equal(rename(scratch_path("kept/1"), scratch_path("taken/1")), 0);
    feed(&job, 50000, 1);
    assert_int_equal(rm_stream_join(job.stream, &error), RINGMOE_ERROR_FILE);
    assert_non_null(strstr(error.text, "taken/1"));
    close_job(&job);
}

/* With bytes missing, and with none at all. */
static void one_may_stop_at_any_time(void **state)
{
    for (int n = 0; n < 3; n++) {
        struct job job;
        char folder[16];
        snprintf(folder, sizeof folder, "stop-%d", n);
        open_job(&job, folder, 16384);
        rm_stream_write(job.stream, content(), n * 10000, 1);
        close_job(&job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_ring_will_do),
        cmocka_unit_test(what_is_lent_may_change_afterwards),
        cmocka_unit_test(loans_of_a_failed_stream_end),
        cmocka_unit_test(a_failure_is_kept),
        cmocka_unit_test(nothing_is_overwritten),
        cmocka_unit_test(one_may_stop_at_any_time),
    };
    return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
