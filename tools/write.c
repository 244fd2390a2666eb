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

bool write_atomically(const char *path, const void *data, size_t size)
{
    char temporary[MAX_PATH + 8];
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    int descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (descriptor < 0) return false;
    bool written = write_fully(descriptor, data, size) && fsync(descriptor) == 0;
    int problem = errno;
    if (close(descriptor) == 0 && written && rename(temporary, path) == 0) return true;
    if (written) problem = errno;
    unlink(temporary);
    errno = problem;
    return false;
}

bool make_folders(const char *path)
{
    char part[MAX_PATH];
    struct stat about;
    if (snprintf(part, sizeof part, "%s", path) >= MAX_PATH) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *slash = part + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) return false;
    }
    if (mkdir(part, 0777) == 0) return true;
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return true;
    return false;
}
