#!/bin/bash
# SPDX-License-Identifier: MIT
# The batch script that is shipped, on a cluster of two nodes: one job that is signalled, moved to
# another number of ranks, requeued from outside, that loses a rank and has one stand still, ends
# with the weights of a run that nothing happened to. A second one runs into its time limit.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/slurm_cluster.sh"
script=$source_root/tools/slurm/train.sbatch

# Needs no cluster.
env SLURM_HET_SIZE=2 SLURM_JOB_ID=7 bash "$script" --data synthetic >out 2>err
[ $? -eq 2 ] || fail "a heterogeneous job is not refused: $(cat err)"
has '^train.sbatch: a job of 2 components' err

cluster_start
export RINGMOE=$ringmoe OMP_WAIT_POLICY=passive
small_config >small.json
small_run=${small_run/--steps 6/--steps 600}
small_run="${small_run/--eval-every 3/--eval-every 100} --save-every 25"

# submit NAME OPTIONS-OF-SBATCH -- OPTIONS...: leaves the number in $job.
submit() {
    local name=$1 options=()
    shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    job=$(sbatch --parsable --job-name="$name" --output="$name.out" "${options[@]}" "$script" \
        --out "$work/$name" "$@" 2>"$name.err") || { fail "$name: sbatch: $(cat "$name.err")"; finish; }
}

lines() { wc -l 2>/dev/null <"$1/metrics.jsonl" || echo 0; }
has_lines() { [ "$(lines "$1")" -ge "$2" ]; }
state_of_job() { squeue -h -j "$1" -o %T 2>/dev/null; }
is_pending() { [ "$(state_of_job "$1")" = PENDING ]; }
has_ended() { [ -z "$(state_of_job "$1")" ] || [ "$(state_of_job "$1")" = COMPLETED ]; }
starts() { grep -c '^train.sbatch: job [0-9]*, start' "$1.out"; }
has_starts() { [ "$(starts "$1")" -ge "$2" ]; }
has_wordless_ends() { [ "$(grep -c '^train.sbatch: ended without' moved.out)" -ge "$1" ]; }
ranks_of() { pgrep -f -- "^$ringmoe train .*--out $work/$1( |\$)"; }

# reach NAME STEP: ends the test if the run does not come so far.
reach() {
    wait_until 120 has_lines "$1" "$2" && return
    fail "$1 stays at step $(lines "$1"): $(tail -n 5 "$1.out")"
    finish
}

# come_back NAME STARTS: the job has been started so many times.
come_back() {
    wait_until 120 has_starts "$1" "$2" && return
    fail "$1 was not started $2 times: $(tail -n 5 "$1.out"; squeue)"
    finish
}

# strike NAME SIGNAL: one rank of the job, whichever, once this start of it trains.
has_both_ranks() { [ "$(ranks_of "$1" | wc -l)" -eq 2 ]; }
strike() {
    local ranks before
    wait_until 60 has_both_ranks "$1"
    before=$(lines "$1")
    wait_until 60 has_lines "$1" $((before + 2))
    mapfile -t ranks < <(ranks_of "$1")
    [ "${#ranks[@]}" -eq 2 ] || fail "$1: ${#ranks[@]} ranks, not 2"
    kill "-$2" "${ranks[RANDOM % 2]}" || fail "$1: no rank to strike"
}

# Ranks that do not know of each other: not N copies of a run in one folder. Open MPI does not
# start at all there.
srun -N2 -n2 --mpi=none "$ringmoe" train --data synthetic --out alone >out 2>err &&
    fail 'srun --mpi=none: status 0'
absent alone
if ldd "$ringmoe" | grep -q libmpich; then
    [ "$(grep -c 'srun --mpi=pmi2' err)" -eq 1 ] || fail "srun --mpi=none: $(cat out err)"
    srun -N2 -n2 --mpi=none "$ringmoe" info >out 2>err || fail "info on each node: $(cat err)"
fi
# A program started once in the shell of an allocation is one rank by intention.
salloc -Q -N2 -n2 "$ringmoe" eval --data synthetic --model nowhere >out 2>err
grep -q 'mpi=' err && fail "one rank in salloc: $(cat err)"

# shellcheck disable=SC2086
submit limited -N1 -w n1 -n1 -c1 --time=1 -- $small_run --steps 1000000 --eval-every 0
limited=$job

# shellcheck disable=SC2086
submit moved -N2 --ntasks-per-node=1 -c1 -- $small_run --watchdog 5
moved=$job
reach moved 30
scancel --signal=USR1 "$moved"
wait_until 120 is_pending "$moved" || fail "moved was not requeued: $(tail -n 5 moved.out)"
scontrol update JobId="$moved" NumNodes=1 NumTasks=1 || fail 'one rank instead of two'
come_back moved 2
has 'interrupted and saved after step [0-9]+' moved.out
has 'preempted|saved before its end: requeued' moved.out

# The second part runs on one rank; it is requeued by an administrator.
reach moved 80
has 'start 1 .*: 1 ranks of' moved.out
scontrol requeue "$moved" || fail 'requeue from outside'
wait_until 120 is_pending "$moved" || fail 'moved was not requeued from outside'
scontrol update JobId="$moved" NumNodes=2 NumTasks=2
come_back moved 3

# The third has to make room for a job that is more urgent.
reach moved 130
urgent=$(sbatch --parsable -p urgent -w n2 --exclusive -o urgent.out --wrap hostname) ||
    fail 'no urgent job'
come_back moved 4
[ -s urgent.out ] || fail "the urgent job has not run: $(scontrol show job "$urgent")"
[ "$(grep -c 'interrupted and saved' moved.out)" -eq 3 ] ||
    fail "not each of three requests was answered by a save: $(tail -n 30 moved.out)"

reach moved 190
strike moved KILL
come_back moved 5
has 'ended without a word.*requeued' moved.out

reach moved 250
strike moved STOP
wait_until 120 has_wordless_ends 2 || fail "a rank that stands still: $(tail -n 12 moved.out)"
has 'srun: error: .*: Exited with exit code 75' moved.out
has 'watchdog: rank [0-9] \(process [0-9]+ on [^)]*\) has not been heard of' moved.out
come_back moved 6

wait_until 120 has_ended "$moved" || fail "moved does not end: $(tail -n 5 moved.out)"
has '^train.sbatch: finished' moved.out
has '"state": "finished"' moved/run.json

# What nothing happened to.
# shellcheck disable=SC2086
done_well undisturbed "$ringmoe" train $small_run --threads 1 --out whole
for key in step loss grad_norm lr val_loss; do
    cmp -s <(column "$key" whole/metrics.jsonl) <(column "$key" moved/metrics.jsonl) ||
        fail "$key differs: $(diff <(column "$key" whole/metrics.jsonl) \
            <(column "$key" moved/metrics.jsonl) | head -4)"
done
for sum in weights exp_avg exp_avg_sq; do
    grep -o "\"${sum}_checksum\": *\"[0-9a-f]*\"" whole/checkpoints/step-000600/state.json >"$sum"
    [ -s "$sum" ] || fail "no ${sum}_checksum in state.json"
    grep -qF "$(cat "$sum")" moved/checkpoints/step-000600/state.json ||
        fail "$sum differ from those of a run that nothing happened to"
done

# --signal came before the end of the time, and the job goes on.
come_back limited 2
has 'interrupted and saved after step [0-9]+' limited.out
has 'from +step [0-9]+' limited.out
scancel "$limited"

# What cannot start is not started again.
# shellcheck disable=SC2086
submit refused -N1 -n1 -- $small_run --lr nonsense
wait_until 120 has_ended "$job" || fail 'refused does not end'
[ "$(starts refused)" -eq 1 ] || fail "refused was started $(starts refused) times"
has 'did not start \(status 2\)' refused.out
finish
