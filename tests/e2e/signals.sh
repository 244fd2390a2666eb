#!/bin/bash
# SPDX-License-Identifier: MIT
# SIGTERM, SIGUSR1 and Ctrl-C at any moment and on any rank: the step is finished, the state saved,
# the status 85; the second one ends at once. Ranks that srun starts alone are refused.
. "$(dirname "$0")/common.sh"

small_config >small.json
endless="${small_run/--steps 6/--steps 1000000} --eval-every 0 --threads 1"

# Each rank's own status in a file of its own, since mpiexec has only one.
cat >rank.sh <<'RANK'
"$@"
status=$?
echo $status >"rank-$$.status"
exit $status
RANK

# start NAME RANKS OPTIONS...: a run in the background, 0 ranks: without mpiexec. Leaves the process
# in $job. "each" before it all: with rank.sh.
start() {
    local each=()
    [ "$1" = each ] && { each=(bash "$work/rank.sh"); shift; }
    local name=$1 launch=()
    launched=$2
    [ "$2" -eq 0 ] || launch=("$mpiexec" -n "$2")
    shift 2
    "${launch[@]}" "${each[@]}" "$ringmoe" train "$@" --out "$work/$name" >"$name.out" 2>"$name.err" &
    job=$!
}

lines() { if [ -e "$1/metrics.jsonl" ]; then wc -l <"$1/metrics.jsonl"; else echo 0; fi; }
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }
is_in_state() { grep -q "\"state\": \"$2\"" "$1/run.json"; }
# Whether all ranks of a run have a handler for SIGUSR1: bit 9 of their mask.
are_watching() {
    local process watching=0
    for process in $(ranks_of "$1"); do
        [ $((0x$(sed -n 's/^SigCgt:[ \t]*//p' "/proc/$process/status") & 0x200)) -eq 0 ] ||
            watching=$((watching + 1))
    done
    [ "$watching" -eq "$2" ]
}
ranks_of() { pgrep -f -- "^$ringmoe train .*--out $work/$1\$"; }

# signal_rank NAME SIGNAL: one rank of the run, whichever.
signal_rank() {
    local ranks
    mapfile -t ranks < <(ranks_of "$1")
    kill "-$2" "${ranks[RANDOM % ${#ranks[@]}]}"
}

# ends NAME STATUS STATE. mpiexec makes 0 of a status now and then, mostly of a signal it passed on.
ends() {
    local status
    if ! wait_until 60 is_over "$job"; then
        fail "$1 goes on after the signal"
        # shellcheck disable=SC2046
        kill -KILL "$job" $(ranks_of "$1")
    fi
    wait "$job"
    status=$?
    [ "$launched" -gt 0 ] && [ "$status" -eq 0 ] && status=$2
    [ "$status" -eq "$2" ] || fail "$1: status $status, not $2: $(cat "$1.err")"
    is_in_state "$1" "$3" || fail "$1: not $3: $(grep '"state"' "$1/run.json")"
}

# ends_saved NAME: as a run does that is to go on.
ends_saved() {
    local last
    ends "$1" 85 preempted
    has "^ringmoe train: interrupted and saved after step [0-9]+: go on with .* --resume" "$1.err"
    last=$(column step "$1/metrics.jsonl" | tail -1)
    [ -d "$(printf '%s/checkpoints/step-%06d' "$1" "$last")" ] ||
        fail "$1: step $last was not saved: $(ls "$1/checkpoints")"
    [ "$(grep -c '^ringmoe' "$1.err")" -eq 1 ] || fail "$1: not one line: $(cat "$1.err")"
}

# Each signal, alone and on one rank of two and three.
for ranks in 0 2 3; do
    for signal in TERM USR1 INT; do
        name=$signal-$ranks
        # shellcheck disable=SC2086
        start "$name" $ranks ${endless/--global-batch 8/--global-batch 12}
        wait_until 60 has_lines "$name" $((2 + RANDOM % 20)) || fail "$name does not begin"
        signal_rank "$name" $signal
        ends_saved "$name"
    done
done
has 'saved after step' TERM-3.err
step=$(column step TERM-3/metrics.jsonl | tail -1)
done_well 'gone on' "$mpiexec" -n 2 "$ringmoe" train --resume --out TERM-3 --threads 1 \
    --steps $((step + 3))
has "from +step $step" out
is_in_state TERM-3 finished || fail 'gone on: not finished'

# Preempted again and again, a step or two after it went on, so that each step is once the one in
# which the signal comes: in the end the weights of a run that was left alone.
long_steps="${small_run/--steps 6/--steps 12} --threads 1 --save-async off --keep 0"
long_steps="${long_steps/--global-batch 8/--global-batch 192}"
# shellcheck disable=SC2086
done_well undisturbed "$mpiexec" -n 2 "$ringmoe" train $long_steps --out undisturbed
for first in 1 2; do
    name=stepwise-$first
    cuts=0
    # shellcheck disable=SC2086
    start $name 2 $long_steps
    wait_until 60 has_lines $name $first
    while [ "$(lines $name)" -lt 9 ]; do
        signal_rank $name USR1
        ends_saved $name
        cuts=$((cuts + 1))
        next=$(($(lines $name) + 1))
        start $name 2 --resume --threads 1
        wait_until 60 has_lines $name $next
    done
    ends $name 0 finished
    [ "$cuts" -ge 2 ] || fail "$name was cut off only $cuts times"
    [ "$(checksums $name/checkpoints/step-000012)" = \
        "$(checksums undisturbed/checkpoints/step-000012)" ] || fail "$name: the weights differ"
done

# A launcher passes on what it gets, and the ranks may have got it already.
for signal in USR1 INT; do
    # shellcheck disable=SC2086
    start "launcher-$signal" 2 $endless
    wait_until 60 has_lines "launcher-$signal" 3
    kill -$signal "$job"
    ends_saved "launcher-$signal"
done
# shellcheck disable=SC2086
start each echo 2 $endless
wait_until 60 has_lines echo 3
mapfile -t ranks < <(ranks_of echo)
kill -USR1 "${ranks[@]}"
kill -TERM "${ranks[@]}"
kill -TERM "${ranks[@]}"
ends_saved echo
[ "$(cat rank-*.status | tr '\n' ' ')" = '85 85 ' ] || fail "statuses of ranks: $(cat rank-*.status)"

# Before the first step there is nothing to save.
for ranks in 0 2; do
    # shellcheck disable=SC2086
    start early-$ranks $ranks $endless
    wait_until 60 are_watching early-$ranks $((ranks > 0 ? ranks : 1))
    signal_rank early-$ranks TERM
    ends early-$ranks 85 preempted
    # A quick machine may have done some by then.
    if [ "$(lines early-$ranks)" -eq 0 ]; then
        has 'interrupted before the first step: go on with .* --resume' early-$ranks.err
    else
        has 'interrupted and saved after step' early-$ranks.err
    fi
done
done_well 'gone on' "$ringmoe" train --resume --out early-2 --threads 1 \
    --steps $(($(lines early-2) + 2))

# A step of many seconds, and a second signal within it.
for ranks in 0 2; do
    # shellcheck disable=SC2086
    start second-$ranks $ranks ${endless/--global-batch 8/--global-batch 32768}
    wait_until 60 is_in_state second-$ranks running
    sleep 0.5
    mapfile -t processes < <(ranks_of second-$ranks)
    kill -USR1 "${processes[@]}"
    sleep 1.5
    kill -0 "$job" || fail "second-$ranks: the first signal ended it: $(cat second-$ranks.err)"
    kill -TERM "${processes[0]}"
    wait_until 60 is_over "$job" || { fail "second-$ranks goes on"; kill -KILL "${processes[@]}"; }
    wait "$job"
    status=$?
    case $status in 0 | 85) fail "second-$ranks: status $status" ;; esac
    is_in_state second-$ranks running || fail "second-$ranks: $(grep state second-$ranks/run.json)"
done

# A run that has come to its end is finished, whatever comes; the sample is cut short.
sed 's/"max_position_embeddings": 256/"max_position_embeddings": 65536/' small.json >long.json
for ranks in 0 2; do
    # shellcheck disable=SC2086
    start sample-$ranks $ranks ${small_run/small.json/long.json} --threads 1 --sample-tokens 60000
    wait_until 60 is_in_state sample-$ranks finished
    signal_rank sample-$ranks TERM
    ends sample-$ranks 0 finished
    has '^try' sample-$ranks.out
    [ ! -s sample-$ranks.err ] || fail "sample-$ranks: $(cat sample-$ranks.err)"
done

# As srun --mpi=none starts four ranks, of which the first speaks for all.
step=(env SLURM_JOB_ID=7 SLURM_STEP_ID=0 SLURM_NTASKS=4)
refused 'four lone ranks' 2 'srun --mpi=pmi2' "${step[@]}" SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=4 \
    "$ringmoe" train --data synthetic --out lone
refused 'an older srun' 2 'srun --mpi=pmi2' "${step[@]}" SLURM_PROCID=0 "$ringmoe" eval --data x
"${step[@]}" SLURM_PROCID=3 "$ringmoe" train --data synthetic --out lone >out 2>err
[ $? -eq 2 ] || fail 'the last of four lone ranks goes on'
[ ! -s err ] || fail "the last of four lone ranks: $(cat err)"
absent lone
done_well 'info in a step' "${step[@]}" SLURM_PROCID=0 "$ringmoe" info
# In the shell of a job, in a step of one task, and where mpiexec was told to start one rank.
for place in 'SLURM_NTASKS=4 SLURM_PROCID=0' \
    'SLURM_NTASKS=4 SLURM_STEP_ID=0 SLURM_PROCID=0 SLURM_STEP_NUM_TASKS=1' \
    'SLURM_NTASKS=4 SLURM_STEP_ID=0 SLURM_PROCID=0 PMI_SIZE=1'; do
    # shellcheck disable=SC2086
    refused "one rank by intention: $place" 2 'no --model' env $place "$ringmoe" eval --data x
done
finish
