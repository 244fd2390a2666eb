/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <sys/mman.h>

void *rm_arena_take(rm_arena *arena, int64_t count, size_t size)
{
    size_t bytes;
    if (count < 0 || __builtin_mul_overflow((size_t)count, size, &bytes) ||
        bytes > SIZE_MAX / 4 - arena->used) {
        arena->overflow = 1;
        return NULL;
    }
    size_t start = arena->used;
    arena->used += (bytes + RM_ARENA_ALIGN - 1) / RM_ARENA_ALIGN * RM_ARENA_ALIGN;
    return arena->base && arena->used <= arena->reserved ? arena->base + start : NULL;
}

ringmoe_status rm_arena_reserve(rm_arena *arena, size_t bytes, rm_error *error)
{
    if (arena->overflow)
        return rm_fail(error, RINGMOE_ERROR_MEMORY,
                       "the sizes asked for exceed the address space; use a smaller model or "
                       "batch");
    size_t reserved = bytes ? bytes : RM_ARENA_ALIGN;
    void *base = mmap(NULL, reserved, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return rm_fail(
            error, RINGMOE_ERROR_MEMORY,
            "the system refused %zu MiB of memory; use a smaller model, microbatch or "
            "more ranks",
            reserved >> 20);
#ifdef MADV_HUGEPAGE
    if (reserved >= (size_t)4 << 20) madvise(base, reserved, MADV_HUGEPAGE);
#endif
    *arena = (rm_arena){.base = base, .reserved = reserved};
    return RINGMOE_OK;
}

/* The least page of any system this runs on. */
enum { PAGE_BYTES = 4096 };

void rm_arena_touch(const rm_arena *arena, int n_threads)
{
    size_t n_pages = arena->base ? (arena->reserved + PAGE_BYTES - 1) / PAGE_BYTES : 0;
#pragma omp parallel for num_threads(n_threads)
    for (size_t i = 0; i < n_pages; i++) {
        volatile char *page = arena->base + i * PAGE_BYTES;
        *page = *page;
    }
}

void rm_arena_free(rm_arena *arena)
{
    if (arena->base) munmap(arena->base, arena->reserved);
    *arena = (rm_arena){0};
}
