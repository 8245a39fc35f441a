"""A model that says one text, whatever it is asked: what the tests of streaming, stop strings and records expect exactly.

Its layer does nothing, so the next token depends on the last one alone: each piece of the text is a token, whose embedding is
one direction of its own, and the output row of the next piece is that direction."""
import pathlib
import random
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import synth_gguf  # noqa: E402

EOS = "<|im_end|>"
CHATML = ("{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
          "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def cut(text, seed=1):
    """The text's bytes in pieces of one to five, cut anywhere, no two alike, and none that prompts of the tests end with."""
    data = text.encode()
    for attempt in range(1000):
        rng = random.Random(f"{seed} {attempt}")
        pieces, at = [], 0
        while at < len(data):
            n = rng.randint(1, 5)
            pieces.append(data[at:at + n])
            at += n
        if len(set(pieces)) == len(pieces) and not {b"\n", b"x"} & set(pieces):
            return pieces
    raise ValueError(f"no cut of {text!r} has pieces that differ")


def write(path, pieces, chat_template=CHATML, eos=True):
    """`pieces`: bytes, no two alike. Without eos the text goes round and round."""
    letters = byte_letters()
    tokens = [*letters, "<|im_start|>", EOS]
    chain = []
    for piece in pieces:
        written = "".join(letters[b] for b in piece)
        if written not in tokens:
            tokens.append(written)
        chain.append(tokens.index(written))
    n_embd = -(-(len(chain) + 1) // 64) * 64
    embedding = [unit(n_embd, 0)] * len(tokens)  # what is not of the text is followed by its head
    output = [unit(n_embd, None)] * len(tokens)
    for i, token in enumerate(chain):
        embedding[token] = unit(n_embd, i + 1)
        output[token] = unit(n_embd, i)
    last = unit(n_embd, len(chain))
    if eos:
        output[tokens.index(EOS)] = last
    else:
        output[chain[0]] = struct.pack(f"<{n_embd}f", 1, *(float(i == len(chain)) for i in range(1, n_embd)))
    write_file(path, tokens, embedding, output, n_embd, chat_template)
    return path


def byte_letters():
    """How GPT-2's vocabulary writes each byte."""
    stand_ins = iter(synth_gguf.byte_tokens())
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    order = [*printable, *(b for b in range(256) if b not in printable)]
    letters = {byte: next(stand_ins) for byte in order}
    return [letters[b] for b in range(256)]


def unit(n, direction):
    return struct.pack(f"<{n}f", *(float(i == direction) for i in range(n)))


def write_file(path, tokens, embedding, output, n_embd, chat_template):
    zero = bytes(4 * n_embd)
    ones = struct.pack(f"<{n_embd}f", *[1.0] * n_embd)
    square = zero * n_embd
    tensors = [("token_embd.weight", len(tokens), b"".join(embedding)), ("output.weight", len(tokens), b"".join(output)),
               ("output_norm.weight", 0, ones), ("blk.0.attn_norm.weight", 0, ones), ("blk.0.ffn_norm.weight", 0, ones)]
    tensors += [(f"blk.0.{name}.weight", n_embd, square) for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")]
    tensors += [(f"blk.0.attn_{name}.bias", 0, zero) for name in "qkv"]
    control = {"<|im_start|>", EOS}
    metadata = {
        "general.architecture": "qwen2", "general.name": "scripted", "qwen2.context_length": 4096, "qwen2.embedding_length": n_embd,
        "qwen2.block_count": 1, "qwen2.feed_forward_length": n_embd, "qwen2.attention.head_count": n_embd // 64,
        "qwen2.attention.head_count_kv": n_embd // 64, "qwen2.attention.layer_norm_rms_epsilon": 1e-6, "qwen2.rope.freq_base": 1e4,
        "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3 if t in control else 1 for t in tokens], "tokenizer.ggml.merges": [],
        "tokenizer.ggml.eos_token_id": tokens.index(EOS), "tokenizer.ggml.add_bos_token": False,
    }
    if chat_template:
        metadata["tokenizer.chat_template"] = chat_template
    with open(path, "wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, value in metadata.items():
            out.write(synth_gguf.entry(key, value))
        offset = 0
        for name, rows, data in tensors:
            dims = (n_embd, rows) if rows else (n_embd,)
            out.write(synth_gguf.text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, 0, offset))
            offset += len(data)  # a multiple of the alignment
        out.write(bytes(-out.tell() % 32))
        for _, _, data in tensors:
            out.write(data)
