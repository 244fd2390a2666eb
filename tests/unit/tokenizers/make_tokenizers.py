#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Small tokenizers with the settings of known ones, and ids the `tokenizers` library gives.

    python make_tokenizers.py        (tokenizers 0.23)

Writes NAME.json beside itself, and NAME.ids: a line is the bytes of a text in hex, whether the
frame is added, and the ids. A text that is no UTF-8 is decoded as Python's errors="replace" does.
"""
import json
import os
import random

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers,
                        pre_tokenizers, processors, trainers)

HERE = os.path.dirname(os.path.abspath(__file__))
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")
SCRIPTS = (r"[\p{Han}]+|\p{Hiragana}+|\p{Katakana}+|\p{Greek}+|\p{Cyrillic}+|\p{Arabic}+|\p{Latin}+"
           r"|\p{Devanagari}+|\P{White_Space}|\s+(?!\S)|\s+")
LLAMA = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
TEXTS = [
    "The quick brown fox can't jump over the lazy dog's 12345 fences; it'll TRY, we'Re sure.",
    "def add(a, b):\n    return a + b  # sum\n\n\nprint(add(1, 2))\t\n",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία. Zażółć gęślą jaźń. Voix ambiguë d'un cœur.",
    "いろはにほへと ちりぬるを。色は匂へど 散りぬるを 我が世誰ぞ",
    "天地玄黃，宇宙洪荒。日月盈昃，辰宿列張。",
    "다람쥐 헌 쳇바퀴에 타고파 각\u1100\u1161\u11a8",
    "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का সর্বনাশ ১২৩",
    "دع القلق وابدأ الحياة ٣٤٥ עטלף אבק נס דרך מזגן",
    "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "🙂👩‍👩‍👧‍👦🏳️‍🌈🇩🇪 e\u0301 \u212b ﬁ Ⅷ ² ½ ſ 'ſ \u0301a\u0316\u0301\u0316",
    "a\x00b\x01\x7f\u0085\u00a0\u180e\u200b\u200d\u2028\ufeff\r\n\r \t \v\f",
    "<s>[INST] hi [/INST]</s> <|endoftext|>a<|im_start|>user\n<0x41>▁▁x▁ <unk> |||IP|||",
    "   leading,  double   triple    blanks     and\n\n \n  lines   ",
    "\U00010d40\U0001e4d0\U00031350\u09fe\u09bc\U00011935\U00011930 \ua7cb \U00016d40",
]
# No vocabulary was trained on these.
MORE_TEXTS = [
    "lines\r\nof DOS\r\n\r\nand \r alone\n\r\n",
    "一、二〆三ー々〇 ぁゖヴヷ・ー Ωϐͅ ԀӒ ٭٪ ۩ ฿ ़१ ΑΒ·ΓΔ K Å ﷺ",
    "ßẞ SS ſs ﬁ ﬀ ﬆ İ ı ǅ ΐ 'S 'ſ 'LL 'Ll we'VE",
    "a\u0301\u0327\u0316b\u093c\u094d\u0915\u093c \u0f71\u0f72 \u1100\u1161\u11a8\u11a8 \u0344\u0958",
    "👨‍👩‍👧 👍🏽 ❤️‍🔥 🏴\U000e0067\U000e0062\U000e007f 1️⃣ ☃︎",
    "x<a>  y  <b>  z [c]\n[c] fox fox<a><b> <a>x \n<b>\n  é e\u0301 Å  \u3000<b>\u3000.",
    "e\u0301" * 60 + "'s" * 60 + "👩‍👧" * 40 + "\r\n" * 60 + "\u3000" * 60 + "<b> " * 30,
]


def cases():
    draw = random.Random(3)
    texts = [text.encode() for text in TEXTS + MORE_TEXTS] + [b" ", b"a", b"\n"]
    texts += [unit * 300 for unit in (b" ", b"a", b"\n", "é".encode(), "日".encode(), b"ab ", b"1")]
    texts += [b"\xff", b"a\xe2\x82", b"\xed\xa0\x80x", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xf4\x90\x80\x80 \xe2\x96"]
    for _ in range(40):
        texts.append(bytes(draw.choice([draw.randrange(256), draw.randrange(128), 0xE2, 0x96, 0x81])
                           for _ in range(draw.randint(1, 24))))
    whole = "".join(TEXTS)
    for _ in range(40):
        texts.append("".join(draw.choice(whole) for _ in range(draw.randint(1, 40))).encode())
    return texts


def trained(tokenizer, size, **more):
    # No vocabulary has NUL as a character, and ours could not read it.
    texts = [text.replace("\0", "") for text in TEXTS]
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, show_progress=False, **more))
    return tokenizer


def over_bytes(pattern, size=600, normalizer=None, **model):
    tokenizer = Tokenizer(models.BPE(**model))
    if normalizer:
        tokenizer.normalizer = normalizer
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    tokenizer.pre_tokenizer = last if pattern is None else pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), last])
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())


def make():
    made = {}
    made["gpt2"] = over_bytes(None)
    made["gpt2"].add_special_tokens(["<|endoftext|>"])
    made["qwen2"] = over_bytes(QWEN, normalizer=normalizers.NFC())
    made["qwen2"].add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    made["qwen2"].add_tokens([AddedToken("[INST]", normalized=False, lstrip=True, rstrip=True)])
    made["llama3"] = over_bytes(LLAMA, ignore_merges=True)
    made["llama3"].add_special_tokens(["<|begin_of_text|>", "<|endoftext|>"])
    begin = ("<|begin_of_text|>", made["llama3"].token_to_id("<|begin_of_text|>"))
    made["llama3"].post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=begin[0] + " $A", special_tokens=[begin])])
    made["olmoe"] = over_bytes(None, normalizer=normalizers.NFC())
    made["olmoe"].add_special_tokens(["<|endoftext|>", "|||IP|||"])
    made["olmoe"].add_tokens([AddedToken(" " * n, normalized=True) for n in range(24, 1, -1)])
    made["mixtral"] = mixtral()
    made["scripts"] = over_bytes(SCRIPTS)
    for content, left, right, special, normalized in [
            ("<a>", True, False, True, False), ("<b>", False, True, True, False),
            ("[c]", True, True, False, True), ("fox", False, False, False, True),
            ("\u212b", False, False, True, False)]:
        token = AddedToken(content, lstrip=left, rstrip=right, special=special, normalized=normalized)
        (made["scripts"].add_special_tokens if special else made["scripts"].add_tokens)([token])
    return made


def mixtral():
    """Trained over words, then given the settings of the real one, which has none."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trained(tokenizer, 700, limit_alphabet=200,
            special_tokens=["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)])
    settings = json.loads(tokenizer.to_str())
    settings["pre_tokenizer"] = None
    settings["added_tokens"] = settings["added_tokens"][:3]
    settings["decoder"] = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"},
        {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    tokenizer = Tokenizer.from_str(json.dumps(settings))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)])
    return tokenizer


def main():
    for name, tokenizer in make().items():
        tokenizer.save(os.path.join(HERE, name + ".json"), pretty=False)
        with open(os.path.join(HERE, name + ".ids"), "w", encoding="ascii") as out:
            for number, text in enumerate(cases()):
                frame = number % 2
                ids = tokenizer.encode(text.decode("utf-8", "replace"), add_special_tokens=bool(frame)).ids
                print(text.hex(), frame, *ids, file=out)


if __name__ == "__main__":
    main()
