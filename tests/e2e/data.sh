#!/bin/bash
# SPDX-License-Identifier: MIT
# `ringmoe data`: a vocabulary is learned from a text, the text becomes tokens with it, info tells of
# both; what cannot be done is refused and leaves nothing.
. "$(dirname "$0")/common.sh"

{ head -c 30000 "$source_root/README.md"; printf '\n<|end|>\n'; } >text
done_well 'training a tokenizer' "$ringmoe" data train-tokenizer --text text --vocab 600 \
    --pattern qwen2 --special '<|end|>' --out made --threads 2
has '^made: 600 ids, 343 merges from ' out
done_well 'one thread' "$ringmoe" data train-tokenizer --text text --vocab 600 --pattern qwen2 \
    --special '<|end|>' --out one.json --threads 1 --json
has '"vocab_size": 600' out
cmp -s made/tokenizer.json one.json || fail 'the vocabulary depends on the threads'
done_well 'info of a tokenizer' "$ringmoe" data info made
has 'over bytes, 600 ids' out
done_well 'tokenizing' "$ringmoe" data tokenize --tokenizer made --text text --end '<|end|>' \
    --out text.bin
done_well 'tokenizing by the end the tokenizer names' "$ringmoe" data tokenize --tokenizer made \
    --text text --out same.bin
cmp -s text.bin same.bin || fail 'tokenizer_config.json does not name the end of a document'
printf '{"text": "a"}\n{"text": "b"}\n' >lines.jsonl
lines="data tokenize --text lines.jsonl --documents json-lines --out lines.bin"
# says_no_end yes|no OPTION...: whether documents without an end between them are told of.
says_no_end() {
    # shellcheck disable=SC2086
    done_well 'documents' "$ringmoe" $lines "${@:2}"
    grep -q 'no token ends a document' out && told=yes || told=no
    [ "$told" = "$1" ] || fail "documents tokenized with ${*:2} were told of: $told"
}
says_no_end yes --tokenizer one.json
says_no_end no --tokenizer made
says_no_end no --tokenizer one.json --end none
says_no_end no --tokenizer one.json --layout megatron
done_well 'info of tokens' "$ringmoe" data info text.bin --json
has '"layout": "u16"' out
# 343 merges make a text shorter: less than two thirds as many ids as bytes.
tokens=$(sed -n 's/.*"tokens": \([0-9]*\).*/\1/p' out)
[ "${tokens:-0}" -gt 5000 ] && [ "$tokens" -lt 20000 ] || fail "the text has $tokens tokens"
# A preset takes the tokenizer's ids; a folder of weights brings its own tokenizer.
done_well 'a preset with a tokenizer' "$ringmoe" train --data text --tokenizer made --model tiny --steps 2 \
    --seq-len 16 --microbatch 1 --global-batch 1 --threads 1 --out run
has '"vocab_size": 600' run/checkpoints/step-000002/config.json
has '"eos_token_id": 0' run/checkpoints/step-000002/config.json
echo '{"temperature": 0.5}' >run/checkpoints/step-000002/generation_config.json
cp -r run/checkpoints/step-000002 folder
rm folder/manifest.json folder/state.json folder/optimizer*
done_well 'a folder with a tokenizer' "$ringmoe" train --data text --model folder --steps 1 --seq-len 16 \
    --microbatch 1 --global-batch 1 --threads 1 --out more
cmp made/tokenizer.json more/checkpoints/step-000001/tokenizer.json || fail 'the tokenizer was lost'
has temperature more/checkpoints/step-000001/generation_config.json
done_well 'info of it' "$ringmoe" info more/checkpoints/step-000001
done_well 'it generates' "$ringmoe" generate --model more --prompt 'a text' --max-new 3 --threads 1

done_well 'a text without enough pairs' "$ringmoe" data train-tokenizer --text text --vocab 100000 \
    --out large.json
has 'the text ran out of pairs' out

# A folder that has the output in it gives the same file again.
mkdir corpus
cp text corpus/a.txt
done_well 'tokenizing into its own folder' "$ringmoe" data tokenize --tokenizer made --text corpus \
    --out corpus/ids.bin
cp corpus/ids.bin first.bin
done_well 'tokenizing it again' "$ringmoe" data tokenize --tokenizer made --text corpus \
    --out corpus/ids.bin
cmp -s corpus/ids.bin first.bin || fail 'the output became a part of the text'
refused 'ids of 32 bits under another name' 2 'end the name in .u32' "$ringmoe" data tokenize \
    --tokenizer made --text text --layout u32 --out wide.bin

# Ctrl-C leaves nothing.
for ((i = 0; i < 1500; i++)); do cat text; done >long
"$ringmoe" data tokenize --tokenizer made --text long --out stopped.bin --threads 1 >out 2>err &
wait_until 20 test -e stopped.bin.tmp || fail "no stopped.bin.tmp: $(cat err)"
kill -INT $!
wait $!
status=$?
[ "$status" -ne 0 ] || fail 'tokenizing went on after a signal'
has 'bytes of text read: nothing is written' err
absent stopped.bin
absent stopped.bin.tmp
"$ringmoe" data train-tokenizer --text long --vocab 30000 --out stopped >out 2>err &
sleep 0.3
kill -INT $!
wait $! && fail 'training a tokenizer went on after a signal'
absent stopped/tokenizer.json

mkdir occupied
echo here >occupied/chat_template.jinja
for there in made/tokenizer.json one.json occupied/chat_template.jinja; do
    out=${there%/*}
    cp "$there" kept
    refused "over $there" 2 "$there is there already; give another name or remove it" "$ringmoe" data \
        train-tokenizer --text missing --vocab 300 --out "$out"
    cmp -s "$there" kept || fail "$there was changed by a training that was refused"
done
refused 'no text' 2 'give both of --text and --out' "$ringmoe" data train-tokenizer --out x
refused 'a small vocabulary' 2 'must be from 257' "$ringmoe" data train-tokenizer --text text \
    --vocab 256 --special '<|end|>' --out x
refused 'an end that is none' 2 'is none of the special ones' "$ringmoe" data train-tokenizer \
    --text text --vocab 300 --special '<|end|>' --end '<|other|>' --out x
refused 'an unknown pattern' 2 'pattern other' "$ringmoe" data train-tokenizer --text text \
    --vocab 300 --pattern other --out x
: >empty
mkdir nothing
refused 'an empty text' 1 'no text to learn from' "$ringmoe" data train-tokenizer --text empty \
    --vocab 300 --out x
refused 'a missing text' 1 'missing' "$ringmoe" data train-tokenizer --text missing --vocab 300 --out x
refused 'a folder without a text' 1 'nothing: there is no text' "$ringmoe" data tokenize --tokenizer made \
    --text nothing --out x.bin
refused 'an unknown part' 2 'did you mean train-tokenizer' "$ringmoe" data train-tokeniser
absent x
absent x.bin
finish
