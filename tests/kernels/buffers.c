/* SPDX-License-Identifier: MIT
 *
 * Watched buffers:
 *
 *   | forbidden page |mark.. buffer ..mark| ............ | forbidden page |
 *
 * A touch of a forbidden page ends the program with a fault; a write to a mark is found by
 * buffers_verify.
 */
#include "check.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { USABLE_BYTES = 1 << 20, MARK_BYTES = 256, MARK = 0xA5 };

bool buffers_create(check *c)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < MAX_BUFFERS; i++) {
        unsigned char *base = mmap(NULL, USABLE_BYTES + 2 * page, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (base == MAP_FAILED) return false;
        c->buffers[i] = (watched){.first = base + page, .last = base + page + USABLE_BYTES};
        if (mprotect(base, page, PROT_NONE) != 0 ||
            mprotect(c->buffers[i].last, page, PROT_NONE) != 0)
            return false;
    }
    return true;
}

void buffers_destroy(check *c)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < MAX_BUFFERS; i++)
        if (c->buffers[i].first) munmap(c->buffers[i].first - page, USABLE_BYTES + 2 * page);
}

void buffers_reset(check *c)
{
    c->n_taken = 0;
}

static size_t mark_before(const watched *buffer)
{
    size_t room = (size_t)(buffer->data - buffer->first);
    return room < MARK_BYTES ? room : MARK_BYTES;
}

static size_t mark_after(const watched *buffer)
{
    size_t room = (size_t)(buffer->last - buffer->data) - buffer->size;
    return room < MARK_BYTES ? room : MARK_BYTES;
}

void *buffer_take(check *c, int placement, int64_t n, size_t element)
{
    size_t size = (size_t)n * element;
    if (c->n_taken == MAX_BUFFERS || size > USABLE_BYTES - 2 * MARK_BYTES) {
        fail(c, "the checker asks for a buffer it has not: %zu bytes", size);
        c->n_taken = 0;
        size = 0;
    }
    watched *buffer = &c->buffers[c->n_taken++];
    buffer->size = size;
    if (placement == 0)
        buffer->data = buffer->last - size;
    else if (placement == 1)
        buffer->data = buffer->first;
    else
        buffer->data = buffer->first + MARK_BYTES + (size_t)(placement + c->n_taken) * element;
    memset(buffer->data - mark_before(buffer), MARK, mark_before(buffer));
    memset(buffer->data + size, MARK, mark_after(buffer));
    return buffer->data;
}

static bool is_marked(const unsigned char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != MARK) return false;
    return true;
}

void buffers_verify(check *c)
{
    for (int i = 0; i < c->n_taken; i++) {
        const watched *buffer = &c->buffers[i];
        if (!is_marked(buffer->data - mark_before(buffer), mark_before(buffer)))
            fail(c, "wrote before operand %d", i);
        if (!is_marked(buffer->data + buffer->size, mark_after(buffer)))
            fail(c, "wrote beyond operand %d", i);
    }
}
