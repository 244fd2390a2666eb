/* SPDX-License-Identifier: MIT */
#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"

#ifndef O_DIRECT
#define O_DIRECT 0
#endif

static ringmoe_status fail_errno(rm_error *error, const char *what, const rm_disk_file *file)
{
    return rm_fail(error, RINGMOE_ERROR_FILE, "%s: cannot %s: %s", file->path, what,
                   strerror(errno));
}

static int create_retrying(const char *path, int flags)
{
    int descriptor;
    do descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0666);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

ringmoe_status rm_disk_create(rm_disk_file *file, const char *path, rm_error *error)
{
    *file = (rm_disk_file){.path = path, .direct = O_DIRECT != 0};
    file->descriptor = create_retrying(path, O_DIRECT);
    if (file->descriptor < 0 && errno == EINVAL && file->direct) {
        /* The file system has no such way; it may have made the file before it said so. */
        unlink(path);
        file->direct = false;
        file->descriptor = create_retrying(path, 0);
    }
    return file->descriptor < 0 ? fail_errno(error, "create it", file) : RINGMOE_OK;
}

/* From now on through the cache. */
static void leave_direct(rm_disk_file *file)
{
    int flags = fcntl(file->descriptor, F_GETFL);
    file->direct = false;
    if (flags >= 0) fcntl(file->descriptor, F_SETFL, flags & ~O_DIRECT);
    file->sent = file->written;
}

#ifdef SYNC_FILE_RANGE_WRITE
/* A file system need not have this. But an error of the disk is told once: what is not heeded
 * here no later fsync repeats. */
static ringmoe_status send_range(const rm_disk_file *file, int64_t first, int64_t end,
                                 unsigned flags, rm_error *error)
{
    int failed;
    do failed = sync_file_range(file->descriptor, first, end - first, flags);
    while (failed && errno == EINTR);
    if (!failed || errno == ENOSYS || errno == EINVAL || errno == ESPIPE) return RINGMOE_OK;
    return fail_errno(error, "write it", file);
}
#endif

/* The last block but one has gone to the disk by now, or is waited for. */
static ringmoe_status send_on(rm_disk_file *file, rm_error *error)
{
#ifdef SYNC_FILE_RANGE_WRITE
    int64_t before = file->sent;
    RM_TRY(send_range(file, before, file->written, SYNC_FILE_RANGE_WRITE, error));
    if (before > 0) {
        RM_TRY(send_range(file, 0, before,
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                              SYNC_FILE_RANGE_WAIT_AFTER,
                          error));
        posix_fadvise(file->descriptor, 0, before, POSIX_FADV_DONTNEED);
    }
#endif
    file->sent = file->written;
    return RINGMOE_OK;
}

static ringmoe_status write_fully(rm_disk_file *file, const char *data, int64_t bytes,
                                  rm_error *error)
{
    for (int64_t done = 0; done < bytes;) {
        ssize_t put = write(file->descriptor, data + done, (size_t)(bytes - done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0 && errno == EINVAL && file->direct) {
            leave_direct(file);
            continue;
        }
        if (put < 0) return fail_errno(error, "write it", file);
        done += put;
        file->written += put;
    }
    return RINGMOE_OK;
}

ringmoe_status rm_disk_write(rm_disk_file *file, const void *data, int64_t bytes,
                             rm_error *error)
{
    int64_t aligned = file->direct ? bytes - bytes % RM_DISK_ALIGN : bytes;
    RM_TRY(write_fully(file, data, aligned, error));
    if (aligned < bytes) leave_direct(file);
    RM_TRY(write_fully(file, (const char *)data + aligned, bytes - aligned, error));
    return file->direct ? RINGMOE_OK : send_on(file, error);
}

ringmoe_status rm_disk_finish(rm_disk_file *file, rm_error *error)
{
    ringmoe_status status = RINGMOE_OK;
    if (rm_descriptor_sync(file->descriptor) != 0)
        status = fail_errno(error, "bring it to the disk", file);
    if (close(file->descriptor) != 0 && status == RINGMOE_OK && errno != EINTR)
        status = fail_errno(error, "close it", file);
    file->descriptor = -1;
    return status;
}

void rm_disk_close(rm_disk_file *file)
{
    if (file->path && file->descriptor >= 0) close(file->descriptor);
    file->descriptor = -1;
}
