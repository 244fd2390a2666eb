/* SPDX-License-Identifier: MIT */
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static ringmoe_status fail_errno(rm_error *error, const char *what, const char *path)
{
    return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot %s: %s", path, what, strerror(errno));
}

static ringmoe_status fail_memory(rm_error *error, const char *path)
{
    return rm_fail(error, RINGMOE_ERROR_MEMORY, "%s: no memory for it", path);
}

static int open_retrying(const char *path, int flags, mode_t mode)
{
    int descriptor;
    do descriptor = open(path, flags | O_CLOEXEC, mode);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

/* Opens a regular file for reading and tells its size. A pipe of that name is not waited for.
 */
static ringmoe_status open_regular(const char *path, int *descriptor, int64_t *size,
                                   rm_error *error)
{
    struct stat about;
    *descriptor = open_retrying(path, O_RDONLY | O_NONBLOCK, 0);
    if (*descriptor < 0) return fail_errno(error, "open it for reading", path);
    if (fstat(*descriptor, &about) == 0 && S_ISREG(about.st_mode)) {
        *size = about.st_size;
        return RINGMOE_OK;
    }
    close(*descriptor);
    *descriptor = -1;
    return rm_fail(error, RINGMOE_ERROR_FILE, "%s: is not a regular file", path);
}

static ringmoe_status read_fully(int descriptor, const char *path, char *data, int64_t size,
                                 rm_error *error)
{
    for (int64_t done = 0; done < size;) {
        ssize_t got = read(descriptor, data + done, (size_t)(size - done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(error, "read it", path);
        if (got == 0)
            return rm_fail(error, RINGMOE_ERROR_FILE, "%s: became shorter while it was read",
                           path);
        done += got;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_file_read(const char *path, int64_t limit, char **content, int64_t *size,
                            rm_error *error)
{
    int descriptor;
    *content = NULL;
    RM_TRY(open_regular(path, &descriptor, size, error));
    ringmoe_status status = RINGMOE_OK;
    if (*size > limit)
        status = rm_fail(error, RINGMOE_ERROR_FORMAT,
                         "%s: has %lld bytes, more than the %lld such a file may have", path,
                         (long long)*size, (long long)limit);
    else if (!(*content = malloc((size_t)*size + 1)))
        status = fail_memory(error, path);
    else
        status = read_fully(descriptor, path, *content, *size, error);
    close(descriptor);
    if (status != RINGMOE_OK) {
        free(*content);
        *content = NULL;
        return status;
    }
    (*content)[*size] = 0;
    return RINGMOE_OK;
}

ringmoe_status rm_file_map_keep_open(const char *path, rm_file_map *map, int *descriptor,
                                     rm_error *error)
{
    *map = (rm_file_map){0};
    RM_TRY(open_regular(path, descriptor, &map->size, error));
    void *data = NULL;
    if (map->size > 0)
        data = mmap(NULL, (size_t)map->size, PROT_READ, MAP_PRIVATE, *descriptor, 0);
    map->data = data;
    if (data != MAP_FAILED) return RINGMOE_OK;
    ringmoe_status status = fail_errno(error, "map it into memory", path);
    close(*descriptor);
    *descriptor = -1;
    *map = (rm_file_map){0};
    return status;
}

ringmoe_status rm_file_map_open(const char *path, rm_file_map *map, rm_error *error)
{
    int descriptor;
    RM_TRY(rm_file_map_keep_open(path, map, &descriptor, error));
    close(descriptor);
    return RINGMOE_OK;
}

void rm_file_map_close(rm_file_map *map)
{
    if (map->data) munmap((void *)map->data, (size_t)map->size);
    *map = (rm_file_map){0};
}

int rm_descriptor_sync(int descriptor)
{
#ifdef F_FULLFSYNC
    if (fcntl(descriptor, F_FULLFSYNC) == 0) return 0;
#endif
    int failed;
    do failed = fsync(descriptor);
    while (failed && errno == EINTR);
    return failed;
}

static ringmoe_status sync_folder_of(const char *path, rm_error *error)
{
    char *folder = strdup(path);
    if (!folder) return fail_memory(error, path);
    char *slash = strrchr(folder, '/');
    if (slash) slash[slash == folder] = 0;
    int descriptor = open_retrying(slash ? folder : ".", O_RDONLY | O_DIRECTORY, 0);
    free(folder);
    if (descriptor < 0) return fail_errno(error, "open its folder", path);
    int failed = rm_descriptor_sync(descriptor);
    close(descriptor);
    return failed ? fail_errno(error, "make its folder durable", path) : RINGMOE_OK;
}

ringmoe_status rm_file_create(const char *path, rm_file_writer *writer, rm_error *error)
{
    *writer = (rm_file_writer){.descriptor = -1};
    size_t length = strlen(path);
    writer->path = strdup(path);
    writer->temporary = malloc(length + sizeof ".tmp");
    if (!writer->path || !writer->temporary) {
        free(writer->path);
        free(writer->temporary);
        *writer = (rm_file_writer){.descriptor = -1};
        return fail_memory(error, path);
    }
    memcpy(writer->temporary, path, length);
    memcpy(writer->temporary + length, ".tmp", sizeof ".tmp");
    writer->descriptor = open_retrying(writer->temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (writer->descriptor >= 0) return RINGMOE_OK;
    ringmoe_status status = fail_errno(error, "create it", path);
    free(writer->path);
    free(writer->temporary);
    *writer = (rm_file_writer){.descriptor = -1};
    return status;
}

ringmoe_status rm_file_write(rm_file_writer *writer, const void *data, int64_t size,
                             rm_error *error)
{
    for (int64_t done = 0; done < size;) {
        ssize_t put =
            write(writer->descriptor, (const char *)data + done, (size_t)(size - done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return fail_errno(error, "write it", writer->path);
        done += put;
    }
    return RINGMOE_OK;
}

/* The content is on the disk; the name not before the folder is. */
static ringmoe_status give_name(rm_file_writer *writer, rm_error *error)
{
    if (rm_descriptor_sync(writer->descriptor) != 0)
        return fail_errno(error, "write it", writer->path);
    int failed = close(writer->descriptor);
    writer->descriptor = -1;
    if (failed && errno != EINTR) return fail_errno(error, "write it", writer->path);
    if (rename(writer->temporary, writer->path) != 0)
        return fail_errno(error, "give it its name", writer->path);
    free(writer->temporary);
    writer->temporary = NULL;
    return RINGMOE_OK;
}

ringmoe_status rm_file_commit(rm_file_writer *writer, rm_error *error)
{
    RM_TRY(give_name(writer, error));
    ringmoe_status status = sync_folder_of(writer->path, error);
    rm_file_abandon(writer);
    return status;
}

void rm_file_abandon(rm_file_writer *writer)
{
    if (!writer->path && !writer->temporary) return;
    if (writer->descriptor >= 0) close(writer->descriptor);
    if (writer->temporary) unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    *writer = (rm_file_writer){.descriptor = -1};
}

ringmoe_status rm_file_write_whole(const char *path, const void *data, int64_t size,
                                   rm_error *error)
{
    rm_file_writer writer;
    RM_TRY(rm_file_create(path, &writer, error));
    ringmoe_status status = rm_file_write(&writer, data, size, error);
    if (status == RINGMOE_OK) status = rm_file_commit(&writer, error);
    rm_file_abandon(&writer);
    return status;
}

ringmoe_status rm_file_write_early(const char *path, const void *data, int64_t size,
                                   rm_error *error)
{
    rm_file_writer writer;
    RM_TRY(rm_file_create(path, &writer, error));
    ringmoe_status status = rm_file_write(&writer, data, size, error);
    if (status == RINGMOE_OK) status = give_name(&writer, error);
    rm_file_abandon(&writer);
    return status;
}

char *rm_path_join(const char *folder, const char *name)
{
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = malloc(bytes);
    if (path) snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

bool rm_path_is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

/* True if it is there, whatever was said when it was to be made: that it exists, or that its
 * parent is read-only or not ours. Keeps errno. */
static bool is_folder_despite(const char *path)
{
    int why = errno;
    bool found = rm_path_is_folder(path);
    errno = why;
    return found;
}

/* A folder that was made is there after a power cut as well. */
static ringmoe_status make_folder(const char *path, rm_error *error)
{
    if (mkdir(path, 0777) == 0) return sync_folder_of(path, error);
    return is_folder_despite(path) ? RINGMOE_OK : fail_errno(error, "make this folder", path);
}

ringmoe_status rm_folder_create(const char *path, rm_error *error)
{
    char *copy = strdup(path);
    if (!copy) return fail_memory(error, path);
    ringmoe_status status = RINGMOE_OK;
    for (char *at = copy + 1; status == RINGMOE_OK; at++) {
        if (*at && *at != '/') continue;
        char kept = *at;
        *at = 0;
        status = make_folder(copy, error);
        *at = kept;
        if (!kept) break;
    }
    free(copy);
    return status;
}

DIR *rm_folder_list(const char *path)
{
    DIR *folder;
    do folder = opendir(path);
    while (!folder && errno == EINTR);
    return folder;
}

ringmoe_status rm_folder_remove(const char *path, rm_error *error)
{
    DIR *folder = rm_folder_list(path);
    if (!folder) return errno == ENOENT ? RINGMOE_OK : fail_errno(error, "open it", path);
    ringmoe_status status = RINGMOE_OK;
    for (struct dirent *entry; status == RINGMOE_OK && (entry = readdir(folder));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (unlinkat(dirfd(folder), entry->d_name, 0) != 0)
            status = fail_errno(error, "empty this folder", path);
    }
    closedir(folder);
    if (status == RINGMOE_OK && rmdir(path) != 0) status = fail_errno(error, "remove it", path);
    return status;
}

ringmoe_status rm_path_rename(const char *from, const char *to, rm_error *error)
{
    if (rename(from, to) != 0)
        return fail_errno(error, "rename it from its temporary name", to);
    return sync_folder_of(to, error);
}
