#!/bin/bash
# SPDX-License-Identifier: MIT
# `ringmoe bench pipeline` with stages that sleep too short to say anything about bubbles, and
# with products: what it prints, its JSON, what it refuses.
. "$(dirname "$0")/common.sh"

bench="$ringmoe bench pipeline --microbatches 4 --repeat 2 --threads 1"

# shellcheck disable=SC2086
done_well 'sleeping stages' "$mpiexec" -n 3 $bench --work sleep --stage-ms 1 --json || finish
for schedule in gpipe 1f1b interleaved zb-h1; do
    has "\"schedule\": \"$schedule\"" out
done
for key in formula uneven measured measured_fastest run_ms over_1f1b kept; do
    [ "$(grep -Ec "\"$key\": [-0-9.]+,?\$" out)" -eq 4 ] || fail "not four times $key: $(cat out)"
done
has '"formula": 0.333333' out

# shellcheck disable=SC2086
done_well 'products' "$mpiexec" -n 2 $bench --work products --rows 9 --width 16 --chunks 3
has '^2 ranks, 4 microbatches, stages of products \[9\]\[16\]' out
has '^1f1b +1 +20\.0 %( +[-0-9.]+ %){3} +[0-9.]+ +1\.000 +2\.0$' out
has '^interleaved +3 +7\.7 % ' out

# shellcheck disable=SC2086
refused 'one rank' 2 'one rank has no bubble: start it with mpiexec -n 2' $bench
# shellcheck disable=SC2086
refused 'rows that chunks cannot share' 2 '\-\-rows 8: 3 chunks' "$mpiexec" -n 2 $bench \
    --rows 8 --chunks 3
# shellcheck disable=SC2086
refused 'no microbatches' 2 '\-\-microbatches' $bench --microbatches 0
finish
