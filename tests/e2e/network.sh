#!/bin/bash
# SPDX-License-Identifier: MIT
# Two and three nodes with a network of delay, jitter, loss and a rate between them, over TCP: the
# losses of one rank in every layout; and a network that is cut, or a rank beyond it that stops,
# ends the job with a name. Skipped where namespaces or TUN devices cannot be had, or where
# mpiexec is not Hydra.
relay=${4:+$(realpath "$4")}
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/nodes.sh"

limit=2
delay=200
make_nodes 3 $delay 100 1 100

small_config | sed 's/"num_hidden_layers": 2/"num_hidden_layers": 3/' >small.json
small_run=${small_run/--global-batch 8/--global-batch 12}
small_run=${small_run/--steps 6/--steps 4}

# shellcheck disable=SC2086
done_well 'one rank' "$ringmoe" train $small_run --threads 1 --out one
# shellcheck disable=SC2086
done_well 'one rank' "$ringmoe" train $small_run --threads 1 --reproducible --out fixed
column loss one/metrics.jsonl >one.losses
column loss fixed/metrics.jsonl >fixed.losses

# same NAME AS NODES RANKS_PER_NODE OPTIONS...: the losses of the run AS.
same() {
    local name=$1 as=$2 nodes=$3 each=$4 begin=$SECONDS
    shift 4
    # shellcheck disable=SC2086
    done_well "$name" on_nodes "$nodes" "$each" "$ringmoe" train $small_run --threads 1 \
        --watchdog "$limit" --out "$name" "$@" || return
    has "$nodes nodes" out
    column loss "$name/metrics.jsonl" >"$name.losses"
    cmp -s "$as.losses" "$name.losses" ||
        fail "$name: losses differ from one rank's: $(paste "$as.losses" "$name.losses")"
    echo "$name: $((SECONDS - begin)) s"
}

same experts one 2 1 --ep 2
same stages one 2 1 --pp 2
same data one 2 1 --dp 2
same tensors fixed 2 1 --tp 2 --reproducible
same stages-of-experts one 2 2 --pp 2 --ep 2
same three-stages one 3 1 --pp 3
same three-copies one 3 1 --dp 3

small_run=${small_run/--global-batch 12/--global-batch 8}
# shellcheck disable=SC2086
done_well 'one rank' "$ringmoe" train $small_run --threads 1 --out eight
column loss eight/metrics.jsonl >eight.losses
same two-level eight 2 2 --ep 4 --exchange two-level

# endless NAME: a run on two nodes in the background, past its first step; its process in $job.
endless() {
    # shellcheck disable=SC2086
    on_nodes 2 1 "$ringmoe" train $small_run --steps 1000000 --eval-every 0 --save-every 0 \
        --threads 1 --ep 2 --watchdog "$limit" --out "$1" >"$1.out" 2>"$1.err" &
    job=$!
    wait_until 60 test -s "$1/metrics.jsonl" && return
    fail "$1 does not begin: $(tail -3 "$1.err")"
    finish
}

# rank_on NODE: the process of the rank there, if any. (Its starters' command lines look alike.)
rank_on() {
    ip netns pids "${names[$1]}" | while read -r process; do
        [ "$(readlink "/proc/$process/exe")" = "$ringmoe" ] && echo "$process"
    done
}

none_on() { [ -z "$(rank_on "$1")" ]; }

# ended NAME: the rank on node 0 ends soon, and says which rank beyond the network is the cause.
ended() {
    local begin=$SECONDS
    while [ -n "$(rank_on 0)" ] && [ $((SECONDS - begin)) -le 60 ]; do sleep 0.2; done
    [ $((SECONDS - begin)) -le $((limit + 5)) ] ||
        fail "$1: ended only after $((SECONDS - begin)) s"
    cat "$1.out" "$1.err" >"$1.all"
    has 'watchdog: rank 1 \(process [0-9]+ on .*\) has not been heard of' "$1.all"
    echo "$1: $((SECONDS - begin)) s"
}

# failed NAME: so does the job, with all that is left of it.
failed() {
    local status
    wait_until 10 is_over "$job" || fail "$1: mpiexec goes on"
    kill -KILL "$job" 2>/dev/null
    wait "$job"
    status=$?
    [ "$status" -eq 75 ] || fail "$1: status $status, not 75"
    wait_until 10 none_on 1 || fail "$1: the other rank is still there"
}

# Left to itself, Hydra would wait for the stopped process of the other node.
endless stopped
kill -STOP "$(rank_on 1)"
ended stopped
failed stopped

endless cut
cut_network
ended cut
failed cut

kill "$relay_process" && wait "$relay_process"
relay_process=
tail -1 relay.out
# What the cut took does not count as lost.
read -r under_way lost cut < <(sed -n \
    's/^passed .* in \([0-9]*\) us lost \([0-9]*\) refused [0-9]* cut \([0-9]*\)$/\1 \2 \3/p' relay.out)
[ "${under_way:-0}" -ge "$delay" ] || fail "the network did not delay packets: $(cat relay.out)"
[ "${lost:-0}" -gt 0 ] || fail "the network lost no packet: $(cat relay.out)"
[ "${cut:-0}" -gt 0 ] || fail "the cut took no packet: $(cat relay.out)"
finish
