# SPDX-License-Identifier: MIT
# Nodes on one machine: network namespaces, each with a link0 for the ranks, which a relay
# (relay.c) joins with delay, jitter, loss and a rate; and an mpiexec that starts ranks in them.
# Sourced after common.sh; $relay is the relay's program.
#
#   head (mpiexec) ---- node 0, 1, ..: a veth each, for control
#   node 0 ==== relay ==== node 1, ..: TUN devices
#
# Hydra itself waits for ever when its own connections are cut, so they are not the ones to cut.

head=ringmoe-$$-head
names=()
relay_process=

remove_nodes() {
    [ -z "$relay_process" ] || { kill "$relay_process" && wait "$relay_process"; } 2>/dev/null
    relay_process=
    for name in "${names[@]}" "$head"; do
        ip netns pids "$name" 2>/dev/null | xargs -r kill -KILL
        ip netns delete "$name" 2>/dev/null
    done
    names=()
}
trap 'remove_nodes; rm -rf "$work"' EXIT

nodes_needed() {
    [ "$(id -u)" -eq 0 ] || skip 'network namespaces need root'
    command -v ip >/dev/null || skip 'no ip (iproute2)'
    hydra_needed
    [ -x "$relay" ] || skip 'the relay is for Linux'
    [ -c /dev/net/tun ] || skip 'no /dev/net/tun'
}

# address NAMESPACE DEVICE ADDRESS: the device with it, up.
address() {
    ip -n "$1" address add "$3" dev "$2" && ip -n "$1" link set "$2" up
}

# add_node NUMBER: its namespace and its control link, from which mpiexec's address is reached.
add_node() {
    local name=ringmoe-$$-$1
    ip netns add "$name" || return
    names+=("$name")
    ip -n "$name" link set lo up &&
        ip -n "$head" link add "to$1" type veth peer name control netns "$name" &&
        address "$head" "to$1" "10.213.$((100 + $1)).1/24" &&
        address "$name" control "10.213.$((100 + $1)).2/24" || return
    [ "$1" -eq 0 ] || ip -n "$name" route add 10.213.100.1 via "10.213.$((100 + $1)).1"
}

# start_relay DELAY_US JITTER_US LOSS_PERCENT MBIT_S
start_relay() {
    local places=() node
    for node in "${!names[@]}"; do places+=("${names[node]}=10.213.77.$((node + 1))"); done
    "$relay" "$@" "${places[@]}" >relay.out 2>relay.err &
    relay_process=$!
    for _ in $(seq 50); do
        grep -q ready relay.out && break
        kill -0 "$relay_process" 2>/dev/null || break
        sleep 0.1
    done
    grep -q ready relay.out || return
    # A lost last packet is sent again after a multiple of the delay, not of the kernel's 200 ms.
    for node in "${!names[@]}"; do
        ip -n "${names[node]}" link set link0 mtu 9000 &&
            address "${names[node]}" link0 "10.213.77.$((node + 1))/32" &&
            ip -n "${names[node]}" route add 10.213.77.0/24 dev link0 \
                src "10.213.77.$((node + 1))" rto_min 20ms || return
    done
}

# What Hydra takes for ssh: options, a host, a command.
write_enter() {
    cat >enter <<SCRIPT
#!/bin/sh
while [ "\${1#-}" != "\$1" ]; do shift; done
number=\${1#10.213.}
number=\$((\${number%.2} - 100))
shift
exec ip netns exec "ringmoe-$$-\$number" sh -c "\$*"
SCRIPT
    chmod +x enter
}

# make_nodes COUNT DELAY_US JITTER_US LOSS_PERCENT MBIT_S: skips the test where it cannot be done.
make_nodes() {
    local count=$1 node
    shift
    nodes_needed
    { ip netns add "$head" && ip -n "$head" link set lo up; } 2>err || skip "$(cat err)"
    for node in $(seq 0 $((count - 1))); do
        add_node "$node" 2>err || skip "$(cat err)"
    done
    start_relay "$@" 2>err || skip "$(cat err relay.err)"
    write_enter
    export UCX_TLS=tcp,self
    on_nodes "$count" 1 "$ringmoe" --version >out 2>err ||
        skip "mpiexec between namespaces: $(tail -1 err)"
}

# on_nodes NODES RANKS_PER_NODE COMMAND...
on_nodes() {
    local nodes=$1 each=$2 hosts
    shift 2
    hosts=$(for node in $(seq 0 $((nodes - 1))); do echo "10.213.$((100 + node)).2"; done |
        paste -sd,)
    UCX_NET_DEVICES=link0 ip netns exec "$head" "$mpiexec" -localhost 10.213.100.1 \
        -launcher ssh -launcher-exec "$work/enter" -hosts "$hosts" -ppn "$each" \
        -n $((nodes * each)) "$@"
}

# The network goes dark, in the midst of what is under way.
cut_network() { kill -USR1 "$relay_process"; }
