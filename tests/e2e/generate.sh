#!/bin/bash
# SPDX-License-Identifier: MIT
# `ringmoe generate` with a tokenizer, as one uses it: conversations, stops, long prompts, weights and
# experts in every place, an end by Ctrl-C or by a reader that has enough.
. "$(dirname "$0")/common.sh"

head -c 20000 "$source_root/README.md" >text
done_well 'a tokenizer' "$ringmoe" data train-tokenizer --text text --vocab 400 --special '<|end|>' \
    --special '<|im_start|>' --special '<|im_end|>' --out tok
done_well 'a model' "$ringmoe" train --data text --tokenizer tok --model tiny --steps 2 --seq-len 16 \
    --microbatch 1 --global-batch 2 --threads 1 --out run
model=run/checkpoints/latest
generate="generate --model run --threads 1 --max-new 24"

refused 'a conversation without a template' 2 'no chat template' "$ringmoe" generate --model run --chat \
    --prompt a
refused 'the name that others give the tokens to make' 2 'did you mean --max-new?' "$ringmoe" generate \
    --model run --max-new-tokens 3
refused 'another such name' 2 'unknown option --max-tokens: did you mean --max-new?' "$ringmoe" generate \
    --model run --max-tokens 3
refused 'a system message outside of one' 2 'add --chat' "$ringmoe" generate --model run --system a
cp -rL "$model" folder
rm folder/manifest.json
cat >folder/chat_template.jinja <<'END'
{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '
' + message['content'] | trim + '<|im_end|>
' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}
END

# tokens_of OPTION...: of a text as JSON.
tokens_of() { "$ringmoe" generate --threads 1 --json "$@" | tr -d ' \n' | sed 's/.*"tokens":\[\([^]]*\)\].*/\1/'; }

# A conversation is its text: the tokens that follow are those that follow that text.
chat=$(tokens_of --model folder --chat --system Short. --prompt ' What? ' --max-new 12)
same=$(tokens_of --model folder --max-new 12 --prompt '<|im_start|>system
Short.<|im_end|>
<|im_start|>user
What?<|im_end|>
<|im_start|>assistant
')
[ -n "$chat" ] && [ "$chat" = "$same" ] || fail "a conversation: $chat; its text: $same"
printf '{{ raise_exception("not today") }}' >folder/chat_template.jinja
refused 'a template that refuses' 2 'not today' "$ringmoe" generate --model folder --chat --prompt a
printf '{%% for m in messages %%}' >folder/chat_template.jinja
refused 'a damaged template' 2 'template' "$ringmoe" generate --model folder --chat --prompt a

# A stop that begins and ends anywhere in tokens: any letters of the text that stand in no \xNN.
checks=0
for seed in 1 2 3 4; do
    # shellcheck disable=SC2086
    done_well 'a text' "$ringmoe" $generate --prompt 'The experts' --seed $seed
    shown=$(tail -c +12 out)
    pieces=$(sed 's/\\x[0-9a-f][0-9a-f]/\n/g' <<<"$shown" | grep -o '[g-wyzG-Z]\{2,3\}' | head -3)
    for piece in $pieces; do
        # shellcheck disable=SC2086
        done_well 'up to a stop' "$ringmoe" $generate --prompt 'The experts' --seed $seed --stop "$piece"
        before=$(printf %s "${shown%%"$piece"*}")
        [ "$(tail -c +12 out)" = "$before" ] || fail "stop '$piece' in '$shown': $(cat out)"
        checks=$((checks + 1))
    done
done
[ "$checks" -ge 4 ] || fail "only $checks stops were tried"

# shellcheck disable=SC2086
done_well 'a text' "$ringmoe" $generate --prompt 'The experts' --seed 5
cp out text.out
# All tokens that were made are counted; their rate is that of the passes after each text's first.
# shellcheck disable=SC2086
done_well 'two texts as JSON' "$ringmoe" $generate --prompt a --prompt b --no-end --json
has '"new_tokens": 48,' out
number() { sed -n "s/^ *\"$1\": \([0-9.e+-]*\),*$/\1/p" out; }
# is_rate TOKENS SECONDS RATE
is_rate() {
    awk -v n="$1" -v seconds="$2" -v rate="$3" \
        'BEGIN {off = rate * seconds / n - 1; exit !(off < 1e-3 && off > -1e-3)}' ||
        fail "'$3' is not the rate of $1 tokens in '$2' seconds"
}
is_rate 2 "$(number prompt_seconds)" "$(number prompt_tokens_per_s)"
is_rate 46 "$(number token_seconds)" "$(number tokens_per_s)"

# Together, on ranks, read in small passes, with experts in their file, from a file: the same text.
for way in '' '--expert-memory 1' '--pass-tokens 2' '--prompt Another'; do
    # shellcheck disable=SC2086
    done_well "with '$way'" "$ringmoe" $generate --prompt 'The experts' --seed 5 $way
    sed -e '/^--- 2/,$d' -e '/^--- 1/d' out | cmp -s - text.out || fail "with '$way': $(cat out)"
done
printf 'The experts' >prompt
# shellcheck disable=SC2086
done_well 'on two ranks' "$mpiexec" -n 2 "$ringmoe" $generate --prompt-file prompt --seed 5
cmp -s out text.out || fail "two ranks: $(cat out)"
# shellcheck disable=SC2086
"$ringmoe" $generate --prompt-file - --seed 5 <prompt | cmp -s - text.out || fail 'from the input'

# Prompts up to the model's positions: what is not asked for is what there is room for.
positions=$(sed -n 's/.*"max_position_embeddings": \([0-9]*\).*/\1/p' "$model/config.json")
for ((i = 0; i < positions - 3; i++)); do printf '<|im_end|>'; done >long
done_well 'a long prompt' "$ringmoe" generate --model run --prompt-file long --threads 1 --json
has '"new_tokens": [1-3],' out
refused 'a long prompt beside another' 2 'give at most 3' "$ringmoe" generate --model run \
    --prompt-file long --prompt-file prompt
refused 'more than there is room for' 2 'give at most 3' "$ringmoe" generate --model run \
    --prompt-file long --max-new 4
printf '<|im_end|><|im_end|><|im_end|>' >>long
refused 'no room at all' 2 'give a shorter one' "$ringmoe" generate --model run --prompt-file long

# Ctrl-C hands over what there is; a reader that goes away ends it without a word.
many=()
for ((i = 0; i < 60; i++)); do many+=(--prompt "text $i"); done
long_run=("$ringmoe" generate --model run --threads 1 --max-new 200 --no-end --max-sequences 1 "${many[@]}")
"${long_run[@]}" >out 2>err &
wait_until 20 test -s out || fail "nothing comes: $(cat err)"
kill -INT $!
wait $!
status=$?
[ "$status" -eq 130 ] && [ ! -s err ] || fail "Ctrl-C: status $status: $(cat err)"
has '^--- 60 ---' out
"${long_run[@]}" 2>err | head -c 20 >out
status=${PIPESTATUS[0]}
[ "$status" -ne 0 ] && [ ! -s err ] || fail "a reader that left: status $status: $(cat err)"
finish
