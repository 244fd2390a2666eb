/* SPDX-License-Identifier: MIT
 *
 * Sockets: which addresses this rank has, waiting for a call, calling. Everything is
 * nonblocking with a time limit, since a firewall may swallow what is sent.
 */
#include "comm/watchdog_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const unsigned char mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};

static bool is_mapped(const unsigned char address[16])
{
    return memcmp(address, mapped_prefix, sizeof mapped_prefix) == 0;
}

static void add_address(rm_card *card, const void *bytes, bool is_ipv4)
{
    if (card->n_addresses == RM_MAX_ADDRESSES) return;
    unsigned char *address = card->addresses[card->n_addresses++];
    if (is_ipv4) {
        memcpy(address, mapped_prefix, sizeof mapped_prefix);
        memcpy(address + 12, bytes, 4);
    } else {
        memcpy(address, bytes, 16);
    }
}

/* IPv4 first, which clusters use; addresses of the link alone are no good without its name. */
static void add_interfaces(rm_card *card)
{
    struct ifaddrs *list;
    if (getifaddrs(&list) != 0) return;
    for (int is_ipv4 = 1; is_ipv4 >= 0; is_ipv4--)
        for (struct ifaddrs *i = list; i; i = i->ifa_next) {
            if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) || (i->ifa_flags & IFF_LOOPBACK))
                continue;
            const struct sockaddr_in *four = (const void *)i->ifa_addr;
            const struct sockaddr_in6 *six = (const void *)i->ifa_addr;
            if (is_ipv4 && i->ifa_addr->sa_family == AF_INET)
                add_address(card, &four->sin_addr, true);
            if (!is_ipv4 && i->ifa_addr->sa_family == AF_INET6 &&
                !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr))
                add_address(card, &six->sin6_addr, false);
        }
    freeifaddrs(list);
}

/* Fills a socket address; returns its length. */
static socklen_t write_address(const unsigned char address[16], int32_t port,
                               struct sockaddr_storage *storage)
{
    memset(storage, 0, sizeof *storage);
    if (is_mapped(address)) {
        struct sockaddr_in *four = (void *)storage;
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        memcpy(&four->sin_addr, address + 12, 4);
        return sizeof *four;
    }
    struct sockaddr_in6 *six = (void *)storage;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    memcpy(&six->sin6_addr, address, 16);
    return sizeof *six;
}

/* No program that is started meanwhile inherits it, no signal comes from it, nothing waits. */
static int prepare(int fd)
{
    int on = 1;
    if (fd < 0) return fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef SO_NOSIGPIPE
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    return fd;
}

/* A socket bound to an address with a free port, or -1. */
static int bind_to(const unsigned char address[16])
{
    struct sockaddr_storage storage;
    socklen_t length = write_address(address, 0, &storage);
    int off = 0, fd = prepare(socket(storage.ss_family, SOCK_STREAM, 0));
    if (fd < 0) return -1;
    if (storage.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (struct sockaddr *)&storage, length) == 0 && listen(fd, 16) == 0) return fd;
    int code = errno;
    close(fd);
    errno = code;
    return -1;
}

static int32_t port_of(int fd)
{
    struct sockaddr_storage storage;
    socklen_t length = sizeof storage;
    if (getsockname(fd, (struct sockaddr *)&storage, &length) != 0) return 0;
    return ntohs(storage.ss_family == AF_INET ? ((struct sockaddr_in *)&storage)->sin_port
                                              : ((struct sockaddr_in6 *)&storage)->sin6_port);
}

int rm_door_open(bool within_node, rm_card *card, rm_error *error)
{
    static const unsigned char any_ipv6[16], loopback[4] = {127, 0, 0, 1}, any_ipv4[4];
    rm_card addresses = {0};
    add_address(&addresses, loopback, true);
    add_address(&addresses, any_ipv4, true);
    *card = (rm_card){.process = (int32_t)getpid()};
    gethostname(card->host, sizeof card->host - 1);
    add_address(card, loopback, true);
    if (!within_node) add_interfaces(card);

    int door = within_node ? bind_to(addresses.addresses[0]) : bind_to(any_ipv6);
    if (door < 0 && !within_node) door = bind_to(addresses.addresses[1]);
    if (door < 0) {
        rm_fail(error, RINGMOE_ERROR_STATE, "no socket to listen at: %s", strerror(errno));
        return -1;
    }
    card->port = port_of(door);
    return door;
}

/* Whether something happens at a socket within `seconds`. */
static bool await(int fd, short event, double seconds)
{
    struct pollfd waited = {.fd = fd, .events = event};
    return poll(&waited, 1, (int)(seconds * 1e3)) > 0;
}

int rm_door_answer(int door, double seconds)
{
    return await(door, POLLIN, seconds) ? prepare(accept(door, NULL, NULL)) : -1;
}

int rm_door_call(const rm_card *card, int i, double seconds)
{
    struct sockaddr_storage storage;
    socklen_t length = write_address(card->addresses[i], card->port, &storage);
    int fd = prepare(socket(storage.ss_family, SOCK_STREAM, 0));
    if (fd < 0) return -1;
    int code = connect(fd, (struct sockaddr *)&storage, length) == 0 ? 0 : errno;
    if (code == EINPROGRESS) {
        socklen_t bytes = sizeof code;
        code = ETIMEDOUT;
        if (await(fd, POLLOUT, seconds)) getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &bytes);
    }
    if (code == 0) return fd;
    close(fd);
    return -1;
}
