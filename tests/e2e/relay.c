/* SPDX-License-Identifier: MIT
 *
 * A network of nodes that are namespaces of one machine, with what wires do to packets: delay,
 * jitter, loss, a rate. Each namespace gets a TUN device `link0`; what is sent there waits in
 * its sender's queue until it is due, and is then handed to the device of its address.
 *
 *   link0 of a --> | rate | loss | delay + jitter | --> by destination --> link0 of b, c, ..
 *
 * The devices say that they cut long packets themselves (TSO), so what TCP sends at once comes
 * here in pieces of up to 64 KiB, with a header that says how it would be cut, and goes on as
 * it is: one call in and one out for what would be forty packets on a wire.
 * Packets of one sender stay in order. Ready when it prints `ready`; SIGUSR1 cuts the network;
 * on SIGTERM it prints what passed, how long that was under way on average, what was lost, and
 * what the cut took. Linux, root.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { MOST_NODES = 8, QUEUE = 512, IPV4_HEADER = 20 };
enum { OFFLOAD_HEADER = sizeof(struct virtio_net_hdr), MOST_BYTES = OFFLOAD_HEADER + 65536 };

typedef struct relay_packet {
    int64_t sent, due; /* nanoseconds */
    int to, n_bytes;
    unsigned char bytes[MOST_BYTES]; /* behind the header of offloads */
} relay_packet;

/* One namespace, and what it has sent that is still under way: a ring, due times rising. */
typedef struct relay_node {
    int device;
    struct in_addr address;
    int64_t line_free;   /* when the last packet has left the sender */
    relay_packet *queue; /* [QUEUE] */
    int first, n_queued;
} relay_node;

typedef struct relay_network {
    relay_node nodes[MOST_NODES];
    int n_nodes;
    int64_t delay, jitter;  /* nanoseconds */
    double loss;            /* share of packets */
    double bits_per_second; /* of each sender; 0: no limit */
    uint64_t random;
    int64_t n_passed, n_lost, n_cut;
    int64_t n_refused; /* by the device of its address */
    int64_t under_way; /* nanoseconds of all that passed */
} relay_network;

static volatile sig_atomic_t is_cut, is_over;

static void on_signal(int signal)
{
    if (signal == SIGUSR1)
        is_cut = 1;
    else
        is_over = 1;
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* In [0, 1): xorshift64* (Vigna 2016). */
static double next_random(relay_network *network)
{
    uint64_t x = network->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    network->random = x;
    return (double)((x * 0x2545F4914F6CDD1D) >> 11) * 0x1p-53;
}

/* The device in the namespace of that name; -1 with a line on stderr. A device belongs to the
 * namespace in which /dev/net/tun was opened. */
static int open_device(const char *namespace)
{
    char path[256];
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    snprintf(path, sizeof path, "/run/netns/%s", namespace);
    snprintf(request.ifr_name, sizeof request.ifr_name, "link0");
    int place = open(path, O_RDONLY | O_CLOEXEC), device = -1;
    if (place >= 0 && setns(place, CLONE_NEWNET) == 0)
        device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (device < 0 || ioctl(device, TUNSETIFF, &request) != 0 ||
        ioctl(device, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) != 0) {
        fprintf(stderr, "relay: no TUN device in %s: %s\n", namespace, strerror(errno));
        if (device >= 0) close(device);
        device = -1;
    }
    if (place >= 0) close(place);
    return device;
}

static int node_of(const relay_network *network, const unsigned char *bytes, ssize_t n_bytes)
{
    struct in_addr destination;
    const unsigned char *packet = bytes + OFFLOAD_HEADER;
    if (n_bytes < OFFLOAD_HEADER + IPV4_HEADER || packet[0] >> 4 != 4) return -1;
    memcpy(&destination, packet + 16, sizeof destination);
    for (int i = 0; i < network->n_nodes; i++)
        if (network->nodes[i].address.s_addr == destination.s_addr) return i;
    return -1;
}

/* When the packet that is sent now arrives; it keeps the line busy for its bits. */
static int64_t due_time(relay_network *network, relay_node *from, int n_bytes)
{
    int64_t begin = now(), due;
    if (begin < from->line_free) begin = from->line_free;
    from->line_free = begin;
    if (network->bits_per_second > 0)
        from->line_free += (int64_t)(8e9 * n_bytes / network->bits_per_second);
    due = from->line_free + network->delay +
          (int64_t)(next_random(network) * (double)network->jitter);
    if (from->n_queued > 0) {
        int64_t before = from->queue[(from->first + from->n_queued - 1) % QUEUE].due;
        if (due < before) due = before;
    }
    return due;
}

/* Takes what the node sends, as far as its queue reaches. */
static void take_packets(relay_network *network, relay_node *from)
{
    while (from->n_queued < QUEUE) {
        relay_packet *packet = &from->queue[(from->first + from->n_queued) % QUEUE];
        ssize_t n_bytes = read(from->device, packet->bytes, MOST_BYTES);
        if (n_bytes <= 0) return;
        packet->to = node_of(network, packet->bytes, n_bytes);
        packet->n_bytes = (int)n_bytes;
        packet->sent = now();
        packet->due = due_time(network, from, packet->n_bytes - OFFLOAD_HEADER);
        if (packet->to < 0) continue;
        if (is_cut)
            network->n_cut++;
        else if (next_random(network) < network->loss)
            network->n_lost++;
        else
            from->n_queued++;
    }
}

/* Hands over what is due. */
static void give_packets(relay_network *network, relay_node *from)
{
    int64_t time = now();
    while (from->n_queued > 0 && from->queue[from->first].due <= time) {
        const relay_packet *packet = &from->queue[from->first];
        ssize_t written = is_cut ? 0
                                 : write(network->nodes[packet->to].device, packet->bytes,
                                         (size_t)packet->n_bytes);
        if (written == packet->n_bytes) {
            network->n_passed++;
            network->under_way += time - packet->sent;
        } else {
            *(is_cut ? &network->n_cut : &network->n_refused) += 1;
        }
        from->first = (from->first + 1) % QUEUE;
        from->n_queued--;
    }
}

/* Sleeps until something is sent or due. A device whose queue is full waits in the kernel. */
static void wait_for_packets(const relay_network *network, const sigset_t *while_waiting)
{
    struct pollfd devices[MOST_NODES];
    int64_t due = INT64_MAX;
    for (int i = 0; i < network->n_nodes; i++) {
        const relay_node *node = &network->nodes[i];
        devices[i] =
            (struct pollfd){.fd = node->device, .events = node->n_queued < QUEUE ? POLLIN : 0};
        if (node->n_queued > 0 && node->queue[node->first].due < due)
            due = node->queue[node->first].due;
    }
    int64_t left = due - now();
    if (left < 0) left = 0;
    struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    ppoll(devices, (nfds_t)network->n_nodes, due == INT64_MAX ? NULL : &timeout, while_waiting);
}

static void run(relay_network *network, const sigset_t *while_waiting)
{
    while (!is_over) {
        for (int i = 0; i < network->n_nodes; i++) {
            take_packets(network, &network->nodes[i]);
            give_packets(network, &network->nodes[i]);
        }
        wait_for_packets(network, while_waiting);
    }
    for (int i = 0; i < network->n_nodes; i++) {
        close(network->nodes[i].device);
        free(network->nodes[i].queue);
    }
    printf("passed %lld in %.0f us lost %lld refused %lld cut %lld\n",
           (long long)network->n_passed,
           1e-3 * (double)network->under_way / (double)(network->n_passed + !network->n_passed),
           (long long)network->n_lost, (long long)network->n_refused,
           (long long)network->n_cut);
}

/* NAMESPACE=ADDRESS */
static bool add_node(relay_network *network, char *word)
{
    char *address = strchr(word, '=');
    relay_node *node = &network->nodes[network->n_nodes];
    if (!address || network->n_nodes == MOST_NODES) return false;
    *address++ = '\0';
    if (inet_pton(AF_INET, address, &node->address) != 1) return false;
    node->device = open_device(word);
    node->queue = calloc(QUEUE, sizeof *node->queue);
    network->n_nodes++;
    return node->device >= 0 && node->queue;
}

/* Signals come in ppoll alone, so none is missed before it. */
static void set_signals(sigset_t *while_waiting)
{
    const int signals[] = {SIGUSR1, SIGTERM, SIGINT};
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t blocked;
    sigemptyset(&blocked);
    for (int i = 0; i < 3; i++) {
        sigaddset(&blocked, signals[i]);
        sigaction(signals[i], &action, NULL);
    }
    sigprocmask(SIG_BLOCK, &blocked, while_waiting);
}

int main(int argc, char **argv)
{
    static relay_network network = {.random = 88172645463325252};
    sigset_t while_waiting;
    if (argc < 7) {
        fprintf(stderr, "usage: relay DELAY_US JITTER_US LOSS_PERCENT MBIT_S NAMESPACE=ADDRESS "
                        "NAMESPACE=ADDRESS ...\n");
        return 2;
    }
    network.delay = (int64_t)(atof(argv[1]) * 1e3);
    network.jitter = (int64_t)(atof(argv[2]) * 1e3);
    network.loss = atof(argv[3]) / 100;
    network.bits_per_second = atof(argv[4]) * 1e6;
    set_signals(&while_waiting);
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    for (int i = 5; i < argc; i++)
        if (!add_node(&network, argv[i])) return 1;
    puts("ready");
    fflush(stdout);
    run(&network, &while_waiting);
    return 0;
}
