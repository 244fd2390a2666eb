#!/bin/bash
# SPDX-License-Identifier: MIT
# The four axes as options of train, eval and generate: what a run writes down, that it goes on
# in another layout, and what is refused.
. "$(dirname "$0")/common.sh"

small_config | sed 's/"num_hidden_layers": 2/"num_hidden_layers": 4/' >small.json

# run NAME RANKS OPTIONS...: a training whose losses are those of `one`.
run() {
    local name=$1 ranks=$2
    shift 2
    # shellcheck disable=SC2086
    done_well "$name" "$mpiexec" -n "$ranks" "$ringmoe" train $small_run --threads 1 \
        --out "$name" "$@"
    for key in step loss grad_norm balance_loss z_loss load_max_over_mean load_cv dead_experts \
        val_loss; do
        column "$key" "$name/metrics.jsonl"
    done >"$name.bits"
    [ "$(wc -l <"$name.bits")" -ge 48 ] || fail "$name: metrics are missing"
    cmp -s one.bits "$name.bits" || fail "$name differs from one rank:
$(diff one.bits "$name.bits" | head -6)"
}

run one 1
has 'layout +1 rank x 1 thread, 4 of 4 experts' out
run pp2 2 --pp 2 --schedule zb-h1 --recompute full
has 'layout +2 pipeline ranks x 1 thread' out
has 'schedule zb-h1, recompute selective' out
has '"schedule": "zb-h1"' pp2/run.json
has '"pp": 2' pp2/run.json
has '"chunks": 1' pp2/run.json
has '  2 stages of [0-4], [0-4] layers' out
run pp2ep2 4 --pp 2 --ep 2 --schedule gpipe --recompute full
has '2 pipeline x 2 expert ranks x 1 thread, 2 of 4 experts' out
has 'recompute full' out
has '"recompute": "full"' pp2ep2/run.json
run pp2dp2 4 --pp 2 --dp 2 --recompute selective --schedule 1f1b
run dp2ep2 4 --dp 2 --ep 2 --chunks 2
for key in pipeline_wait_ms bytes_within_nodes bytes_between_nodes rank_wait_ms; do
    [ "$(column "$key" pp2ep2/metrics.jsonl | wc -l)" -eq 6 ] || fail "metrics: no $key"
done
column bytes_within_nodes pp2ep2/metrics.jsonl | grep -qv '^0$' || fail "no bytes were moved"
column bytes_within_nodes one/metrics.jsonl | grep -qv '^0$' && fail "one rank moved bytes"
[ "$(grep -c '"layers":\[{"layer":0,' one/metrics.jsonl)" -eq 6 ] || fail "no load of layers"

# More stages than layers: some have nothing to do, which is said, and the losses stay.
# shellcheck disable=SC2086
"$mpiexec" -n 4 "$ringmoe" train $small_run --threads 1 --pp 4 --chunks 2 --out pp4 >out 2>err ||
    fail "pp4: status $?: $(cat err)"
has 'warning: [4-7] of 8 pipeline stages have no layer' err
# What nobody gave is told as it was chosen.
has 'schedule interleaved, 2 chunks a rank' out
has '"schedule": "interleaved"' pp4/run.json
tr -d ' \n' <pp4/run.json | grep -Eq '"stage_bounds":\[0(,[0-4]){7},4\]' ||
    fail "run.json: no bounds of 8 stages: $(grep -A10 stage_bounds pp4/run.json)"
cmp -s <(column loss one/metrics.jsonl) <(column loss pp4/metrics.jsonl) ||
    fail "pp4: stages without layers change the losses"

# A head that costs more than all layers has a stage for itself, about which nothing is to be said.
small_config | sed 's/"vocab_size": 256/"vocab_size": 16384/' >wide.json
done_well 'a large head' "$mpiexec" -n 2 "$ringmoe" train --data synthetic --model wide.json \
    --steps 1 --seq-len 32 --microbatch 1 --global-batch 2 --threads 1 --pp 2 --out wide
has '2 stages of 2, 0 layers' out

# Weights and moments too, whoever saved them.
checksums one/checkpoints/step-000006 >one.sums
[ "$(wc -l <one.sums)" -eq 3 ] || fail "state.json has not three checksums: $(cat one.sums)"
cmp -s one.sums <(checksums pp2ep2/checkpoints/step-000006) ||
    fail "one rank and four saved other weights or moments"

# Tensor ranks: with --reproducible the bits of one rank, without it close.
# shellcheck disable=SC2086
done_well fixed "$ringmoe" train $small_run --threads 1 --reproducible --out fixed || finish
# shellcheck disable=SC2086
done_well fixed2 "$mpiexec" -n 2 "$ringmoe" train $small_run --threads 1 --tp 2 --reproducible \
    --out fixed2 || finish
has '2 tensor ranks x 1 thread' out
has '"reproducible": true' fixed2/run.json
cmp -s <(column loss fixed/metrics.jsonl) <(column loss fixed2/metrics.jsonl) ||
    fail "--reproducible: two tensor ranks have other losses than one"
# shellcheck disable=SC2086
done_well loose "$mpiexec" -n 2 "$ringmoe" train $small_run --threads 1 --tp 2 --out loose || finish
paste <(column loss one/metrics.jsonl) <(column loss loose/metrics.jsonl) |
    awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-3 * $1) bad = 1 } END { exit bad }' ||
    fail "two tensor ranks: the losses are not close"

# A run that is cut off goes on in another layout, which is no part of its recipe.
# shellcheck disable=SC2086
done_well part "$ringmoe" train $small_run --threads 1 --save-every 2 --out part || finish
rm -r part/checkpoints/step-000006
"$mpiexec" -n 4 "$ringmoe" train --resume --out part --pp 2 --ep 2 --schedule interleaved \
    --recompute selective --threads 1 >out 2>err || fail "resumed in a pipeline: $(cat err)"
has 'from +step 4' out
has '"pp": 2' part/run.json
cmp -s <(column loss one/metrics.jsonl) <(column loss part/metrics.jsonl) ||
    fail "resumed in a pipeline: other losses"

# What they saved can be used in any layout.
done_well 'eval on one rank' "$ringmoe" eval --model pp2ep2 --data synthetic --seq-len 32 \
    --max-sequences 8 --threads 1 --json
cp out eval.one
for axes in '--pp 2 --ep 2' '--pp 2 --dp 2' '--dp 2 --ep 2'; do
    # shellcheck disable=SC2086
    done_well "eval $axes" "$mpiexec" -n 4 "$ringmoe" eval --model pp2ep2 --data synthetic \
        --seq-len 32 --max-sequences 8 --threads 1 --json $axes
    cmp -s eval.one out || fail "eval $axes: $(diff eval.one out)"
done
done_well 'eval --tp 2' "$mpiexec" -n 2 "$ringmoe" eval --model pp2ep2 --data synthetic \
    --seq-len 32 --max-sequences 8 --threads 1 --tp 2
has '^layout +2 tensor ranks x 1 thread' out
for tensor in 1 2; do
    done_well "eval --tp $tensor --reproducible" "$mpiexec" -n "$tensor" "$ringmoe" eval \
        --model fixed --data synthetic --seq-len 32 --max-sequences 8 --threads 1 --json \
        --tp "$tensor" --reproducible
    cp out "eval.$tensor"
    done_well "generate --tp $tensor --reproducible" "$mpiexec" -n "$tensor" "$ringmoe" generate \
        --model fixed --prompt ab --max-new 24 --threads 1 --tp "$tensor" --reproducible
    cp out "text.$tensor"
    cmp -s eval.1 "eval.$tensor" || fail "--reproducible: eval on $tensor tensor ranks differs"
    cmp -s text.1 "text.$tensor" || fail "--reproducible: another text on $tensor tensor ranks"
done
done_well generate "$ringmoe" generate --model pp2ep2 --prompt ab --max-new 8 --threads 1
cp out text
done_well 'generate on tensor ranks' "$mpiexec" -n 2 "$ringmoe" generate --model pp2ep2 \
    --prompt ab --max-new 8 --threads 1 --tp 2
done_well 'generate in a pipeline' "$mpiexec" -n 4 "$ringmoe" generate --model pp2ep2 \
    --prompt ab --max-new 8 --threads 1 --pp 2 --ep 2
cmp -s text out || fail "a pipeline of two stages generates another text"

# axes_refused WHAT PATTERN RANKS OPTIONS...
axes_refused() {
    local what=$1 pattern=$2 ranks=$3
    shift 3
    # shellcheck disable=SC2086
    refused "$what" 2 "$pattern" "$mpiexec" -n "$ranks" "$ringmoe" train $small_run --threads 1 \
        --out refused.run "$@"
    absent refused.run
    rm -rf refused.run
}
axes_refused 'a product that is not the ranks' 'ranks' 4 --pp 2 --dp 1 --ep 1
axes_refused 'pipeline ranks that do not divide the ranks' 'pp 3' 4 --pp 3
axes_refused 'tensor ranks that do not divide the heads' 'head' 3 --tp 3
axes_refused 'an unknown schedule' 'gpipe, 1f1b, interleaved, zb-h1' 1 --schedule roundrobin
axes_refused 'a schedule with a slip' 'did you mean 1f1b' 1 --schedule 1f1d
axes_refused 'the schedule without a backward pass' 'schedule' 1 --schedule forward
axes_refused 'an unknown recomputation' 'none\|selective\|full' 1 --recompute all
axes_refused 'more chunks than there may be' 'chunks 65.* from 0 to 64' 1 --chunks 65
finish
