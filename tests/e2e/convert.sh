#!/bin/bash
# SPDX-License-Identifier: MIT
# `ringmoe convert`: a run becomes a GGUF file and a folder again with the same loss, Q8_0 nearly so,
# a dense model becomes one with experts that predicts as well; what cannot be done is refused.
. "$(dirname "$0")/common.sh"

loss_of() {
    "$ringmoe" eval --json --seq-len 32 --max-sequences 8 "$@" 2>err |
        sed -n 's/.*"loss": \([0-9.e+-]*\).*/\1/p'
}

# close WHAT A B TOLERANCE
close() {
    awk -v a="$2" -v b="$3" -v t="$4" 'BEGIN { exit !(a > 0 && a - b <= t && b - a <= t) }' ||
        fail "$1: $2 and $3"
}

head -c 20000 "$source_root/README.md" >text
done_well 'training' "$ringmoe" train --data text --model tiny --steps 3 --seq-len 32 --microbatch 2 \
    --global-batch 4 --out run || finish
before=$(loss_of --model run --data text)
done_well 'to GGUF' "$ringmoe" convert --model run --to gguf --out model.gguf
close 'GGUF' "$before" "$(loss_of --model model.gguf --data text)" 0
done_well 'to a folder' "$ringmoe" convert --model model.gguf --to hf --fused --out folder
close 'a folder' "$before" "$(loss_of --model folder --data text)" 0
done_well 'to a folder in bf16' "$ringmoe" convert --model run --to hf --type bf16 --out narrow
has '"torch_dtype": "bfloat16"' narrow/config.json
close 'a folder in bf16' "$before" "$(loss_of --model narrow --data text)" 0.01
done_well 'to Q8_0' "$ringmoe" convert --model run --to gguf --type q8_0 --out small.gguf
grep -q 'small.gguf in .* Q8_0 (.* F32 (.*, in 1 file' out || fail "the types are not said: $(cat out)"
close 'Q8_0' "$before" "$(loss_of --model small.gguf --data text)" 0.02
[ "$(stat -c %s small.gguf)" -lt $(($(stat -c %s model.gguf) / 3)) ] || fail 'Q8_0 is not small'
done_well 'the model of a GGUF file' "$ringmoe" info --model small.gguf
grep -q 'experts      4 of 128, top-2' out || fail "info: $(cat out)"
done_well 'on two ranks' "$mpiexec" -n 2 "$ringmoe" convert --model small.gguf --to gguf --type bf16 \
    --out again.gguf
[ -s again.gguf ] || fail 'two ranks wrote nothing'

# A tokenizer of a kind that is not known: convert says what to do, info tells of the rest.
done_well 'a tokenizer' "$ringmoe" data train-tokenizer --text text --vocab 300 --out tok
done_well 'a model with it' "$ringmoe" train --data text --model tiny --tokenizer tok --steps 1 \
    --seq-len 16 --microbatch 1 --global-batch 1 --out worded
done_well 'its GGUF' "$ringmoe" convert --model worded --to gguf --out worded.gguf
done_well 'back' "$ringmoe" convert --model worded.gguf --to hf --out worded-back
[ -s worded-back/tokenizer.json ] || fail 'no tokenizer.json came of the lists'
# A run with the tokenizer of a GGUF file takes it along, and needs that file no more.
mkdir lent
cp worded.gguf lent
done_well 'training with it' "$ringmoe" train --data text --model tiny --tokenizer lent/worded.gguf \
    --steps 1 --seq-len 16 --microbatch 1 --global-batch 1 --out lent-run
cmp lent-run/checkpoints/latest/tokenizer.json worded-back/tokenizer.json ||
    fail 'the checkpoint has not the tokenizer of the GGUF file'
rm -r lent
done_well 'without that file' "$ringmoe" generate --model lent-run --prompt 'The' --max-new 2
done_well 'info of its checkpoint' "$ringmoe" info lent-run --verify
sed 's/gpt-2/gpt-x/' worded.gguf >odd.gguf
cmp -s worded.gguf odd.gguf && fail 'the pattern has another name'
refused 'an unknown tokenizer' 1 'gpt-x.*--no-tokenizer' "$ringmoe" convert --model odd.gguf --to hf --out x
done_well 'without it' "$ringmoe" convert --model odd.gguf --to hf --no-tokenizer --out alone
absent alone/tokenizer.json
done_well 'info without it' "$ringmoe" info odd.gguf
has 'tokenizer +not read: .*gpt-x' out

# Ids below a vocabulary of 32.
awk 'BEGIN { for (i = 0; i < 600; i++) printf "\\x%02x\\x00", (i * i + i / 7) % 32 }' | xargs -0 printf '%b' >ids.u16
dense=$source_root/tests/golden/data/llama
done_well 'upcycling' "$ringmoe" convert --model "$dense" --to hf --upcycle 4 --experts-per-token 3 \
    --out upcycled
close 'upcycled' "$(loss_of --model "$dense" --data ids.u16)" "$(loss_of --model upcycled --data ids.u16)" 1e-6

refused 'no --to' 2 'no --to' "$ringmoe" convert --model run --out x
refused 'no --out' 2 'no --out' "$ringmoe" convert --model run --to hf
refused 'a GGUF file under another name' 2 'end the name in .gguf' "$ringmoe" convert --model run \
    --to gguf --out x
refused 'what is there' 2 'is there already' "$ringmoe" convert --model run --to hf --out folder
refused 'q4_0 in a folder' 2 'GGUF' "$ringmoe" convert --model run --to hf --type q4_0 --out x
refused 'upcycling experts' 2 'family mixtral' "$ringmoe" convert --model run --to hf --upcycle 4 --out x
head -c 3000 model.gguf >cut.gguf
refused 'a cut file' 1 'cut.gguf: its' "$ringmoe" convert --model cut.gguf --to hf --out x
refused 'a cut file' 1 'cut.gguf: its' "$ringmoe" eval --model cut.gguf --data text
refused 'no model' 1 'no such file' "$ringmoe" convert --model nothing --to hf --out x
refused 'a preset' 2 'not a folder with trained weights' "$ringmoe" convert --model tiny --to hf --out x
mkdir y.tmp
refused 'remains' 1 'y.tmp is there; remove it' "$ringmoe" convert --model run --to hf --out y
[ ! -e x ] && [ ! -e x.tmp ] || fail 'something was left behind'
finish
