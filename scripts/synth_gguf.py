#!/usr/bin/env python3
"""Writes a GGUF file of a real model's shape with random weights, to measure speed and memory.

    synth_gguf.py SHAPE TYPE OUT.gguf [--layers N] [--seed N] [--sparse]

Weights have mean 0 and standard deviation 0.02: normal ones, rounded to TYPE, except for K-quants, whose quants are
random bits. TYPE q4_k_m gives each tensor the type that llama-quantize gives it. The vocabulary is made up, with as many
tokens and merges as the real one, so that loading and tokenizing cost what they cost. Needs Python 3 alone."""
import argparse
import itertools
import math
import random
import struct
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    arch: str
    layers: int
    embd: int
    ff: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    ctx: int
    rope_base: float
    eps: float
    tied: bool


SHAPES = {
    "tiny": Shape("qwen2", 4, 256, 768, 4, 2, 64, 2000, 2048, 1e4, 1e-6, True),
    "qwen2.5-0.5b": Shape("qwen2", 24, 896, 4864, 14, 2, 64, 151936, 32768, 1e6, 1e-6, True),
    "qwen2.5-1.5b": Shape("qwen2", 28, 1536, 8960, 12, 2, 128, 151936, 32768, 1e6, 1e-6, True),
    "qwen2.5-7b": Shape("qwen2", 28, 3584, 18944, 28, 4, 128, 152064, 32768, 1e6, 1e-6, False),
    "qwen3-0.6b": Shape("qwen3", 28, 1024, 3072, 16, 8, 128, 151936, 40960, 1e6, 1e-6, True),
    "llama-3.2-1b": Shape("llama", 16, 2048, 8192, 32, 8, 64, 128256, 131072, 5e5, 1e-5, True),
}

# name: GGUF's id, elements of a block, bytes of a block
TYPES = {
    "f32": (0, 1, 4), "f16": (1, 1, 2), "bf16": (30, 1, 2), "q4_0": (2, 32, 18), "q5_0": (6, 32, 22), "q8_0": (8, 32, 34),
    "q4_k": (12, 256, 144), "q5_k": (13, 256, 176), "q6_k": (14, 256, 210),
}
FILE_TYPES = {"f32": 0, "f16": 1, "bf16": 32, "q4_0": 2, "q5_0": 8, "q8_0": 7, "q4_k": 14, "q5_k": 16, "q6_k": 18, "q4_k_m": 15}
K_FALLBACKS = {"q4_k": "q5_0", "q5_k": "q8_0", "q6_k": "q8_0"}  # for rows that are no multiple of 256

ALIGNMENT = 32
DEVIATION = 0.02
POOL_ELEMS = 1 << 20  # different random weights; a tensor is cut from them, each at another place


# --- Types of tensors ---

def has_more_bits(layer, n_layers):
    """Where llama-quantize's _M mixtures spend more: the first and the last eighth, and every third between them."""
    eighth = n_layers // 8
    return layer < eighth or layer >= 7 * n_layers // 8 or (layer - eighth) % 3 == 2


def mixture_type(name, layer, shape):
    if name == "output.weight" or (name == "token_embd.weight" and shape.tied):
        return "q6_k"
    if name.endswith(("attn_v.weight", "ffn_down.weight")) and has_more_bits(layer, shape.layers):
        return "q6_k"
    return "q4_k"


def type_of(name, cols, layer, shape, wanted):
    kind = mixture_type(name, layer, shape) if wanted == "q4_k_m" else wanted
    return K_FALLBACKS[kind] if cols % TYPES[kind][1] and kind in K_FALLBACKS else kind


# --- Blocks ---

def half(value):
    return struct.pack("<e", value)


def bf16(value):
    bits = struct.unpack("<I", struct.pack("<f", value))[0]
    return struct.pack("<H", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)


def quantized(values, limit):
    """Scale and integers in [-limit, limit)."""
    scale = max(abs(v) for v in values) / limit or 1.0
    scale = struct.unpack("<e", half(scale))[0] or 1.0
    return scale, [max(-limit, min(limit - 1, round(v / scale))) for v in values]


def block_q8_0(values):
    scale, q = quantized(values, 127)
    return half(scale) + struct.pack("<32b", *q)


def nibbles(q):
    return bytes(q[i] & 15 | (q[i + 16] & 15) << 4 for i in range(16))


def block_q4_0(values):
    scale, q = quantized(values, 8)
    return half(scale) + nibbles([v + 8 for v in q])


def block_q5_0(values):
    scale, q = quantized(values, 16)
    q = [v + 16 for v in q]
    return half(scale) + struct.pack("<I", sum((v >> 4) << i for i, v in enumerate(q))) + nibbles(q)


def packed_scales(scales, mins):
    """Eight scales and eight mins of six bits in twelve bytes, as Q4_K and Q5_K have them."""
    low = [scales[i] | (scales[i + 4] >> 4) << 6 for i in range(4)]
    middle = [mins[i] | (mins[i + 4] >> 4) << 6 for i in range(4)]
    high = [scales[i + 4] & 15 | (mins[i + 4] & 15) << 4 for i in range(4)]
    return bytes(low + middle + high)


def uniform_deviation(n):
    """Of the numbers 0 to n - 1."""
    return math.sqrt((n * n - 1) / 12)


def block_k_with_mins(rng, bits):
    """Q4_K, Q5_K: d·scale·q - dmin·min, with scale = min and dmin = the mean of q, so that the mean is 0."""
    scales = [rng.randint(16, 31) for _ in range(8)]
    d = DEVIATION / (23.5 * uniform_deviation(1 << bits))
    return half(d) + half(d * ((1 << bits) - 1) / 2) + packed_scales(scales, scales) + rng.randbytes(bits * 32)


def block_q6_k(rng):
    """d·scale·(q - 32)"""
    scales = struct.pack("<16b", *(rng.randint(4, 7) for _ in range(16)))
    return rng.randbytes(192) + scales + half(DEVIATION / (5.5 * uniform_deviation(64)))


def make_pool(kind, seed):
    """POOL_ELEMS random weights in blocks of a type, as bytes."""
    rng = random.Random(f"{seed} {kind}")
    n = POOL_ELEMS // TYPES[kind][1]
    if kind in ("q4_k", "q5_k"):
        return b"".join(block_k_with_mins(rng, int(kind[1])) for _ in range(n))
    if kind == "q6_k":
        return b"".join(block_q6_k(rng) for _ in range(n))
    values = [rng.gauss(0, DEVIATION) for _ in range(POOL_ELEMS)]
    if kind in ("f32", "f16"):
        return struct.pack(f"<{POOL_ELEMS}{'f' if kind == 'f32' else 'e'}", *values)
    if kind == "bf16":
        return b"".join(map(bf16, values))
    block = {"q8_0": block_q8_0, "q4_0": block_q4_0, "q5_0": block_q5_0}[kind]
    return b"".join(block(values[i:i + 32]) for i in range(0, POOL_ELEMS, 32))


# --- Tensors ---

@dataclass(frozen=True)
class Tensor:
    name: str
    cols: int
    rows: int  # 0: a vector
    kind: str
    vector: str = ""  # "norm" or "bias"

    @property
    def n_elems(self):
        return self.cols * max(1, self.rows)

    @property
    def n_bytes(self):
        _, elems, size = TYPES[self.kind]
        return self.n_elems // elems * size


def layer_tensors(shape, layer):
    """(name, cols, rows or what vector it is)"""
    q, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield "attn_norm.weight", shape.embd, "norm"
    for name, rows in (("q", q), ("k", kv), ("v", kv)):
        yield f"attn_{name}.weight", shape.embd, rows
        if shape.arch == "qwen2":
            yield f"attn_{name}.bias", rows, "bias"
    if shape.arch == "qwen3":
        yield "attn_q_norm.weight", shape.head_dim, "norm"
        yield "attn_k_norm.weight", shape.head_dim, "norm"
    yield "attn_output.weight", q, shape.embd
    yield "ffn_norm.weight", shape.embd, "norm"
    yield "ffn_gate.weight", shape.embd, shape.ff
    yield "ffn_up.weight", shape.embd, shape.ff
    yield "ffn_down.weight", shape.ff, shape.embd


def list_tensors(shape, wanted):
    def tensor(name, cols, rows, layer=0):
        if isinstance(rows, str):
            return Tensor(name, cols, 0, "f32", rows)
        return Tensor(name, cols, rows, type_of(name, cols, layer, shape, wanted))

    yield tensor("token_embd.weight", shape.embd, shape.vocab)
    for layer in range(shape.layers):
        for name, cols, rows in layer_tensors(shape, layer):
            yield tensor(f"blk.{layer}.{name}", cols, rows, layer)
    yield tensor("output_norm.weight", shape.embd, "norm")
    if not shape.tied:
        yield tensor("output.weight", shape.embd, shape.vocab)


# --- Metadata ---

def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, value):
    head = text(key)
    if isinstance(value, bool):
        return head + struct.pack("<I?", 7, value)
    if isinstance(value, str):
        return head + struct.pack("<I", 8) + text(value)
    if isinstance(value, float):
        return head + struct.pack("<If", 6, value)
    if isinstance(value, int):
        return head + struct.pack("<II", 4, value)
    if value and isinstance(value[0], int):
        return head + struct.pack("<IIQ", 9, 5, len(value)) + struct.pack(f"<{len(value)}i", *value)
    return head + struct.pack("<IIQ", 9, 8, len(value)) + b"".join(map(text, value))


def byte_tokens():
    """GPT-2's printable stand-ins for the 256 bytes, in its order."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(rest))]


def vocabulary(n):
    """Tokens and merges: bytes, words of two to four letters, and three control tokens."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = "etaoinshrdlcumwfgypbvkjxqz"
    words, merges = [], []
    for length in (2, 3, 4):
        for word in itertools.product(letters, repeat=length):
            if len(words) == n - 256 - len(special):
                break
            cut = 1 if length == 2 else 2
            words.append("".join(word))
            merges.append(f"{words[-1][:cut]} {words[-1][cut:]}")
    return byte_tokens() + words + special, merges


def metadata(name, shape, wanted):
    tokens, merges = vocabulary(shape.vocab)
    pairs = {
        "general.architecture": shape.arch, "general.name": f"synthetic {name}", "general.file_type": FILE_TYPES[wanted],
        f"{shape.arch}.context_length": shape.ctx, f"{shape.arch}.embedding_length": shape.embd,
        f"{shape.arch}.block_count": shape.layers, f"{shape.arch}.feed_forward_length": shape.ff,
        f"{shape.arch}.attention.head_count": shape.heads, f"{shape.arch}.attention.head_count_kv": shape.kv_heads,
        f"{shape.arch}.attention.key_length": shape.head_dim, f"{shape.arch}.attention.value_length": shape.head_dim,
        f"{shape.arch}.rope.freq_base": shape.rope_base, f"{shape.arch}.attention.layer_norm_rms_epsilon": shape.eps,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "llama-bpe" if shape.arch == "llama" else "qwen2",
        "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": [1] * (len(tokens) - 3) + [3] * 3,
        "tokenizer.ggml.merges": merges, "tokenizer.ggml.eos_token_id": len(tokens) - 1,
        "tokenizer.ggml.add_bos_token": False,
    }
    if shape.arch == "llama":
        pairs["llama.vocab_size"] = shape.vocab
        pairs["llama.rope.dimension_count"] = shape.head_dim
    return [entry(key, value) for key, value in pairs.items()]


# --- The file ---

def padding(n):
    return -n % ALIGNMENT


def directory(tensors):
    offset = 0
    for t in tensors:
        dims = (t.cols, t.rows) if t.rows else (t.cols,)
        yield text(t.name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, TYPES[t.kind][0], offset)
        offset += t.n_bytes + padding(t.n_bytes)


def vector_bytes(tensor, rng):
    centre, deviation = (1, DEVIATION) if tensor.vector == "norm" else (0, 5 * DEVIATION)
    return struct.pack(f"<{tensor.n_elems}f", *(rng.gauss(centre, deviation) for _ in range(tensor.n_elems)))


def write_weights(out, tensor, pool, rng):
    """The pool over and over, from a random block on."""
    block = TYPES[tensor.kind][2]
    at = rng.randrange(len(pool) // block) * block
    left = tensor.n_bytes
    while left:
        step = min(left, len(pool) - at)
        out.write(pool[at:at + step])
        left, at = left - step, 0


def write_header(out, name, shape, wanted, tensors):
    entries = metadata(name, shape, wanted)
    out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)))
    for part in itertools.chain(entries, directory(tensors)):
        out.write(part)
    out.write(bytes(padding(out.tell())))


def write_model(path, name, shape, wanted, seed):
    tensors = list(list_tensors(shape, wanted))
    pools = {}
    rng = random.Random(seed)
    with open(path, "wb", buffering=1 << 20) as out:
        write_header(out, name, shape, wanted, tensors)
        for t in tensors:
            if t.vector:
                out.write(vector_bytes(t, rng))
            else:
                if t.kind not in pools:
                    pools[t.kind] = memoryview(make_pool(t.kind, seed))
                write_weights(out, t, pools[t.kind], rng)
            out.write(bytes(padding(t.n_bytes)))
    return sum(t.n_bytes for t in tensors)


def write_sparse(path, name, shape, wanted):
    tensors = list(list_tensors(shape, wanted))
    with open(path, "wb", buffering=1 << 20) as out:
        write_header(out, name, shape, wanted, tensors)
        out.truncate(out.tell() + sum(t.n_bytes + padding(t.n_bytes) for t in tensors))
    return sum(t.n_bytes for t in tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=FILE_TYPES)
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, help="fewer or more than the real model has")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sparse", action="store_true")
    a = parser.parse_args()
    shape = SHAPES[a.shape]
    if a.layers is not None:
        if a.layers < 1:
            parser.error("--layers: at least 1")
        shape = Shape(**{**shape.__dict__, "layers": a.layers})
    if a.sparse:
        n_bytes = write_sparse(a.out, a.shape, shape, a.type)
    else:
        n_bytes = write_model(a.out, a.shape, shape, a.type, a.seed)
    print(f"{a.out}: {a.shape} {a.type}, {shape.layers} layers, {n_bytes / 1e6:.1f} MB of tensors", file=sys.stderr)


if __name__ == "__main__":
    main()
