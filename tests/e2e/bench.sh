#!/bin/bash
# SPDX-License-Identifier: MIT
# The benchmarks of steps, layers and exchanges, on sizes too small to say anything about speed:
# what they print, and their JSON.
. "$(dirname "$0")/common.sh"

small_config >small.json
step="bench step --model small.json --seq-len 32 --microbatch 1 --global-batch 4 --repeat 2"
step="$step --threads 1"

# positive KEY...: numbers above 0 in ./out.
positive() {
    local key
    for key in "$@"; do
        grep -Eo "\"$key\": [^,]*" out | awk '{ seen = 1; if (!($2 > 0)) bad = 1 }
            END { exit bad || !seen }' || fail "$key is missing or not positive: $(cat out)"
    done
}

# shellcheck disable=SC2086
done_well 'bench step' "$ringmoe" $step --json
positive tokens_per_s step_ms best_step_ms compute_ms optimizer_ms gflops ceiling_gflops \
    resident_peak_bytes planned_bytes optimizer_bytes optimizer_planned_bytes
# shellcheck disable=SC2086
done_well 'bench step --against dense' "$ringmoe" $step --against dense
has 'MoE / dense [0-9.]+' out
# shellcheck disable=SC2086
done_well 'bench step in four pieces' "$mpiexec" -n 4 "$ringmoe" $step --pp 2 --dp 2 \
    --schedule zb-h1 --recompute selective --json
positive tokens_per_s pipeline_wait_ms
has '"schedule": "zb-h1"' out
has '"recompute": "selective"' out
# shellcheck disable=SC2086
done_well 'bench step on two nodes' "$mpiexec" -n 2 "$ringmoe" $step --dp 2
has '^layout +2 data ranks x 1 thread' out
has '^optimizer +[0-9.]+ [KM]iB a rank planned, [0-9.]+ [KM]iB held; [0-9.]+ [KM]iB on one' out
for against in no-overlap reproducible one-rank; do
    # shellcheck disable=SC2086
    done_well "bench step --against $against" "$mpiexec" -n 2 "$ringmoe" $step --json \
        --against "$against"
    positive over_against against_step_ms
done
# shellcheck disable=SC2086
done_well 'the screen' "$mpiexec" -n 2 "$ringmoe" $step --against one-rank
has 'one rank +[0-9.]+ ms median with all 2 threads: these ranks make [0-9.]+' out
has '^load +[0-9.]+ max/mean over experts, [0-9.]+ in the worst layer .even: ' out

# The load that steps are timed at: evened out first, or as untrained routers have it.
for load in even untrained; do
    # shellcheck disable=SC2086
    done_well "bench step --load $load" "$mpiexec" -n 2 "$ringmoe" $step --json --load "$load"
    positive worst_load_max_over_mean
    cp out "load-$load"
done
even=$(grep -o '"load_max_over_mean": [0-9.]*' load-even | cut -d' ' -f2)
untrained=$(grep -o '"load_max_over_mean": [0-9.]*' load-untrained | cut -d' ' -f2)
awk -v even="$even" -v untrained="$untrained" 'BEGIN { exit !(even >= 1 && even < untrained) }' ||
    fail "the experts' load is $even when even, $untrained when untrained"
# shellcheck disable=SC2086
done_well 'the ways of --shadow' "$mpiexec" -n 2 "$ringmoe" $step --load skewed --against shadow
has '^shadow .* --shadow off: 1.000 of these steps, 0 experts copied' out
has '^ .* --shadow on: ' out
# shellcheck disable=SC2086
refused 'copies on one expert rank' 2 'give --ep 2' "$ringmoe" $step --against shadow

# ZeRO-1: over two data ranks half of the moments each.
# shellcheck disable=SC2086
done_well 'optimizer memory of one' "$ringmoe" $step --model tiny --json
whole=$(grep -o '"optimizer_bytes": [0-9]*' out | cut -d' ' -f2)
# shellcheck disable=SC2086
done_well 'optimizer memory of two' "$mpiexec" -n 2 "$ringmoe" $step --model tiny --dp 2 \
    --json
half=$(grep -o '"optimizer_bytes": [0-9]*' out | cut -d' ' -f2)
awk -v whole="$whole" -v half="$half" 'BEGIN { exit !(half < 0.55 * whole) }' ||
    fail "two data ranks hold $half bytes of moments each, one $whole"

done_well 'bench moe' "$ringmoe" bench moe --d-model 32 --d-ff 64 --tokens 64 --repeat 2 --json
positive moe_over_dense

exchange="bench exchange --threads 1 --d-model 32 --d-ff 48 --tokens 64 --repeat 3"
# shellcheck disable=SC2086
done_well 'bench exchange' "$mpiexec" -n 2 "$ringmoe" $exchange --json
positive bare_bytes bare_ms pass_alone_ms pass_node_ms pass_overlapped_ms pass_not_overlapped_ms
has '"bytes_within_node": [1-9]' out
if command -v python3 >/dev/null; then
    python3 -m json.tool out >/dev/null || fail "the JSON does not parse"
fi
# shellcheck disable=SC2086
done_well 'the exchange on the screen' "$mpiexec" -n 3 "$ringmoe" $exchange
has 'bare MPI_Alltoallv' out
# Passes as small as these may take longer without the exchange than with it.
has 'shared memory .* (times the bare rate|too short to tell)' out
awk 'length > 100 { bad = 1 } END { exit bad }' out || fail "lines longer than 100 columns"
# shellcheck disable=SC2086
refused 'an exchange on one rank' 2 'one rank exchanges nothing' "$ringmoe" $exchange
# shellcheck disable=SC2086
refused 'experts that do not divide' 2 'multiple of the 2 ranks' "$mpiexec" -n 2 "$ringmoe" \
    $exchange --experts 5

checkpoint="bench checkpoint --model small.json --seq-len 32 --microbatch 1 --global-batch 4"
checkpoint="$checkpoint --repeat 2 --threads 1"
for ranks in 1 2; do
    # shellcheck disable=SC2086
    done_well "bench checkpoint on $ranks" "$mpiexec" -n $ranks "$ringmoe" $checkpoint --json
    positive checkpoint_bytes part_bytes save_bytes_per_s save_over_bare load_cold_over_read \
        load_warm_over_read step_ms step_beside_ms with_stalls_over_step resident_bytes
done
# shellcheck disable=SC2086
done_well 'checkpoints on the screen' "$ringmoe" $checkpoint --buffer 1
has '^save +[0-9.]+ GB/s: [0-9.]+ of a bare loop' out
awk 'length > 100 { bad = 1 } END { exit bad }' out || fail "lines longer than 100 columns"
[ -z "$(ls -d ringmoe-bench-* 2>/dev/null)" ] || fail "bench checkpoint leaves its folder"
# shellcheck disable=SC2086
refused 'nowhere to write' 1 'give --dir' "$ringmoe" $checkpoint --dir nowhere

# Generation and loading, beside a program that answers as llama-bench does.
# shellcheck disable=SC2086
done_well 'a model to generate with' "$ringmoe" train --data synthetic --model small.json \
    --seq-len 32 --microbatch 1 --global-batch 2 --steps 1 --threads 1 --out little
done_well 'its GGUF' "$ringmoe" convert --model little --to gguf --out little.gguf
cat >llama-bench <<'END'
#!/bin/sh
[ "$1 $2 $3 $4 $5 $6" = "-m little.gguf -t 1 -p 8" ] || exit 1
echo '[{"n_prompt": 8, "n_gen": 0, "avg_ts": 100.5}, {"n_prompt": 0, "n_gen": 4, "avg_ts": 50}]'
END
chmod +x llama-bench
generate="bench generate --model little.gguf --prompt-tokens 8 --new-tokens 4 --texts 3"
generate="$generate --repeat 2 --threads 1"
# shellcheck disable=SC2086
done_well 'bench generate' "$ringmoe" $generate --llama-bench ./llama-bench --json
positive cold warm bytes pass_bytes share_of_reading tokens_per_s prompt_tokens_per_s \
    read_bytes_per_s best_read_bytes_per_s weights_bytes
has '"prompt_tokens_per_s": 100.5' out
# shellcheck disable=SC2086
done_well 'generation on the screen' "$mpiexec" -n 2 "$ringmoe" $generate
has '^weights +fp32' out
has '^loading the model +[0-9.]+ s +[0-9.]+ GB/s +[0-9.]+ s' out
has '^3 texts +[0-9.]+ .*[0-9]+%' out
awk 'length > 100 { bad = 1 } END { exit bad }' out || fail "lines longer than 100 columns"
mkdir shards
cp little/checkpoints/latest/config.json shards
cp little/checkpoints/latest/model-00001-of-00001.safetensors shards/model.safetensors
for shard in $(seq 12); do head -c 1100000 /dev/zero >"shards/more-$shard.safetensors"; done
done_well 'a folder of many files' "$ringmoe" bench generate --model shards --repeat 1 \
    --prompt-tokens 2 --new-tokens 2 --texts 1 --threads 1
# Of a model in several files all are counted, and the second is missed.
mkdir split
cp little.gguf split/a-00001-of-00002.gguf
refused 'a part that is missing' 1 'files cannot be listed' "$ringmoe" bench generate \
    --model split/a-00001-of-00002.gguf
head -c 5000 /dev/zero >split/a-00002-of-00002.gguf
done_well 'a model of two files' "$ringmoe" bench generate --model split/a-00001-of-00002.gguf \
    --repeat 1 --prompt-tokens 2 --new-tokens 2 --texts 1 --threads 1 --json
grep -q "\"bytes\": $(($(stat -c %s little.gguf) + 5000))," out || fail "bytes: $(cat out)"
# shellcheck disable=SC2086
refused 'another program' 1 'does not answer as llama' "$ringmoe" $generate --llama-bench true
# shellcheck disable=SC2086
refused 'no program' 2 'is no program' "$ringmoe" $generate --llama-bench ./nothing
refused 'llama-bench for a folder' 2 'it reads GGUF' "$ringmoe" bench generate --model little \
    --llama-bench ./llama-bench
finish
