#!/bin/bash
# SPDX-License-Identifier: MIT
# Two nodes: network namespaces with a link of 100 Mbit/s between them, on which ranks talk over
# TCP. The same losses as on one rank; and a link that is cut ends the job with a name. Skipped
# where namespaces cannot be made, or where mpiexec is not Hydra.
. "$(dirname "$0")/common.sh"

skip() {
    echo "skipped: $*"
    exit 77
}

[ "$(id -u)" -eq 0 ] || skip 'network namespaces need root'
command -v ip >/dev/null && command -v tc >/dev/null || skip 'no ip and tc (iproute2)'
"$mpiexec" --version 2>/dev/null | grep -q HYDRA || skip 'mpiexec is not Hydra'

# head (mpiexec) ---- a, b: one link each, for control. a ==== b: link0, for the ranks.
# Hydra itself waits for ever when its own connections are cut, so they are not the ones to cut.
limit=2
head=ringmoe-$$-head
names=("ringmoe-$$-a" "ringmoe-$$-b")
hosts=(10.213.75.2 10.213.76.2)
remove_nodes() {
    for name in "${names[@]}" "$head"; do
        ip netns pids "$name" 2>/dev/null | xargs -r kill -KILL
        ip netns delete "$name" 2>/dev/null
    done
    rm -rf "$work"
}
trap remove_nodes EXIT

# address NAMESPACE DEVICE ADDRESS: the device with it, up.
address() {
    ip -n "$1" address add "$3" dev "$2" && ip -n "$1" link set "$2" up
}

make_nodes() {
    ip netns add "$head" && ip netns add "${names[0]}" && ip netns add "${names[1]}" &&
        ip -n "$head" link set lo up || return
    for node in 0 1; do
        ip -n "$head" link add "to$node" type veth peer name control netns "${names[node]}" &&
            address "$head" "to$node" "${hosts[node]%.2}.1/24" &&
            address "${names[node]}" control "${hosts[node]}/24" &&
            ip -n "${names[node]}" link set lo up || return
    done
    ip -n "${names[1]}" route add "${hosts[0]%.2}.1" via "${hosts[1]%.2}.1" || return
    ip -n "${names[0]}" link add link0 type veth peer name link0 netns "${names[1]}" || return
    for node in 0 1; do
        address "${names[node]}" link0 "10.213.77.$((node + 1))/24" || return
        tc -n "${names[node]}" qdisc add dev link0 root tbf rate 100mbit burst 64kb \
            latency 50ms || return
    done
}
make_nodes 2>err || skip "$(cat err)"

# The kernel calls a new link up only after a while, and UCX leaves out what is down.
for _ in $(seq 50); do
    [ "$(for name in "${names[@]}"; do ip -n "$name" link show link0; done | grep -c 'state UP')" \
        -eq 2 ] && break
    sleep 0.1
done

# What Hydra takes for ssh: options, a host, a command.
cat >enter <<SCRIPT
#!/bin/sh
while [ "\${1#-}" != "\$1" ]; do shift; done
case \$1 in
${hosts[0]}) name=${names[0]} ;;
*) name=${names[1]} ;;
esac
shift
exec ip netns exec "\$name" sh -c "\$*"
SCRIPT
chmod +x enter
export UCX_TLS=tcp,self UCX_NET_DEVICES=link0
on_two_nodes() {
    ip netns exec "$head" "$mpiexec" -localhost "${hosts[0]%.2}.1" -launcher ssh \
        -launcher-exec "$work/enter" -hosts "${hosts[0]},${hosts[1]}" -n 2 "$@"
}
on_two_nodes "$ringmoe" --version >out 2>err || skip "mpiexec between namespaces: $(tail -1 err)"

small_config >small.json
# shellcheck disable=SC2086
UCX_NET_DEVICES=all done_well 'one rank' "$ringmoe" train $small_run --threads 1 --out one
# shellcheck disable=SC2086
done_well 'two nodes' on_two_nodes "$ringmoe" train $small_run --threads 1 --ep 2 \
    --watchdog "$limit" --out two
has '2 nodes' out
column loss one/metrics.jsonl >one.losses
column loss two/metrics.jsonl >two.losses
cmp -s one.losses two.losses ||
    fail "losses differ between one rank and two nodes: $(paste one.losses two.losses)"

# The link goes down in the midst of a run.
# shellcheck disable=SC2086
on_two_nodes "$ringmoe" train $small_run --steps 1000000 --eval-every 0 --save-every 0 \
    --threads 1 --ep 2 --watchdog "$limit" --out cut >out 2>err &
job=$!
for _ in $(seq 200); do
    [ -s cut/metrics.jsonl ] && break
    sleep 0.1
done
ip -n "${names[0]}" link set link0 down
begin=$SECONDS
wait "$job"
status=$?
[ "$status" -ne 0 ] || fail "a job over a cut link ends with status 0"
[ $((SECONDS - begin)) -le $((limit + 5)) ] || fail "it ended only after $((SECONDS - begin)) s"
has 'watchdog: rank 1 \(process [0-9]+ on .*\) has not been heard of' err
finish
