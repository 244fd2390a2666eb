#!/bin/bash
# SPDX-License-Identifier: MIT
# A rank that dies as it begins a message: the others end soon, with a line that names it and a
# status that is not 0. mpiexec is told not to end them itself, and the ranks write their last words
# to a file, since mpiexec may end before it has handed them on, or before they are spoken. Where one
# was just copying from the memory of the rank that died, UCX calls abort(): no sooner than that.
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

# dies RANKS N OPTIONS...: at the n-th message.
dies() {
    local ranks=$1 n=$2 victim=$((RANDOM % $1)) name="dies-$1-$2" end died status
    shift 2
    # shellcheck disable=SC2046,SC2086
    words=$work/$name.err "$mpiexec" -disable-auto-cleanup -n "$ranks" \
        sh -c 'exec "$@" 2>>"$words"' rank $(injected "message:$n:kill" $victim) \
        "$ringmoe" train $endless "$@" --out "$work/$name" >"$name.out" &
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
    has "ringmoe train: watchdog: rank $victim " "$name.all"
}

# Within the first steps, at moments spread over what two steps send.
for _ in 1 2 3; do
    dies 2 $((calls / 2 + RANDOM % (calls / 3))) --ep 2
    dies 3 $((calls / 2 + RANDOM % (calls / 3))) --dp 3
done
finish
