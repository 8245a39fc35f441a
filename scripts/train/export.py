"""Writes the trained model as GGUF, F16 and Q8_0."""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from gguf_file import F16, Q8_0, Value, dequantize_q8_0, quantize_q8_0, write_gguf
from model import Model, ModelConfig
from tokenizer import CHAT_TEMPLATE, SPECIAL, Tokenizer

MAX_BYTES = 8_000_000
FILE_TYPES = {F16: 1, Q8_0: 7}  # general.file_type


def load_model(path: Path) -> Model:
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model = Model(ModelConfig(**saved["config"]))
    model.load_state_dict(saved["state"])
    return model.eval()


def quantized(model: Model) -> Model:
    """The model with every matrix rounded as in the Q8_0 file."""
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.copy_(torch.from_numpy(dequantize_q8_0(*quantize_q8_0(p.detach().cpu().numpy()))))
    return model


def tensors_of(model: Model) -> dict[str, np.ndarray]:
    """Weights under their GGUF names; joint matrices are split."""
    c = model.config
    state = {name: p.detach().float().cpu().numpy() for name, p in model.named_parameters()}
    table = {"token_embd.weight": state["token_embd.weight"], "output_norm.weight": state["output_norm.weight"]}
    n_q, n_kv = c.n_heads * c.head_dim, c.n_kv_heads * c.head_dim
    for i in range(c.n_layers):
        old, new = f"blocks.{i}.", f"blk.{i}."
        for kind in ("weight", "bias"):
            parts = np.split(state[f"{old}qkv.{kind}"], [n_q, n_q + n_kv])
            table |= {f"{new}attn_{x}.{kind}": part for x, part in zip("qkv", parts)}
        gate, up = np.split(state[old + "gate_up.weight"], 2)
        table |= {new + "ffn_gate.weight": gate, new + "ffn_up.weight": up}
        table |= {f"{new}{x}.weight": state[f"{old}{x}.weight"] for x in ("attn_norm", "attn_output", "ffn_norm", "ffn_down")}
    return table


def metadata_of(config: ModelConfig, tokenizer: Tokenizer, kind: int) -> dict[str, Value]:
    n_plain = len(tokenizer.tokens) - len(SPECIAL)
    return {
        "general.architecture": "qwen2",
        "general.type": "model",
        "general.name": "haikuda haiku",
        "general.description": "Answers every request with a haiku; trained on generated text, see scripts/train",
        "general.license": "mit",
        "general.size_label": "7M",
        "general.languages": ["en"],
        "general.tags": ["text-generation", "haiku"],
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": 2,
        "qwen2.block_count": config.n_layers,
        "qwen2.context_length": config.context_length,
        "qwen2.embedding_length": config.n_embd,
        "qwen2.feed_forward_length": config.n_ff,
        "qwen2.attention.head_count": config.n_heads,
        "qwen2.attention.head_count_kv": config.n_kv_heads,
        "qwen2.rope.freq_base": config.rope_base,
        "qwen2.attention.layer_norm_rms_epsilon": config.rms_eps,
        "qwen2.vocab_size": config.vocab_size,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokenizer.tokens,
        "tokenizer.ggml.token_type": [1] * n_plain + [3] * len(SPECIAL),  # normal, control
        "tokenizer.ggml.merges": [" ".join(pair) for pair in tokenizer.merges],
        "tokenizer.ggml.bos_token_id": tokenizer.end_of_text,
        "tokenizer.ggml.eos_token_id": tokenizer.im_end,
        "tokenizer.ggml.padding_token_id": tokenizer.end_of_text,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".train/model.pt"))
    parser.add_argument("--tokenizer", type=Path, default=Path(".train/tokenizer.json"))
    parser.add_argument("--out", type=Path, default=Path(".train"), help="folder")
    options = parser.parse_args()
    model, tokenizer = load_model(options.model), Tokenizer.load(options.tokenizer)
    for kind, name in ((F16, "model-f16.gguf"), (Q8_0, "model-q8_0.gguf")):
        size = write_gguf(options.out / name, metadata_of(model.config, tokenizer, kind), tensors_of(model), kind)
        print(f"{options.out / name}: {size:,} bytes")
    assert size <= MAX_BYTES, f"the Q8_0 file has {size:,} bytes, more than {MAX_BYTES:,}"


if __name__ == "__main__":
    main()
