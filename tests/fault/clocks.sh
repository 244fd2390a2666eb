#!/bin/bash
# SPDX-License-Identifier: MIT
# Wall clocks that jump to and fro by hours while a run goes on: no false alarm, no hang, no
# negative time, the same steps.
. "$(dirname "$0")/faults.sh"

jumping="env LD_PRELOAD=$inject INJECT_CLOCK=7200"
long=${fault_run/--steps 6/--steps 150}
long=${long/--save-every 1/--save-every 50}
# shellcheck disable=SC2086
done_well whole "$ringmoe" train $long --out whole || finish
# shellcheck disable=SC2086
done_well jumped "$mpiexec" -n 2 $jumping "$ringmoe" train $long --watchdog 5 --out jumped
as_undisturbed 'clocks that jump' jumped
for key in step_ms compute_ms exchange_ms wait_ms optimizer_ms pipeline_wait_ms tokens_per_s; do
    column "$key" jumped/metrics.jsonl | awk '!($1 >= 0 && $1 < 1e9) { exit 1 }' ||
        fail "$key: $(column "$key" jumped/metrics.jsonl | sort -g | sed -n '1p;$p' | tr '\n' ' ')"
done

# Nor does a run that has so many minutes end at once, or never.
# shellcheck disable=SC2086
done_well minutes $jumping "$ringmoe" train ${long/--steps 150/--steps 1000000} --save-every 0 \
    --minutes 0.05 --out minutes
has 'the time is up' out
finish
