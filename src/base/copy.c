/* SPDX-License-Identifier: MIT */
#include "base/copy.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes a thread copies at a time, and those of a line of the caches. */
enum { COPIED_BYTES = 1 << 20, LINE_BYTES = 64 };

#ifdef __SSE2__
static void copy_past_caches(char *to, const char *from, int64_t bytes)
{
    int64_t head = (int64_t)(-(uintptr_t)to % LINE_BYTES);
    if (head > bytes) head = bytes;
    memcpy(to, from, (size_t)head);
    int64_t at = head;
    for (; at + LINE_BYTES <= bytes; at += LINE_BYTES) {
        const __m128i *source = (const __m128i *)(from + at);
        __m128i *target = (__m128i *)(to + at);
        __m128i a = _mm_loadu_si128(source), b = _mm_loadu_si128(source + 1);
        __m128i c = _mm_loadu_si128(source + 2), d = _mm_loadu_si128(source + 3);
        _mm_stream_si128(target, a);
        _mm_stream_si128(target + 1, b);
        _mm_stream_si128(target + 2, c);
        _mm_stream_si128(target + 3, d);
    }
    memcpy(to + at, from + at, (size_t)(bytes - at));
    _mm_sfence();
}
#else
static void copy_past_caches(char *to, const char *from, int64_t bytes)
{
    memcpy(to, from, (size_t)bytes);
}
#endif

void rm_copy(void *to, const void *from, int64_t bytes, int n_threads)
{
    int64_t n_pieces = (bytes + COPIED_BYTES - 1) / COPIED_BYTES;
#pragma omp parallel for num_threads(n_threads) if (n_pieces > 1)
    for (int64_t i = 0; i < n_pieces; i++) {
        int64_t first = i * COPIED_BYTES;
        int64_t n = bytes - first < COPIED_BYTES ? bytes - first : COPIED_BYTES;
        copy_past_caches((char *)to + first, (const char *)from + first, n);
    }
}
