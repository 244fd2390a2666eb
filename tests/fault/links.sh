#!/bin/bash
# SPDX-License-Identifier: MIT
# Lists, names and links of a run's checkpoints that fail for a moment: a run is not begun again,
# and no checkpoint that counts is lost.
. "$(dirname "$0")/faults.sh"

# shellcheck disable=SC2086
done_well whole "$ringmoe" train $fault_run --keep 0 --out whole || finish

# struck KIND N WHAT FOLDER: --resume of a run that has all its steps, with that failure.
struck() {
    env LD_PRELOAD="$inject" INJECT="$1:$2:$3" "$ringmoe" train --resume --out "$4" --threads 1 >out 2>err
}

# A list that cannot be read is not an empty one.
cp -r whole looped
mv looped/checkpoints looped/away
ln -s checkpoints looped/checkpoints
cp -r --no-dereference looped before
refused 'a list that cannot be read' 1 'looped/checkpoints: cannot list it: Too many levels' \
    "$ringmoe" train --resume --out looped --threads 1
rm looped/checkpoints before/checkpoints
diff -r looped before >/dev/null || fail "a run whose list cannot be read was changed"
mv looped/away looped/checkpoints
done_well 'listed again' "$ringmoe" train --resume --out looped --threads 1
has 'from +step 6$' out

# Every third of the files and lists that --resume opens. It ends, or goes on from where it was.
cp -r whole counted
env LD_PRELOAD="$inject" INJECT_COUNTS=counts "$ringmoe" train --resume --out counted \
    --threads 1 >out 2>err || fail "counted: $(cat err)"
opened=$(sed -n 's/^open //p' counts)
[ "${opened:-0}" -ge 8 ] || fail "only ${opened:-0} files are opened"
for n in $(seq 1 3 "$opened"); do
    rm -rf listed
    cp -r whole listed
    struck open "$n" EMFILE listed
    status=$?
    [ "$status" -eq 0 ] || [ -s err ] || fail "open $n: status $status without a word"
    grep -Eq 'from +step 0' out && fail "open $n: begun again: $(cat err)"
    [ "$(wc -l <listed/metrics.jsonl)" -ge 4 ] || fail "open $n: metrics.jsonl was cut"
    [ -e "listed/checkpoints/step-000001" ] || fail "open $n: a checkpoint is gone"
done

# A replaced checkpoint whose name cannot be given back.
cp -r whole named
mv named/checkpoints/step-000006 named/checkpoints/step-000006.old
struck rename 1 EIO named && fail "a name that cannot be given back: status 0"
has 'step-000006.old: cannot give it back its name' err
[ -d named/checkpoints/step-000006.old ] || fail "the only whole step-000006 is gone"
done_well 'named later' "$ringmoe" train --resume --out named --threads 1
has 'from +step 6$' out

# A best that cannot be told, here the first, holds up neither `latest` nor --keep, is not
# removed, and is told with the next.
worse=${fault_run/--eval-every 3/--eval-every 2}
worse="${worse/--warmup 2/--warmup 6} --lr 0.5 --save-async off --keep 1"
# shellcheck disable=SC2086
env LD_PRELOAD="$inject" INJECT=link:2:EIO "$ringmoe" train $worse --out linked >out 2>err ||
    fail "linked: status $?: $(cat err)"
has 'warning: .*checkpoints/best: cannot make the link' err
[ "$(ls linked/checkpoints | tr '\n' ' ')" = 'best latest step-000002 step-000006 ' ] ||
    fail "linked: $(ls -l linked/checkpoints)"
[ "$(readlink linked/checkpoints/best)" = step-000002 ] || fail "linked: best is not step 2"
finish
