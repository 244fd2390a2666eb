/* SPDX-License-Identifier: MIT */
#include "base/pages.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* Advice for whole pages around the bytes. */
static int advise(const void *data, int64_t bytes, int advice)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)data & ~(page - 1);
    if (bytes <= 0) return 0;
    return madvise((void *)begin, (uintptr_t)data + (uintptr_t)bytes - begin, advice);
}

void rm_pages_ask(const void *data, int64_t bytes)
{
    advise(data, bytes, MADV_WILLNEED);
}

bool rm_pages_fetch(const void *data, int64_t bytes)
{
#ifdef MADV_POPULATE_READ
    return advise(data, bytes, MADV_POPULATE_READ) == 0 ||
           (errno != EFAULT && errno != EIO && errno != EHWPOISON);
#else
    advise(data, bytes, MADV_WILLNEED);
    return true;
#endif
}

void rm_pages_release(const void *data, int64_t bytes)
{
    advise(data, bytes, MADV_DONTNEED);
}
