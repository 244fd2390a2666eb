/* SPDX-License-Identifier: MIT
 *
 * What the disk and the memory of its files can do: bare loops of write and read with large
 * aligned blocks, as `dd bs=4M` with conv=fsync makes them.
 */
#include "checkpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_DIRECT
#define O_DIRECT 0
#endif

enum { BLOCK = 4 << 20, ALIGNMENT = 4096, MOST_FILES = 4096 };

/* The end of a file need not be whole blocks, which a direct write asks for. */
static bool write_blocks(int file, const char *block, int64_t bytes)
{
    for (int64_t done = 0; done < bytes;) {
        size_t size = bytes - done < BLOCK ? (size_t)(bytes - done) : BLOCK;
        size_t whole = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        ssize_t put = write(file, block, whole);
        if (put <= 0) return false;
        done += put;
    }
    return fsync(file) == 0;
}

bool disk_write(const char *path, int64_t bytes, bool is_direct)
{
    char *block = aligned_alloc(ALIGNMENT, BLOCK);
    int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | (is_direct ? O_DIRECT : 0);
    int file = block ? open(path, flags, 0600) : -1;
    bool is_written = false;
    if (file >= 0) {
        bench_fill((ringmoe_real *)block, BLOCK / (int64_t)sizeof(ringmoe_real), 1);
        is_written = write_blocks(file, block, bytes);
        close(file);
    }
    free(block);
    return is_written;
}

/* Where bytes are read to. */
typedef struct read_place {
    char *at;
    bool moves; /* behind what has been read */
} read_place;

static bool read_bytes(const char *path, read_place *place, int64_t from, int64_t to)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool is_read = file >= 0;
    while (is_read && from < to) {
        size_t size = to - from < BLOCK ? (size_t)(to - from) : BLOCK;
        ssize_t got = pread(file, place->at, size, from);
        is_read = got > 0;
        if (is_read && place->moves) place->at += got;
        from += got;
    }
    if (file >= 0) close(file);
    return is_read;
}

/* Files of a checkpoint that are large, in the order of their names. */
typedef struct file_list {
    struct dirent **entries;
    int n;
} file_list;

static int is_large(const struct dirent *entry)
{
    const char *end = strrchr(entry->d_name, '.');
    return end && strcmp(end, ".safetensors") == 0;
}

static file_list list_files(const char *folder)
{
    file_list list = {NULL, 0};
    list.n = scandir(folder, &list.entries, is_large, alphasort);
    if (list.n < 0) list.n = 0;
    return list;
}

static void free_files(file_list *list)
{
    for (int i = 0; i < list->n; i++) free(list->entries[i]);
    free(list->entries);
}

static int64_t size_of(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 ? (int64_t)about.st_size : 0;
}

/* Bytes `first` to `end` of the files one behind the other. */
static bool read_range(const char *folder, const file_list *list, read_place *place,
                       int64_t first, int64_t end)
{
    char path[CHECKPOINT_PATH + 300];
    bool is_read = true;
    int64_t base = 0;
    for (int i = 0; is_read && i < list->n && base < end; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list->entries[i]->d_name);
        int64_t size = size_of(path), from = first > base ? first - base : 0;
        int64_t to = end - base < size ? end - base : size;
        if (from < to) is_read = read_bytes(path, place, from, to);
        base += size;
    }
    return is_read;
}

bool disk_read(const char *folder, int64_t bytes, double place, char *into)
{
    char path[CHECKPOINT_PATH + 300];
    char *block = into ? NULL : aligned_alloc(ALIGNMENT, BLOCK);
    read_place to = {into ? into : block, into != NULL};
    file_list list = list_files(folder);
    int64_t total = 0;
    for (int i = 0; i < list.n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list.entries[i]->d_name);
        total += size_of(path);
    }
    int64_t first = total > bytes ? (int64_t)(place * (double)(total - bytes)) : 0;
    bool is_read = to.at && list.n > 0 && read_range(folder, &list, &to, first, first + bytes);
    free_files(&list);
    free(block);
    return is_read;
}

/* Only what is on the disk already can be dropped. */
void disk_forget(const char *folder)
{
    char path[CHECKPOINT_PATH + 300];
    file_list list = list_files(folder);
    for (int i = 0; i < list.n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, list.entries[i]->d_name);
        bench_forget_file(path);
    }
    free_files(&list);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about;
    (void)kind;
    (void)place;
    return remove(path);
}

void disk_remove(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool resident_forget_peak(void)
{
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool is_forgotten = file >= 0 && write(file, "5", 1) == 1;
    if (file >= 0) close(file);
    return is_forgotten;
}

double resident_now(const char *name)
{
    char line[256];
    double kib = 0;
    FILE *status = fopen("/proc/self/status", "re");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, name, strlen(name)) == 0) kib = atof(line + strlen(name));
    if (status) fclose(status);
    return kib * 1024;
}
