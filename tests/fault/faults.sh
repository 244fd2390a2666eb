# SPDX-License-Identifier: MIT
# What the scripts of this folder share, each started as `script RINGMOE MPIEXEC SOURCE_ROOT INJECT`.
inject=$(realpath "$4")
# shellcheck source=tests/e2e/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/common.sh"

small_config >small.json
# Six microbatches a step, so that one, two and three ranks divide them.
fault_run="--data synthetic --model small.json --steps 6 --seq-len 32 --microbatch 2"
fault_run="$fault_run --global-batch 12 --warmup 2 --eval-every 3 --eval-sequences 4"
fault_run="$fault_run --sample-tokens 0 --save-every 1 --threads 1"

# on_ranks N COMMAND...: by mpiexec, one rank as it is.
on_ranks() {
    local ranks=$1
    shift
    if [ "$ranks" -eq 1 ]; then "$@"; else "$mpiexec" -n "$ranks" "$@"; fi
}

# injected INJECTION RANK: the words before a command that fails so in that rank.
injected() { echo "env LD_PRELOAD=$inject INJECT=$1 INJECT_RANK=$2"; }

# as_undisturbed WHAT FOLDER: its steps are those of the run in `whole`.
as_undisturbed() {
    local key
    for key in step loss grad_norm lr val_loss; do
        cmp -s <(column "$key" whole/metrics.jsonl) <(column "$key" "$2/metrics.jsonl") ||
            fail "$1: $key differs: $(diff <(column "$key" whole/metrics.jsonl) \
                <(column "$key" "$2/metrics.jsonl") | head -4)"
    done
}

# newest FOLDER: the step of its newest checkpoint; 0: none.
newest() {
    local name=
    for name in "$1"/checkpoints/step-??????; do :; done
    name=${name##*-}
    case $name in *[!0-9]*) echo 0 ;; *) echo $((10#$name)) ;; esac
}

# promised FOLDER: the step that `latest` names; 0: none.
promised() {
    local target
    target=$(readlink "$1/checkpoints/latest") || { echo 0; return; }
    echo $((10#${target##*-}))
}
