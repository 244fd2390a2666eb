#!/bin/bash
# SPDX-License-Identifier: MIT
# A run that was cut off and resumed, on another layout at that, ends as if nothing had happened.
. "$(dirname "$0")/common.sh"

small_config >small.json
# shellcheck disable=SC2086
done_well whole "$ringmoe" train $small_run --threads 1 --out whole || finish
# shellcheck disable=SC2086
done_well part "$ringmoe" train $small_run --threads 1 --save-every 2 --out part || finish

[ "$(ls part/checkpoints | tr '\n' ' ')" = 'best latest step-000004 step-000006 ' ] ||
    fail "not the two newest checkpoints: $(ls part/checkpoints)"

# As after a crash behind step 5: the newest checkpoint is that of step 4, half a line at the end.
rm -r part/checkpoints/step-000006
head -5 part/metrics.jsonl >lines
printf '{"step":6,"lo' >>lines
mv lines part/metrics.jsonl
mkdir part/checkpoints/step-000005.tmp
sed -i 's/"finished"/"running"/' part/run.json
done_well resumed "$mpiexec" -n 2 "$ringmoe" train --resume --out part --threads 1
has 'from +step 4' out
has '"state": "finished"' part/run.json
for key in step loss grad_norm lr val_loss; do
    cmp -s <(column "$key" whole/metrics.jsonl) <(column "$key" part/metrics.jsonl) ||
        fail "$key differs: $(diff <(column "$key" whole/metrics.jsonl) \
            <(column "$key" part/metrics.jsonl) | head -4)"
done

# Before the first checkpoint.
cp -r part early
rm -r early/checkpoints/*
done_well 'resumed without a checkpoint' "$ringmoe" train --resume --out early --threads 1
has 'from +step 0, since no checkpoint' out
cmp -s <(column loss whole/metrics.jsonl) <(column loss early/metrics.jsonl) ||
    fail "a run that begins again is another"

done_well 'a finished run' "$ringmoe" train --resume --out part --threads 1
has 'all 6 steps were done before' out
[ "$(wc -l <part/metrics.jsonl)" -eq 6 ] || fail "resuming a finished run changed its metrics"

refused 'another seed' 2 'in the data' "$ringmoe" train --resume --out part --seed 5
refused 'no run there' 1 'holds no run' "$ringmoe" train --resume --out nowhere
refused 'a checkpoint for a run' 1 'is a checkpoint: give the folder of its run' \
    "$ringmoe" train --resume --out part/checkpoints/latest
refused 'no folder told' 2 'out' "$ringmoe" train --resume --data synthetic
absent nowhere
[ "$(wc -l <part/metrics.jsonl)" -eq 6 ] || fail "a refused resume changed the metrics"
finish
