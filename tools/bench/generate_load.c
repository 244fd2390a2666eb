/* SPDX-License-Identifier: MIT
 *
 * Loading a model, and what it cannot beat: reading its files by as many threads, into small
 * buffers that are used again, and into new memory, which a model needs. All cold, after the
 * system was told to forget the files, and warm; in turns, since disks change their speed. (A
 * virtual machine may take longer to get new memory from its host than to read a file.)
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "generate.h"

enum { BLOCK = 1 << 20 };

typedef struct weight_list {
    char (*paths)[SOURCE_PATH]; /* [n] */
    int n;
    int64_t bytes;
} weight_list;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* --- files --- */

static bool ends_with(const char *name, const char *end)
{
    size_t length = strlen(name), n = strlen(end);
    return length >= n && strcmp(name + length - n, end) == 0;
}

static int64_t size_of(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode) ? (int64_t)about.st_size : -1;
}

/* Room for one more path. */
static bool append(weight_list *list, const char *folder, const char *name)
{
    void *moved = realloc(list->paths, (size_t)(list->n + 1) * sizeof *list->paths);
    if (!moved) return false;
    list->paths = moved;
    int length =
        snprintf(list->paths[list->n], SOURCE_PATH, "%s%s%s", folder, *name ? "/" : "", name);
    int64_t bytes = length < SOURCE_PATH ? size_of(list->paths[list->n]) : -1;
    if (bytes < 0) return false;
    list->bytes += bytes;
    list->n++;
    return true;
}

static bool is_weights(const char *name)
{
    return ends_with(name, ".safetensors") && strncmp(name, "optimizer", 9) != 0;
}

/* A GGUF file, or if its name ends in -00001-of-00003.gguf, all of them. */
static bool list_gguf(const char *path, weight_list *list)
{
    static const char example[] = "-00001-of-00003.gguf";
    char name[SOURCE_PATH];
    size_t length = strlen(path), end = sizeof example - 1;
    int n_parts = 0, used = 0;
    if (length >= end && length < SOURCE_PATH)
        sscanf(path + length - end, "-00001-of-%5d.gguf%n", &n_parts, &used);
    if (used != (int)end) return append(list, path, "");
    for (int i = 1; i <= n_parts; i++) {
        int room = snprintf(name, sizeof name, "%.*s-%05d-of-%05d.gguf", (int)(length - end),
                            path, i, n_parts);
        if (room >= SOURCE_PATH || !append(list, name, "")) return false;
    }
    return n_parts > 0;
}

/* The files with the weights at `path`. */
static bool list_weights(const char *path, weight_list *list)
{
    *list = (weight_list){0};
    if (ends_with(path, ".gguf")) return list_gguf(path, list);
    DIR *folder = opendir(path);
    bool listed = folder != NULL;
    for (struct dirent *entry; listed && (entry = readdir(folder));)
        if (is_weights(entry->d_name)) listed = append(list, path, entry->d_name);
    if (folder) closedir(folder);
    return listed && list->n > 0;
}

static void forget(const weight_list *list)
{
    for (int i = 0; i < list->n; i++) bench_forget_file(list->paths[i]);
}

/* --- reading --- */

/* Blocks of a file that this rank reads: every n_ranks-th, from its own number on. */
static int64_t own_blocks(const tool_session *session, const char *path)
{
    int64_t n_blocks = (size_of(path) + BLOCK - 1) / BLOCK;
    return (n_blocks - session->rank + session->size - 1) / session->size;
}

/* This rank's blocks of a file, dealt out to the threads; into `memory`, or if that is NULL,
 * into a buffer of each thread. */
static bool read_file(const generate_bench *bench, const char *path, char *memory)
{
    const tool_session *session = bench->session;
    int n_threads = ringmoe_context_threads(session->context);
    int64_t n_own = own_blocks(session, path), n_read = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
#pragma omp parallel num_threads(n_threads)
    {
        char *block = memory ? NULL : malloc(BLOCK);
#pragma omp for schedule(dynamic)
        for (int64_t i = 0; i < n_own; i++) {
            int64_t at = (session->rank + i * session->size) * BLOCK;
            char *place = memory ? memory + i * BLOCK : block;
            if (!place || pread(file, place, BLOCK, (off_t)at) <= 0) continue;
#pragma omp atomic
            n_read++;
        }
        free(block);
    }
    if (file >= 0) close(file);
    return n_read == n_own;
}

/* Memory as a model gets it; NULL if there is none. */
static char *get_memory(int64_t bytes)
{
    void *memory = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(memory, (size_t)bytes, MADV_HUGEPAGE);
#endif
    return memory;
}

static bool read_all(const generate_bench *bench, const weight_list *list, bool is_kept)
{
    int64_t room = BLOCK;
    for (int i = 0; i < list->n; i++)
        room += own_blocks(bench->session, list->paths[i]) * BLOCK;
    char *memory = is_kept ? get_memory(room) : NULL, *next = memory;
    bool fine = !is_kept || memory;
    for (int i = 0; i < list->n && fine; i++) {
        fine = read_file(bench, list->paths[i], next);
        if (next) next += own_blocks(bench->session, list->paths[i]) * BLOCK;
    }
    if (memory) munmap(memory, (size_t)room);
    return fine;
}

/* All ranks begin together, and the last one counts. */
static int time_reading(const generate_bench *bench, const weight_list *list, bool is_cold,
                        bool is_kept, bench_samples *samples)
{
    if (is_cold) forget(list);
    session_largest(bench->session, 0);
    double start = now();
    bool fine = read_all(bench, list, is_kept);
    bench_add(samples, session_largest(bench->session, now() - start));
    return session_settle(bench->session, fine ? EXIT_DONE : EXIT_FAILED,
                          "the model's files cannot be read");
}

/* --- loading --- */

static int time_loading(generate_bench *bench, const weight_list *list, bool is_cold,
                        bench_samples *samples)
{
    if (is_cold) forget(list);
    session_largest(bench->session, 0);
    double start = now();
    int status =
        session_check(bench->session, ringmoe_model_load(bench->session->mesh, bench->path,
                                                         &bench->options->load, &bench->model));
    bench_add(samples, session_largest(bench->session, now() - start));
    return status;
}

/* Cold, then warm; the model that was loaded before is gone. */
static int take_turn(generate_bench *bench, const weight_list *list)
{
    load_times *times = &bench->loading;
    int status = EXIT_DONE;
    for (int warm = 0; warm < 2 && !status; warm++) {
        ringmoe_model_destroy(&bench->model);
        status = time_reading(bench, list, !warm, false, &times->read[warm]);
        if (!status) status = time_reading(bench, list, !warm, true, &times->keep[warm]);
        if (!status) status = time_loading(bench, list, !warm, &times->load[warm]);
    }
    return status;
}

int generate_bench_load(generate_bench *bench)
{
    weight_list list;
    bool is_listed = list_weights(bench->path, &list);
    int status = session_settle(bench->session, is_listed ? EXIT_DONE : EXIT_FAILED,
                                "the model's files cannot be listed");
    bench->loading.bytes = list.bytes;
    for (int64_t i = 0; i < bench->options->repeat && !status; i++)
        status = take_turn(bench, &list);
    free(list.paths);
    return status;
}
