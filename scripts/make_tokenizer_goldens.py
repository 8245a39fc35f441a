#!/usr/bin/env python3
"""Makes tests/golden/tokenizer: token ids by Hugging Face's tokenizers and by sentencepiece, which share no
code with src/text, from the vocabularies in VOCAB_DIR (ggml-vocab-*.gguf).

  make_tokenizer_goldens.py VOCAB_DIR [OUT_DIR]     needs: pip install gguf tokenizers sentencepiece
"""
import hashlib
import importlib.metadata
import pathlib
import random
import struct
import sys
import unicodedata

import gguf
import sentencepiece
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

BLOCK = 4096  # code points to a hash


def split(expression):
    return pre_tokenizers.Split(Regex(expression), "isolated")


def byte_level(use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


# The pre-tokenizers as in the models' tokenizer.json; "default" as llama.cpp defines it.
PRE_TOKENIZERS = {
    "qwen2": [split(QWEN2), byte_level(False)],
    "llama-bpe": [split(LLAMA3), byte_level(False)],
    "gpt-2": [byte_level(True)],
    "smollm": [pre_tokenizers.Digits(individual_digits=True), byte_level(True)],
    "default": [split(r"[\p{P}$+<=>^~|]+"), split(GPT2), split(r"\p{N}+"), split("[0-9][0-9][0-9]"),
                byte_level(False)],
}

# Name of a golden -> the vocabulary it is of, and the pre-tokenizer (None: SentencePiece).
GOLDENS = {
    "qwen2": ("qwen2", "qwen2"),
    "llama-bpe": ("llama-bpe", "llama-bpe"),
    "gpt-2": ("gpt-2", "gpt-2"),
    "gpt-2.smollm": ("gpt-2", "smollm"),
    "gpt-2.default": ("gpt-2", "default"),
    "llama-spm": ("llama-spm", None),
    "phi-3": ("phi-3", None),
}


class Vocabulary:
    def __init__(self, path):
        self.fields = gguf.GGUFReader(path).fields
        self.tokens = self.strings("tokens")
        self.types = [int(n) for n in self.values("token_type")]

    def values(self, key):
        field = self.fields["tokenizer.ggml." + key]
        return [field.parts[i][0] for i in field.data]

    def strings(self, key):
        field = self.fields["tokenizer.ggml." + key]
        return [bytes(field.parts[i]).decode() for i in field.data]


def hugging_face(vocabulary, pre):
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    merges = [tuple(merge.split(" ")) for merge in vocabulary.strings("merges")]
    tokenizer = Tokenizer(models.BPE(ids, merges, ignore_merges=pre == "llama-bpe"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(PRE_TOKENIZERS[pre])
    tokenizer.decoder = decoders.ByteLevel()
    return lambda texts: [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]


def sentence_piece(vocabulary):
    """A sentencepiece_model.proto written by hand: pieces, trainer_spec, normalizer_spec."""
    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])

    def integer(field, n):
        return varint(field << 3) + varint(n & (1 << 64) - 1)

    def blob(field, data):
        return varint(field << 3 | 2) + varint(len(data)) + data

    unknown, control, unused = 2, 3, 5
    model = b""
    for i, (token, score, kind) in enumerate(
            zip(vocabulary.tokens, vocabulary.values("scores"), vocabulary.types)):
        if kind == unknown and i > 0:
            kind = unused  # [PADn]
        if token == "</s>":
            kind = control
        piece = blob(1, token.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + integer(3, kind)
        model += blob(1, piece)
    bpe = 2
    model += blob(2, integer(3, bpe) + integer(35, 1) + integer(40, 0) + integer(41, 1) + integer(42, 2) +
                  integer(43, -1))
    model += blob(3, blob(1, b"identity") + integer(3, 1) + integer(4, 0) + integer(5, 1))
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    return lambda texts: processor.encode(texts)


SENTENCES = """
The quick brown fox jumps over the lazy dog.|Franz jagt im komplett verwahrlosten Taxi quer durch Bayern.
Voix ambiguë d'un cœur qui au zéphyr préfère les jattes de kiwis.|El pingüino Wenceslao hizo kilómetros.
Luís argüia à Júlia que «brações, fé, chá, óxido» eram palavras.|Pchnąć w tę łódź jeża lub ośm skrzyń fig.
Příliš žluťoučký kůň úpěl ďábelské ódy.|Árvíztűrő tükörfúrógép.|Flygande bäckasiner söka hwila på mjuka tuvor.
Съешь же ещё этих мягких французских булок, да выпей чаю.|Жебракують філософи при ґанку церкви.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.|Pijamalı hasta yağız şoföre çabucak güvendi. İIıi
نص حكيم له سر قاطع وذو شأن عظيم|דג סקרן שט בים מאוכזב ולפתע מצא חברה|ساعت ۱۲:۳۴ و ٥٦٧
ऋषियों को सताने वाले दुष्ट राक्षसों|আমি বাংলায় গান গাই।|யாமறிந்த மொழிகளிலே தமிழ்மொழி|తెలుగు భాష|ಕನ್ನಡ ನಾಡು|മലയാളം
เป็นมนุษย์สุดประเสริฐเลิศคุณค่า|ຂ້ອຍກິນແກ້ວໄດ້|ខ្ញុំអាចញុំកញ្ចក់បាន|မြန်မာစာ|བོད་སྐད།|ქართული ენა|Հայերեն լեզու
我能吞下玻璃而不伤身体。|天地玄黃，宇宙洪荒。|いろはにほへと ちりぬるを|キャッチャー・イン・ザ・ライ|다람쥐 헌 쳇바퀴에 타고파
ᚠᛇᚻ᛫ᛒᛦᚦ ᚠᚱᚩᚠᚢᚱ|𐌼𐌰𐌲 𐌲𐌻𐌴𐍃|ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ|ᠮᠣᠩᠭᠣᠯ᠎ᠠ|ሰላም ለዓለም|ⵜⴰⵎⴰⵣⵉⵖⵜ|𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 Ａ１
Don't you think it's what they'll say? I'd've said we're done, y'all.|DON'T IT'S THEY'LL I'D WE'RE I'VE I'M 'Tis
it''s ''' 'sa 'S 'ſ x'ſ 'll'Ll'lL'LL 're'Re've'VE'd'D'm'M't'T|’s ‘t it’s don’t
1 12 123 1234 12345 123456 1234567890123|3.14159 1,000,000 $5 5% ½ ²³ Ⅷ ⑨ ٣ १२३ 一二三 0x1F 1e-9
2024-02-29T23:59:60Z v1.2.3-rc.4+build|a1b2 c3 4d 5e6f|I have 3 cats,12dogs and7 birds
a@b.example.com https://x.org/a?b=c&d=%20#e|C:\\Users\\me "quoted" (paren) [brack] {brace} <tag/>
#hashtag @user $VAR ${x} `code` ~tilde^ |pipe| a|b||c * _ under_score camelCase snake_case-kebab
"""

CODE = [
    "def f(x):\n    return x ** 2  # square\n\n\nclass A:\n\tpass\n",
    "int main(void) {\r\n\tprintf(\"%d\\n\", 42);\r\n\treturn 0;\r\n}\r\n",
    "#include <vector>\ntemplate <class T> T max(T a, T b) { return a < b ? b : a; }\n",
    "SELECT * FROM t WHERE a >= 10 AND b != 'it''s' -- comment\n",
    "<html><body class=\"x\">&amp;nbsp;</body></html>\n<!-- c -->",
    "{\"a\": [1, 2.5e3, null, true], \"b\": {\"c\": \"\\u00e9\"}}",
    "for (let i = 0; i < n; ++i) { a[i] += b?.c ?? `t${i}`; }",
    "fn main() { let v: Vec<&'static str> = vec![\"a\"; 3]; println!(\"{:?}\", v); }",
    "\\begin{align} \\sum_{i=0}^{\\infty} x_i^2 &= \\frac{1}{2} \\\\ \\end{align}",
    "a = b\n\n\n\n    c = d\n  \n\t\n    e\n", "|a|b|\n|---|---|\n|1|2|\n\n- [ ] x\n  1. y\n",
    "0123456789abcdef 0b1010 0o777 1_000_000 .5 5. ...5", "==>!=<=>=->=>::&&||++--**//~~<<>>",
    "$ ls -la | grep '^d' && echo \"$HOME\" > /dev/null 2>&1 &",
]

EMOJI = [
    "😀😁😂🤣", "👨‍👩‍👧‍👦 family", "👩🏽‍💻👍🏿", "🏳️‍🌈🏴‍☠️", "🇩🇪🇫🇷🇯🇵", "1️⃣2️⃣#️⃣*️⃣", "❤️ vs ❤", "☕️☀︎☁", "🧑‍🚀 says \"hi\" 🚀🚀",
    "a😀b 1😀2 '😀's", "🤷🏻‍♀️🤦", "😶‍🌫️", "✅✔︎✗", "→←↑↓⇒∀∃∈∉≤≥≠±×÷√∞∫", "€£¥₿₽©®™§¶†‡•…—–‐‑",
]

SPACES = ["\t", "\n", "\v", "\f", "\r", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u180e", "\u2000", "\u2003",
          "\u2007", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060", "\u3000", "\ufeff"]

ODDITIES = [
    "", " ", "a", "é vs e\u0301", "A\u030a\u0323 \u0323\u030a", "\u0301alone", "a" + "\u0301" * 20, "\0", "a\0b", "\x01\x02\x1b[31mred\x7f",
    "\ud7ff\ue000\ufffd\uffff\U00010000\U0010ffff", "\u200e\u202eabc\u202c", "ﬁﬂﬃ ǅ ŉ ß ẞ", "İstanbul ıI",
    "ΑΣ ας ΌΣΟΣ", "Z̸͎͑a̵͝l̴g̶o̷", "ｆｕｌｌ　ｗｉｄｔｈ１２３", "각각 각", "क्‍ष क्ष", "ا ﻻ ﷺ", "\ufdd0\U0001ffff", "▁a▁ ▁", "a▁b",
    "<|im_start|>user\nhi<|im_end|>\n", "<s>[INST] x [/INST]</s>", "<|begin_of_text|><|eot_id|>", "<0x41>", "[PAD151646]",
    "Ġhello Ċ Ŀ", "<|endoftext|>", "<unk><pad></s>", "a <|", "||>", "\ue000\U000f0000\U00100000",
]


def random_texts(count):
    rng = random.Random(20240229)
    pool = (list("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789 \n\t.,;:!?'\"()[]{}<>/\\|@#$%^&*-_=+~`") + SPACES[:8] +
            list("éüñçøåßþðłőžšđæœ") + list("жщъыьэюяЁЇѢ") + list("αβγδωΩς") + list("אבגשלم") + list("ابتثجحخ") +
            list("अआकखगि्ा") + list("กขค่้") + list("我你他的一国中文日本語") + list("ひらがなカタカナー") + list("가각한글") +
            list("😀🚀👍🏽‍️🇺🇸") + list("½²³①Ⅳ٣") + list("\u0301\u0308\u20dd\u200d\u200b\ufeff") + list("—–…“”‘’«»"))
    words = ["the", " and", "ing", "tion", " 2024", "'s", "'LL", "  ", "\n\n", " \n", "\r\n", "https://", " =", "();", " the", "        "]
    texts = []
    for _ in range(count):
        n = rng.randint(2, 40)
        texts.append("".join(rng.choice(pool if rng.random() < 0.6 else words) for _ in range(n)))
    return texts


def make_texts():
    texts = [s for s in SENTENCES.strip().replace("\n", "|").split("|") if s] + CODE + EMOJI + ODDITIES
    for space in SPACES:
        texts += [f"a{space}b {space}c{space}{space}d1{space}2{space}", f"{space}{space}x{space}\n{space}.{space}"]
    for unit, n in [("a", 100), ("A", 257), (" ", 63), ("\n", 33), ("\t", 17), ("9", 22), ("=", 80), ("-", 65), ("ab", 50),
                    ("我", 30), ("é", 30), ("😀", 12), ("ha", 40), ("\r\n", 9), (" \n", 20), ("  x", 20), ("'", 12), ("▁", 5)]:
        texts += [unit * n, "x" + unit * n + "y", unit * n + " z"]
    return list(dict.fromkeys(texts + random_texts(120)))


def escape(text):
    def keep(i, c):
        return c.isprintable() and c != "\\" and not (c == " " and i == len(text) - 1)
    return "".join(c if keep(i, c) else "\\u{%x}" % ord(c) for i, c in enumerate(text))


def assigned_ranges():
    """Assigned code points without surrogates, as [first, last]: later versions of Unicode keep their class."""
    ranges = []
    for c in range(0x110000):
        if unicodedata.category(chr(c)) in ("Cn", "Cs"):
            continue
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def code_point_text(c):
    """Contexts in which the ids depend on the class of c: letter, number, space or other."""
    return f"{c} a{c}b 1{c}23 '{c}\n \n{c}{c}\t"


def hash_blocks(encode, ranges):
    """FNV-1a over ids, a word at a time, ~0 after each text; one hash for each block of code points."""
    blocks = {}
    for first, last in ranges:
        for c in range(first, last + 1):
            blocks.setdefault(c // BLOCK, []).append(code_point_text(chr(c)))
    for block, texts in blocks.items():
        h = 0xCBF29CE484222325
        for ids in encode(texts):
            for i in ids + [0xFFFFFFFF]:
                h = ((h ^ i) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
        yield block, h


def main():
    vocab_dir = pathlib.Path(sys.argv[1])
    out_dir = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else
                           pathlib.Path(__file__).parent.parent / "tests/golden/tokenizer")
    texts = make_texts()
    out_dir.joinpath("texts.txt").write_text("".join(escape(t) + "\n" for t in texts), encoding="utf-8")
    ranges = assigned_ranges()
    lines = [f"range {first:x} {last:x}" for first, last in ranges]
    made = []
    for name, (vocab, pre) in GOLDENS.items():
        path = vocab_dir / f"ggml-vocab-{vocab}.gguf"
        vocabulary = Vocabulary(path)
        encode = hugging_face(vocabulary, pre) if pre else sentence_piece(vocabulary)
        out_dir.joinpath(name + ".ids").write_text("".join(" ".join(map(str, ids)) + "\n" for ids in encode(texts)))
        lines += [f"hash {name} {block:x} {h:016x}" for block, h in hash_blocks(encode, ranges)]
        made.append(f"{path.name} sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")
        print(name, len(texts), "texts")
    out_dir.joinpath("code_points.txt").write_text("\n".join(lines) + "\n")
    versions = [f"{p} {importlib.metadata.version(p)}" for p in ("tokenizers", "sentencepiece", "gguf")]
    versions.append(f"Unicode {unicodedata.unidata_version} (assigned code points)")
    out_dir.joinpath("made_with.txt").write_text("\n".join(versions + list(dict.fromkeys(made))) + "\n")


if __name__ == "__main__":
    main()
