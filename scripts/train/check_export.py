"""Loads exported GGUF files with independent software and compares: gguf reads them, transformers gets the same logits and tokens."""
from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from export import load_model, quantized, tensors_of
from metrics import held_out_cases
from tokenizer import CHAT_TEMPLATE, Tokenizer


def check_file(path: Path, reference: torch.nn.Module, ids: torch.Tensor, tolerance: float) -> None:
    reader = GGUFReader(path)
    mine = tensors_of(reference)
    assert {t.name for t in reader.tensors} == mine.keys()
    for t in reader.tensors:
        assert np.allclose(dequantize(t.data, t.tensor_type).reshape(mine[t.name].shape), mine[t.name], rtol=0, atol=tolerance), t.name
    loaded = AutoModelForCausalLM.from_pretrained(str(path.parent), gguf_file=path.name, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.inference_mode():
        want, got = reference(ids), loaded(ids).logits
    nmse = float(((got - want) ** 2).sum() / (want ** 2).sum())
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(reader.tensors)} tensors, logits NMSE to the trained module {nmse:.1e}")
    assert nmse < 1e-6


def check_tokens(path: Path, tokenizer: Tokenizer) -> None:
    hf = PreTrainedTokenizerFast(tokenizer_file=str(path), chat_template=CHAT_TEMPLATE)
    texts = [c.prompt for c in held_out_cases()] + ["  two  spaces\n\n tab\there's  C++ 12345 Ünïcödé 日本語 🐱 don't ", "a\r\n b \n"]
    for text in texts:
        assert hf.encode(text, add_special_tokens=False) == tokenizer.encode(text), text
    messages = [("system", "Be brief."), ("user", "rain"), ("assistant", "one\ntwo"), ("user", "snow")]
    rendered = hf.apply_chat_template([{"role": r, "content": t} for r, t in messages], add_generation_prompt=True, tokenize=False)
    assert hf.encode(rendered, add_special_tokens=False) == tokenizer.chat(messages)[0]
    print(f"{path.name}: {len(texts)} texts and the chat template agree with tokenizers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".train/model.pt"))
    parser.add_argument("--folder", type=Path, default=Path(".train"), help="holds the GGUF files and tokenizer.json")
    options = parser.parse_args()
    tokenizer = Tokenizer.load(options.folder / "tokenizer.json")
    check_tokens(options.folder / "tokenizer.json", tokenizer)
    ids = torch.tensor([tokenizer.chat([("user", held_out_cases()[0].prompt)])[0]])
    model = load_model(options.model)
    check_file(options.folder / "model-f16.gguf", model, ids, 2e-3)
    check_file(options.folder / "model-q8_0.gguf", quantized(model), ids, 1e-3)


if __name__ == "__main__":
    main()
