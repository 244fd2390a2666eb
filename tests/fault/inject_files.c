/* SPDX-License-Identifier: MIT
 *
 * Functions of files, each as the system has it unless it is struck. They are made of bare
 * system calls, so that nothing is looked up by name while a program starts.
 */
#undef _FILE_OFFSET_BITS /* names with and without 64 are two functions here */
#include "inject.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* Returns from the function with this failure if the call is struck. */
#define STRIKE(kind, failure)                                                                  \
    do {                                                                                       \
        int struck = inject_strikes(kind, __builtin_return_address(0));                        \
        if (struck > 0) {                                                                      \
            errno = struck;                                                                    \
            return failure;                                                                    \
        }                                                                                      \
    } while (0)

/* Half of what was asked for. */
static size_t shortened(size_t size, int struck)
{
    return struck == INJECT_SHORT && size > 1 ? size / 2 : size;
}

static mode_t mode_of(int flags, va_list list)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                      \
    int name(const char *path, int flags, ...)                                                 \
    {                                                                                          \
        va_list list;                                                                          \
        va_start(list, flags);                                                                 \
        mode_t mode = mode_of(flags, list);                                                    \
        va_end(list);                                                                          \
        STRIKE(INJECT_OPEN, -1);                                                               \
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);                          \
    }
#define DEFINE_OPENAT(name)                                                                    \
    int name(int folder, const char *path, int flags, ...)                                     \
    {                                                                                          \
        va_list list;                                                                          \
        va_start(list, flags);                                                                 \
        mode_t mode = mode_of(flags, list);                                                    \
        va_end(list);                                                                          \
        STRIKE(INJECT_OPEN, -1);                                                               \
        return (int)syscall(SYS_openat, folder, path, flags, mode);                            \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

DIR *opendir(const char *path)
{
    STRIKE(INJECT_OPEN, NULL);
    int descriptor =
        (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return descriptor < 0 ? NULL : fdopendir(descriptor);
}

#define DEFINE_FOPEN(name)                                                                     \
    FILE *name(const char *path, const char *mode)                                             \
    {                                                                                          \
        STRIKE(INJECT_OPEN, NULL);                                                             \
        FILE *(*real)(const char *, const char *) =                                            \
            (FILE * (*)(const char *, const char *)) dlsym(RTLD_NEXT, "fopen64");              \
        return real(path, mode);                                                               \
    }
DEFINE_FOPEN(fopen)
DEFINE_FOPEN(fopen64)

ssize_t read(int descriptor, void *data, size_t size)
{
    int struck = inject_strikes(INJECT_READ, __builtin_return_address(0));
    if (struck > 0) return errno = struck, -1;
    return syscall(SYS_read, descriptor, data, shortened(size, struck));
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    int struck = inject_strikes(INJECT_WRITE, __builtin_return_address(0));
    if (struck > 0) return errno = struck, -1;
    return syscall(SYS_write, descriptor, data, shortened(size, struck));
}

#define DEFINE_AT(name, number, kind, type)                                                    \
    ssize_t name(int descriptor, type data, size_t size, off_t at)                             \
    {                                                                                          \
        int struck = inject_strikes(kind, __builtin_return_address(0));                        \
        if (struck > 0) return errno = struck, -1;                                             \
        return syscall(number, descriptor, data, shortened(size, struck), at);                 \
    }
DEFINE_AT(pread, SYS_pread64, INJECT_READ, void *)
DEFINE_AT(pread64, SYS_pread64, INJECT_READ, void *)
DEFINE_AT(pwrite, SYS_pwrite64, INJECT_WRITE, const void *)
DEFINE_AT(pwrite64, SYS_pwrite64, INJECT_WRITE, const void *)

/* Of several pieces the first alone, where it is to be short. */
ssize_t writev(int descriptor, const struct iovec *pieces, int n)
{
    int struck = inject_strikes(INJECT_WRITE, __builtin_return_address(0));
    if (struck > 0) return errno = struck, -1;
    return syscall(SYS_writev, descriptor, pieces, struck == INJECT_SHORT ? 1 : n);
}

int fsync(int descriptor)
{
    STRIKE(INJECT_SYNC, -1);
    return (int)syscall(SYS_fsync, descriptor);
}

int fdatasync(int descriptor)
{
    STRIKE(INJECT_SYNC, -1);
    return (int)syscall(SYS_fdatasync, descriptor);
}

int sync_file_range(int descriptor, off64_t from, off64_t bytes, unsigned flags)
{
    STRIKE(INJECT_WRITEBACK, -1);
    return (int)syscall(SYS_sync_file_range, descriptor, from, bytes, flags);
}

#define DEFINE_TRUNCATE(name)                                                                  \
    int name(int descriptor, off_t size)                                                       \
    {                                                                                          \
        STRIKE(INJECT_RESERVE, -1);                                                            \
        return (int)syscall(SYS_ftruncate, descriptor, size);                                  \
    }
DEFINE_TRUNCATE(ftruncate)
DEFINE_TRUNCATE(ftruncate64)

#define DEFINE_FALLOCATE(name)                                                                 \
    int name(int descriptor, int mode, off_t from, off_t bytes)                                \
    {                                                                                          \
        STRIKE(INJECT_RESERVE, -1);                                                            \
        return (int)syscall(SYS_fallocate, descriptor, mode, from, bytes);                     \
    }
DEFINE_FALLOCATE(fallocate)
DEFINE_FALLOCATE(fallocate64)

/* These tell of a failure by what they return. */
#define DEFINE_POSIX_FALLOCATE(name)                                                           \
    int name(int descriptor, off_t from, off_t bytes)                                          \
    {                                                                                          \
        int struck = inject_strikes(INJECT_RESERVE, __builtin_return_address(0));              \
        if (struck > 0) return struck;                                                         \
        return syscall(SYS_fallocate, descriptor, 0, from, bytes) == 0 ? 0 : errno;            \
    }
DEFINE_POSIX_FALLOCATE(posix_fallocate)
DEFINE_POSIX_FALLOCATE(posix_fallocate64)

/* A file is closed even where that is said to have failed. */
int close(int descriptor)
{
    int result = (int)syscall(SYS_close, descriptor);
    STRIKE(INJECT_CLOSE, -1);
    return result;
}

int rename(const char *from, const char *to)
{
    STRIKE(INJECT_RENAME, -1);
    return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    STRIKE(INJECT_RENAME, -1);
    return (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, 0);
}

int mkdir(const char *path, mode_t mode)
{
    STRIKE(INJECT_FOLDER, -1);
    return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

int mkdirat(int folder, const char *path, mode_t mode)
{
    STRIKE(INJECT_FOLDER, -1);
    return (int)syscall(SYS_mkdirat, folder, path, mode);
}

int unlink(const char *path)
{
    STRIKE(INJECT_REMOVE, -1);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

int unlinkat(int folder, const char *path, int flags)
{
    STRIKE(INJECT_REMOVE, -1);
    return (int)syscall(SYS_unlinkat, folder, path, flags);
}

int rmdir(const char *path)
{
    STRIKE(INJECT_REMOVE, -1);
    return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}

int symlink(const char *target, const char *path)
{
    STRIKE(INJECT_LINK, -1);
    return (int)syscall(SYS_symlinkat, target, AT_FDCWD, path);
}

int symlinkat(const char *target, int folder, const char *path)
{
    STRIKE(INJECT_LINK, -1);
    return (int)syscall(SYS_symlinkat, target, folder, path);
}

#define DEFINE_MMAP(name)                                                                      \
    void *name(void *address, size_t size, int protection, int flags, int descriptor,          \
               off_t at)                                                                       \
    {                                                                                          \
        STRIKE(INJECT_MAP, MAP_FAILED);                                                        \
        return (void *)syscall(SYS_mmap, address, size, protection, flags, descriptor, at);    \
    }
DEFINE_MMAP(mmap)
DEFINE_MMAP(mmap64)

int madvise(void *address, size_t size, int advice)
{
#ifdef MADV_POPULATE_READ
    if (advice == MADV_POPULATE_READ) STRIKE(INJECT_FETCH, -1);
#endif
    return (int)syscall(SYS_madvise, address, size, advice);
}
