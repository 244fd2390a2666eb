# SPDX-License-Identifier: MIT
# What the end-to-end scripts share. Each is started as `script RINGMOE MPIEXEC SOURCE_ROOT [...]`
# and works in a folder of its own, which goes away afterwards.

set -u
# hwloc's pci plugin, which MPI loads, leaks, and a build with sanitizers would blame us for it.
export LC_ALL=C OMP_NUM_THREADS=1 HWLOC_COMPONENTS=-pci
ringmoe=$(realpath "$1")
mpiexec=$2
source_root=$3
work=$(mktemp -d "${TMPDIR:-/tmp}/ringmoe-e2e-XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

finish() {
    [ "$failures" -eq 0 ] || { echo "$failures failure(s)"; exit 1; }
    exit 0
}

skip() {
    echo "skipped: $*"
    exit 77
}

hydra_needed() {
    "$mpiexec" --version 2>/dev/null | grep -q HYDRA || skip 'mpiexec is not Hydra'
}

# wait_until SECONDS COMMAND...: false when the time is up.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.1
    done
}

is_over() { ! kill -0 "$1"; }

# done_well WHAT COMMAND...: status 0 and nothing on stderr; the output stays in ./out.
done_well() {
    local what=$1
    shift
    "$@" >out 2>err || { fail "$what: status $?: $(tail -3 err)"; return 1; }
    [ ! -s err ] || fail "$what: stderr: $(cat err)"
}

# refused WHAT STATUS PATTERN COMMAND...: that status, and one line on stderr with the pattern.
refused() {
    local what=$1 status=$2 pattern=$3 got
    shift 3
    "$@" >out 2>err
    got=$?
    [ "$got" -eq "$status" ] || fail "$what: status $got, not $status: $(cat err)"
    [ "$(wc -l <err)" -eq 1 ] || fail "$what: $(wc -l <err) lines on stderr: $(cat err)"
    grep -Eq "$pattern" err || fail "$what: no '$pattern' in: $(cat err)"
    grep -q '^ringmoe' err || fail "$what: the line does not begin with the command: $(cat err)"
}

has() { grep -Eq "$1" "$2" || fail "no '$1' in $2: $(head -c 600 "$2")"; }
absent() { [ ! -e "$1" ] || fail "$1 should not be there: $(ls -R "$1")"; }

# The named column of a metrics.jsonl, one value a line, as it is written.
column() { grep -o "\"$1\":[^,}]*" "$2" | cut -d: -f2; }
# checksums CHECKPOINT: of its weights and moments, the same whichever ranks saved them
checksums() { grep -o '"[a-z_]*_checksum": *"[0-9a-f]*"' "$1/state.json"; }

# A model of a few thousand parameters, so that four ranks on two cores are quick.
small_config() {
    cat <<'JSON'
{
  "model_type": "mixtral", "vocab_size": 256, "hidden_size": 32, "intermediate_size": 48,
  "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4,
  "num_experts_per_tok": 2, "max_position_embeddings": 256, "router_aux_loss_coef": 0.01,
  "router_z_loss_coef": 0.001
}
JSON
}

# Settings that go with it: four microbatches a step.
small_run="--data synthetic --model small.json --steps 6 --seq-len 32 --microbatch 2"
small_run="$small_run --global-batch 8 --warmup 2 --eval-every 3 --eval-sequences 4"
small_run="$small_run --sample-tokens 8"
