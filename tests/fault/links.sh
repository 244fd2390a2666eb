#!/bin/bash
# SPDX-License-Identifier: MIT
# Lists, names and links of a run's checkpoints that fail for a moment: a run is not begun again,
# and no checkpoint that counts is lost.
. "$(dirname "$0")/faults.sh"

# shellcheck disable=SC2086
done_well whole "$ringmoe" train $fault_run --keep 0 --out whole || finish
best=$(readlink whole/checkpoints/best)

# struck KIND N WHAT FOLDER: --resume with that failure, to the next step.
struck() {
    # shellcheck disable=SC2046
    $(injected "$1:$2:$3" 0) "$ringmoe" train --resume --out "$4" --steps 7 --threads 1 >out 2>err
}

# Each file and list that --resume opens. It ends, or goes on from where it was.
cp -r whole counted
env LD_PRELOAD="$inject" INJECT_COUNTS=counts "$ringmoe" train --resume --out counted --steps 6 \
    --threads 1 >out 2>err || fail "counted: $(cat err)"
opened=$(sed -n 's/^open //p' counts)
[ "${opened:-0}" -ge 8 ] || fail "only ${opened:-0} files are opened"
for n in $(seq "$opened"); do
    rm -rf listed
    cp -r whole listed
    struck open "$n" EMFILE listed
    status=$?
    [ "$status" -eq 0 ] || [ -s err ] || fail "open $n: status $status without a word"
    grep -Eq 'from +step 0' out && fail "open $n: begun again: $(cat err)"
    [ "$(wc -l <listed/metrics.jsonl)" -ge 4 ] || fail "open $n: metrics.jsonl was cut"
    [ -e "listed/checkpoints/step-000001" ] || fail "open $n: a checkpoint is gone"
done

# The list alone, which a run must have.
rm -rf listed
cp -r whole listed
chmod 0 listed/checkpoints
if [ "$(id -u)" -ne 0 ]; then
    refused 'a list that cannot be read' 1 'checkpoints: cannot list it' "$ringmoe" train \
        --resume --out listed
fi
chmod 755 listed/checkpoints

# A replaced checkpoint whose name cannot be given back.
cp -r whole named
mv named/checkpoints/step-000006 named/checkpoints/step-000006.old
struck rename 1 EIO named && fail "a name that cannot be given back: status 0"
has 'step-000006.old: cannot give it back its name' err
[ -d named/checkpoints/step-000006.old ] || fail "the only whole step-000006 is gone"
done_well 'named later' "$ringmoe" train --resume --out named --threads 1
has 'from +step 6$' out

# A best that cannot be told holds up neither `latest` nor --keep, and is told with the next.
for what in "$best" step-000003; do
    rm -rf linked
    # shellcheck disable=SC2086
    "$ringmoe" train ${fault_run/--eval-every 3/--eval-every 6} --keep 1 --out linked \
        >/dev/null 2>&1 &
    wait $!
    [ -d linked/checkpoints ] || fail "no run"
    break
done
rm -rf linked
# shellcheck disable=SC2046,SC2086
$(injected link:1:EIO 0) "$ringmoe" train ${fault_run/--eval-every 3/--eval-every 2} \
    --save-async off --keep 1 --out linked >out 2>err || fail "linked: status $?: $(cat err)"
has 'checkpoints/latest: cannot make the link' err
[ "$(readlink linked/checkpoints/latest)" = step-000006 ] || fail "linked: latest is not step 6"
finish
