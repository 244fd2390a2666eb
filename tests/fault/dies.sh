#!/bin/bash
# SPDX-License-Identifier: MIT
# A rank that dies as it begins a message, or hangs within a pass: the job ends soon, with a
# line that names it and the watchdog's status. Where another was just copying from the memory of the
# one that died, UCX calls abort(): no sooner than that.
. "$(dirname "$0")/faults.sh"
hydra_needed

limit=2
endless=${fault_run/--steps 6/--steps 1000000}
endless="${endless/--save-every 1/--save-every 0} --minutes 5 --watchdog $limit"

# shellcheck disable=SC2086
done_well counted "$mpiexec" -n 2 env LD_PRELOAD="$inject" INJECT_COUNTS=counts INJECT_RANK=0 \
    "$ringmoe" train ${fault_run/--save-every 1/--save-every 0} --ep 2 --out counted
calls=$(sed -n 's/^message //p' counts)
[ "$calls" -gt 20 ] || fail "only $calls messages"

# left NAME: how many of its ranks there are.
left() { pgrep -c -r S,R,D -f -- "^$ringmoe train .*--out $work/$1\$"; }
none_left() { [ "$(left "$1")" -eq 0 ]; }

runs=0
# dies RANKS N OPTIONS...: at the n-th message.
dies() {
    local ranks=$1 n=$2 victim=$((RANDOM % $1)) name="dies-$1-$((++runs))" end died status
    shift 2
    # shellcheck disable=SC2046,SC2086
    "$mpiexec" -n "$ranks" $(injected "message:$n:kill" $victim) \
        "$ringmoe" train $endless "$@" --out "$work/$name" >"$name.out" 2>"$name.err" &
    job=$!
    died=
    for _ in $(seq 600); do
        [ "$(left "$name")" -ne "$ranks" ] &&
            [ -s "$name/run.json" ] && died=$SECONDS && break
        sleep 0.1
    done
    wait "$job"
    status=$?
    end=$SECONDS
    wait_until 30 none_left "$name" || fail "$name: ranks go on after mpiexec has ended"
    [ -n "$died" ] || fail "$name: nobody died"
    [ "$status" -ne 0 ] || fail "$name: status 0"
    [ $((end - ${died:-0})) -le 10 ] || fail "$name: the others ended after $((end - died)) s"
    cat "$name.out" "$name.err" >"$name.all"
    has "ringmoe train: watchdog: rank $victim .* has ended without a word; it was" "$name.all"
}

# hangs RANKS N OPTIONS...: it computes for ever where tokens are exchanged for the n-th time, and the
# others wait for it.
hangs() {
    local ranks=$1 n=$2 victim=$((RANDOM % $1)) name="hangs-$1-$2" status
    shift 2
    # shellcheck disable=SC2046,SC2086
    timeout 120 "$mpiexec" -n "$ranks" $(injected "exchange:$n:loop" $victim) "$ringmoe" train $endless \
        --watchdog 1 --eval-every 0 "$@" --out "$work/$name" >"$name.out" 2>"$name.err"
    status=$?
    [ "$status" -eq 75 ] || fail "$name: status $status, not 75"
    none_left "$name" || pkill -KILL -f -- "--out $work/$name\$"
    has "ringmoe train: watchdog: rank $victim .* hangs: never before .*; it is computing since .* \\(.*, step " "$name.err"
    has "ringmoe train: watchdog: rank $(((victim + 1) % ranks)) is waiting in .* for " "$name.err"
}

# Within the first steps, at moments spread over what two steps send.
for _ in 1 2 3; do
    dies 2 $((calls / 2 + RANDOM % (calls / 3))) --ep 2
    dies 3 $((calls / 2 + RANDOM % (calls / 3))) --dp 3
done
exchanges=$(sed -n 's/^exchange //p' counts)
[ "$exchanges" -gt 4 ] || fail "only $exchanges exchanges"
hangs 2 $((exchanges / 2 + RANDOM % (exchanges / 3))) --ep 2
finish
