/* SPDX-License-Identifier: MIT */
#include "comm/watchdog_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL /* where SO_NOSIGPIPE does it */
#define MSG_NOSIGNAL 0
#endif

static bool must_wait(int code)
{
    return code == EAGAIN || code == EWOULDBLOCK || code == EINTR;
}

void rm_link_close(rm_link *link)
{
    if (link->fd >= 0) close(link->fd);
    link->fd = -1;
    link->n_in = link->n_out = 0;
}

/* An error shows when something is received. */
void rm_link_flush(rm_link *link)
{
    while (link->fd >= 0 && link->n_out > 0) {
        ssize_t n = send(link->fd, link->out, (size_t)link->n_out, MSG_NOSIGNAL);
        if (n < 0 && !must_wait(errno)) link->n_out = 0;
        if (n <= 0) return;
        link->n_out -= (int)n;
        memmove(link->out, link->out + n, (size_t)link->n_out);
    }
}

void rm_link_send(rm_link *link, const rm_beat *beat, const rm_token *token)
{
    if (link->fd < 0 || link->n_out + RM_BEAT_BYTES > (int)sizeof link->out) return;
    rm_beat_encode(beat, token, link->out + link->n_out);
    link->n_out += RM_BEAT_BYTES;
    rm_link_flush(link);
}

rm_link_news rm_link_receive(rm_link *link, const rm_token *token, rm_beat *beat)
{
    if (link->fd < 0) return RM_LINK_NOTHING;
    while (link->n_in < RM_BEAT_BYTES) {
        ssize_t n =
            recv(link->fd, link->in + link->n_in, (size_t)(RM_BEAT_BYTES - link->n_in), 0);
        if (n < 0 && must_wait(errno)) return RM_LINK_NOTHING;
        if (n <= 0) {
            bool has_ended = n == 0 || errno == ECONNRESET;
            rm_link_close(link);
            return has_ended ? RM_LINK_ENDED : RM_LINK_FAILED;
        }
        link->n_in += (int)n;
    }
    link->n_in = 0;
    if (rm_beat_decode(link->in, token, beat)) return RM_LINK_BEAT;
    rm_link_close(link);
    return RM_LINK_FAILED;
}
