#!/bin/bash
# SPDX-License-Identifier: MIT
# Ranks that stop or die at any moment: the job ends soon, with the rank's name and a status that
# is not 0. A rank that is only slow ends nothing.
. "$(dirname "$0")/common.sh"

limit=2
small_config >small.json
small_run=${small_run/--global-batch 8/--global-batch 12}

# start NAME RANKS MINUTES: a run in the background that would last so long. Leaves its process in
# $job and, once it is past its first step, those of its ranks in $ranks.
start() {
    # shellcheck disable=SC2086
    "$mpiexec" -n "$2" "$ringmoe" train $small_run --steps 1000000 --minutes "$3" --save-every 0 --eval-every 0 \
        --sample-tokens 0 --threads 1 --watchdog "$limit" --out "$work/$1" \
        >"$1.out" 2>"$1.err" &
    job=$!
    wait_until 60 test -s "$1/metrics.jsonl"
    mapfile -t ranks < <(pgrep -f -- "^$ringmoe train .*--out $work/$1\$")
    [ "${#ranks[@]}" -eq "$2" ] && return
    fail "$1: ${#ranks[@]} processes, not $2: $(cat "$1.err")"
    finish
}

# Waits for $job: its status goes to $status, the seconds until then to $took.
wait_for_job() {
    local begin=$SECONDS
    wait "$job"
    status=$?
    took=$((SECONDS - begin))
}

# Beside each rank a shell keeps mpiexec waiting for a moment; none stays for long.
holders() {
    local process
    for process in $(pgrep -f -- 'ringmoe-holds-mpiexec$'); do
        [ "$(readlink "/proc/$process/cwd")" != "$work" ] || echo "$process"
    done
}
no_holders() { [ -z "$(holders)" ]; }
none_left() { ! pgrep -r S,R,D -f -- "^$ringmoe train .*--out $work/$1\$"; }

# struck NAME RANKS SIGNAL PATTERN: one rank gets the signal at some moment of the run. The watchdog
# says PATTERN of it and ends the job.
struck() {
    start "$1" "$2" 10
    local victim=${ranks[RANDOM % $2]}
    sleep "0.$((RANDOM % 10))"
    kill "-$3" "$victim"
    wait_for_job
    wait_until 10 none_left "$1" || fail "$1: ranks go on after mpiexec has ended"
    wait_until 10 no_holders || fail "$1: shells beside the ranks go on"
    kill -KILL "$victim" 2>/dev/null
    [ "$status" -ne 0 ] || fail "$1: status 0"
    [ "$took" -le $((limit + 5)) ] || fail "$1: ended only after $took s"
    cat "$1.out" "$1.err" >"$1.all"
    has "ringmoe train: watchdog: rank [0-9] \(process $victim on [^)]*\) $4" "$1.all"
}

silent='has not been heard of for [0-9.]+ s: it is stopped or cut off; before, it was '
struck stopped 3 STOP "$silent"
has 'ringmoe train: watchdog: rank [0-9] is (computing|waiting in .* for rank.*) since' stopped.all
has 'before: .* with ranks 0 to 2, done [0-9.]+ s ago after' stopped.all
[ "$status" -eq 75 ] || fail "a job with a stopped rank ends with status $status, not 75"
struck stopped-pair 2 STOP "$silent"
# Hydra ends the others as soon as it knows that one has died: not before they have said it.
gone='has ended without a word; it was last heard of '
for n in 2 3; do
    struck "dead-$n" $n KILL "$gone"
done

# A job that is suspended as a whole, its ranks not quite at the same time, goes on where it was.
# Nor does it need the shells beside its ranks.
start suspended 3 0.3
# shellcheck disable=SC2046
! "$mpiexec" --version 2>/dev/null | grep -q HYDRA || kill -KILL $(holders) || fail 'no shells'
for _ in 1 2 3; do
    kill -STOP "${ranks[1]}" "${ranks[2]}"
    sleep 0.5
    kill -STOP "${ranks[0]}"
    sleep 3
    kill -CONT "${ranks[1]}" "${ranks[2]}"
    sleep 0.2
    kill -CONT "${ranks[0]}"
    sleep 0.5
done
wait_for_job
[ "$status" -eq 0 ] || fail "a suspended run ends with status $status: $(cat suspended.err)"

# Nine tenths of the time one rank stands still, but never for as long as the limit.
start slow 3 0.12
while kill -0 "$job" 2>/dev/null && kill -STOP "${ranks[1]}" 2>/dev/null; do
    sleep 0.9
    kill -CONT "${ranks[1]}"
    sleep 0.1
done
wait_for_job
[ "$status" -eq 0 ] || fail "a slow run ends with status $status: $(cat slow.err)"
[ ! -s slow.err ] || fail "a slow run: $(cat slow.err)"
has 'the time is up' slow.out

refused 'a limit that is too short' 2 'watchdog_seconds is 0.01' "$mpiexec" -n 2 "$ringmoe" eval \
    --model slow --data synthetic --watchdog 0.01
done_well 'no watchdog' "$mpiexec" -n 2 "$ringmoe" eval --model slow --data synthetic \
    --seq-len 32 --max-sequences 4 --watchdog 0
finish
