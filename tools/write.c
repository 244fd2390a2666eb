/* SPDX-License-Identifier: MIT */
#include "write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_PATH 4096

bool write_fully(int descriptor, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t done = write(descriptor, at, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

bool sync_folder(const char *path)
{
    int descriptor, failed;
    do descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (descriptor < 0 && errno == EINTR);
    if (descriptor < 0) return false;
    do failed = fsync(descriptor);
    while (failed && errno == EINTR);
    /* There are file systems that cannot, and need not. */
    bool done = !failed || errno == EINVAL || errno == ENOTSUP;
    int problem = errno;
    close(descriptor);
    errno = problem;
    return done;
}

/* The folder that the last part of the path is in. */
static bool sync_folder_above(const char *path)
{
    char folder[MAX_PATH];
    const char *end = strrchr(path, '/');
    while (end > path && end[-1] == '/') end--;
    if (!end) return sync_folder(".");
    snprintf(folder, sizeof folder, "%.*s", end > path ? (int)(end - path) : 1, path);
    return sync_folder(folder);
}

bool write_atomically(const char *path, const void *data, size_t size)
{
    char temporary[MAX_PATH + 8];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    int descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0) return false;
    bool written = write_fully(descriptor, data, size) && fsync(descriptor) == 0;
    int problem = errno;
    if (close(descriptor) == 0 && written && rename(temporary, path) == 0)
        return sync_folder_above(path);
    if (written) problem = errno;
    unlink(temporary);
    errno = problem;
    return false;
}

/* True if it is there, made by this call or before. */
static bool make_folder(const char *path)
{
    struct stat about;
    if (mkdir(path, 0777) == 0) return sync_folder_above(path);
    int problem = errno;
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return true;
    errno = problem;
    return false;
}

bool make_folders(const char *path)
{
    char part[MAX_PATH];
    if (snprintf(part, sizeof part, "%s", path) >= MAX_PATH) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *slash = part + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        if (!make_folder(part)) return false;
    }
    return make_folder(part);
}
