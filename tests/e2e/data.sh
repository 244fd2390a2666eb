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
done_well 'info of tokens' "$ringmoe" data info text.bin --json
has '"layout": "u16"' out
# 343 merges make a text shorter: less than two thirds as many ids as bytes.
tokens=$(sed -n 's/.*"tokens": \([0-9]*\).*/\1/p' out)
[ "${tokens:-0}" -gt 5000 ] && [ "$tokens" -lt 20000 ] || fail "the text has $tokens tokens"
done_well 'a text without enough pairs' "$ringmoe" data train-tokenizer --text text --vocab 100000 \
    --out large.json
has 'the text ran out of pairs' out

refused 'no text' 2 'give both of --text and --out' "$ringmoe" data train-tokenizer --out x
refused 'a small vocabulary' 2 'must be from 257' "$ringmoe" data train-tokenizer --text text \
    --vocab 256 --special '<|end|>' --out x
refused 'an end that is none' 2 'is none of the special ones' "$ringmoe" data train-tokenizer \
    --text text --vocab 300 --special '<|end|>' --end '<|other|>' --out x
refused 'an unknown pattern' 2 'pattern other' "$ringmoe" data train-tokenizer --text text \
    --vocab 300 --pattern other --out x
: >empty
refused 'an empty text' 1 'no text to learn from' "$ringmoe" data train-tokenizer --text empty \
    --vocab 300 --out x
refused 'a missing text' 1 'missing' "$ringmoe" data train-tokenizer --text missing --vocab 300 --out x
refused 'an unknown part' 2 'did you mean train-tokenizer' "$ringmoe" data train-tokeniser
absent x
finish
