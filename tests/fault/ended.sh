#!/bin/bash
# SPDX-License-Identifier: MIT
# A run is killed, or asked to end, at calls spread over all that it makes to the system, on any of
# its ranks, and goes on with another number of ranks: nothing that was promised is lost, and the
# steps are those of an undisturbed run.
. "$(dirname "$0")/faults.sh"
hydra_needed

# shellcheck disable=SC2086
done_well whole "$ringmoe" train $fault_run --out whole || finish
# injected_run RANKS VICTIM NAME VARIABLES...: a run of which one rank has them.
injected_run() {
    local ranks=$1 victim=$2 name=$3
    shift 3
    # A rank that is started as it is has no number.
    [ "$ranks" -eq 1 ] || set -- "$@" INJECT_RANK="$victim"
    # shellcheck disable=SC2086
    on_ranks "$ranks" env LD_PRELOAD="$inject" "$@" "$ringmoe" train $fault_run --watchdog 0 --out "$name"
}

# How many calls of each kind the first and the last of so many ranks make.
for ranks in 1 2 3; do
    for victim in 0 $((ranks - 1)); do
        done_well counted injected_run "$ranks" "$victim" counted \
            INJECT_COUNTS="counts-$ranks-$victim"
        rm -r counted
    done
done

# go_on NAME RANKS: from there to the end.
go_on() {
    local before latest from
    before=$(newest "$1")
    latest=$(promised "$1")
    [ "$before" -ge "$latest" ] || fail "$1: latest is $latest, the newest there $before"
    on_ranks "$2" "$ringmoe" train --resume --out "$1" --threads 1 >out 2>err ||
        { fail "$1, going on: status $?: $(tail -3 err)"; return; }
    from=$(sed -n 's/.*from *step \([0-9]*\).*/\1/p' out | head -1)
    [ "${from:-$before}" -ge "$latest" ] || fail "$1: goes on from $from, latest was $latest"
    as_undisturbed "$1" "$1"
}

# ended RANKS VICTIM KIND N HOW: a run that ends so, and goes on with another number of ranks.
number=0
ended() {
    local ranks=$1 how=$5 status name="run-$((++number))-on-$1-$3-$4-$5"
    injected_run "$ranks" "$2" "$name" INJECT="$3:$4:$how" >"$name.out" 2>"$name.err"
    status=$?
    case $how-$status in
    kill-0) fail "$name: killed, and its status is 0" ;;
    kill-*) ;;
    term-85) grep -q '"state": "preempted"' "$name/run.json" || fail "$name: 85, not preempted" ;;
    term-0) grep -q '"state": "finished"' "$name/run.json" || fail "$name: 0, not finished" ;;
    *) fail "$name: status $status: $(tail -2 "$name.err")" ;;
    esac
    if [ -e "$name/run.json" ]; then go_on "$name" $((ranks % 3 + 1)); fi
}

# spread KIND POINTS HOW: at so many of its calls, evenly, on one to three ranks in turn, by the
# first and the last rank in turn.
spread() {
    local i ranks victim calls
    for i in $(seq "$2"); do
        ranks=$((i % 3 + 1))
        victim=$((i / 3 % 2 * (ranks - 1)))
        calls=$(sed -n "s/^$1 //p" "counts-$ranks-$victim")
        [ "$calls" -gt 0 ] || continue
        ended "$ranks" "$victim" "$1" $((calls * i / ($2 + 1) + 1)) "$3"
        [ "$failures" -lt 5 ] || finish
    done
}

spread write 6 kill
spread sync 6 kill
spread rename 6 kill
spread remove 3 kill
spread write 12 term

# From one to two to three ranks and round again, asked to end within each of the first starts.
# shellcheck disable=SC2086
env LD_PRELOAD="$inject" INJECT=rename:8:usr1 "$ringmoe" train $fault_run --out requeued \
    >out 2>err
[ $? -eq 85 ] || fail "requeued: not 85: $(cat err)"
for ranks in 2 3 1; do
    # shellcheck disable=SC2046
    on_ranks $ranks env LD_PRELOAD="$inject" INJECT=rename:6:usr1 "$ringmoe" train --resume \
        --out requeued --threads 1 >out 2>err
    status=$?
    case $status in 0) break ;; 85) ;; *) fail "requeued on $ranks: $status: $(cat err)" ;; esac
done
[ "$status" -eq 0 ] || go_on requeued 2
as_undisturbed requeued requeued
finish
