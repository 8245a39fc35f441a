#!/usr/bin/env python3
"""Writes a trace of Hugging Face transformers, in the format of haikuda --trace (src/inspect/README.md).

    build/parity/bin/python scripts/trace_transformers.py MODEL.gguf -p PROMPT --out FILE [--n N] [--layers 0-1,23]
        [--positions 0-4] [--stages q,k_rope] [--values all] [--heads 0,3]

PROMPT is completed as it stands, greedily by --n tokens. Weights are dequantized by the gguf package, the forward pass is
transformers' in float32, seen through hooks; only attn_scores, attn_max and attn_sum, which it does not keep, are computed here
from its rotated q and k. All positions go through one pass, so the logits of every position are there. llama files store the rows
of q and k so that interleaved pairs of RoPE are neighbours; transformers undoes that, and here it is done again for comparison.
scripts/parity_requirements.txt lists what is needed.
"""
import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch
import transformers

import parity

LAYER_STAGES = ["attn_norm", "q", "k", "v", "q_norm", "k_norm", "q_rope", "k_rope", "attn_scores", "attn_max", "attn_sum",
                "attn_weights", "attn_output", "attn_proj", "attn_residual", "ffn_norm", "ffn_gate", "ffn_up", "ffn_act",
                "ffn_down", "ffn_residual"]
STAGES = ["tokens", "token_embd", "rope_theta", "rope_cos", "rope_sin", *LAYER_STAGES, "output_norm", "logits", "sampled"]
MAPS = ("attn_scores", "attn_weights")  # (n_heads, n_keys) with n_keys = position + 1


# --- Which stages, positions and values -------------------------------------------------------------------------------


class IndexSet:
    """"0-1,23" or "all"."""

    def __init__(self, text):
        self.ranges = None
        if text != "all":
            parts = [part.split("-") for part in text.split(",")]
            self.ranges = [(int(part[0]), int(part[-1])) for part in parts]

    def __contains__(self, index):
        return self.ranges is None or any(first <= index <= last for first, last in self.ranges)


def stage_set(text):
    stages = STAGES if text == "all" else text.split(",")
    unknown = set(stages) - set(STAGES)
    if unknown:
        raise argparse.ArgumentTypeError(f"no such stage: {', '.join(unknown)}; there are {' '.join(STAGES)}")
    return set(stages)


# --- What transformers computes ---------------------------------------------------------------------------------------


class Seen:
    """Stage and layer -> (n, ...) of one pass, filled by hooks."""

    def __init__(self, model, interleaved):
        self.rows, self.model, self.interleaved = {}, model, interleaved
        config = model.config
        self.n_heads, self.n_kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.head_dim = getattr(config, "head_dim", None) or config.hidden_size // self.n_heads
        self.handles = []
        self.hook_model()
        for layer, block in enumerate(model.model.layers):
            self.hook_layer(layer, block)
        self.patch_rope()

    def keep(self, stage, layer, tensor, heads=0, pairs=False):
        rows = tensor.detach()[0].double()
        if heads:
            rows = rows.reshape(rows.shape[0], heads, -1)
        if pairs and self.interleaved:  # element i and i + n/2 become neighbours
            half = rows.shape[-1] // 2
            rows = torch.stack([rows[..., :half], rows[..., half:]], -1).flatten(-2)
        self.rows[stage, layer] = rows.float().numpy()

    def output_of(self, module, stage, layer, **how):
        take = lambda _module, _inputs, output: self.keep(stage, layer, output, **how)
        self.handles.append(module.register_forward_hook(take))

    def input_of(self, module, stage, layer, **how):
        take = lambda _module, inputs: self.keep(stage, layer, inputs[0], **how)
        self.handles.append(module.register_forward_pre_hook(take))

    def hook_model(self):
        inner = self.model.model
        self.output_of(inner.embed_tokens, "token_embd", None)
        self.output_of(inner.norm, "output_norm", None)
        self.output_of(self.model.lm_head, "logits", None)

        def angles(module, inputs, output):
            cos, sin = (part[0, :, : part.shape[-1] // 2].float().numpy() for part in output)
            frequencies = module.inv_freq.double().numpy()
            self.rows["rope_theta", None] = np.outer(np.arange(len(cos)), frequencies).astype(np.float32)
            self.rows["rope_cos", None], self.rows["rope_sin", None] = cos, sin

        self.handles.append(inner.rotary_emb.register_forward_hook(angles))

    def hook_layer(self, layer, block):
        attention, mlp = block.self_attn, block.mlp
        self.output_of(block.input_layernorm, "attn_norm", layer)
        self.output_of(attention.q_proj, "q", layer, heads=self.n_heads, pairs=True)
        self.output_of(attention.k_proj, "k", layer, heads=self.n_kv_heads, pairs=True)
        self.output_of(attention.v_proj, "v", layer, heads=self.n_kv_heads)
        if hasattr(attention, "q_norm"):
            self.output_of(attention.q_norm, "q_norm", layer)
            self.output_of(attention.k_norm, "k_norm", layer)
        self.input_of(attention.o_proj, "attn_output", layer, heads=self.n_heads)
        self.output_of(attention.o_proj, "attn_proj", layer)
        self.input_of(block.post_attention_layernorm, "attn_residual", layer)
        self.output_of(block.post_attention_layernorm, "ffn_norm", layer)
        self.output_of(mlp.gate_proj, "ffn_gate", layer)
        self.output_of(mlp.up_proj, "ffn_up", layer)
        self.input_of(mlp.down_proj, "ffn_act", layer)
        self.output_of(mlp.down_proj, "ffn_down", layer)

        def weights_and_residual(_module, _inputs, output):
            self.keep("attn_weights", layer, output[1].transpose(1, 2))

        self.handles.append(attention.register_forward_hook(weights_and_residual))
        take_block = lambda _module, _inputs, out: self.keep("ffn_residual", layer, out[0] if isinstance(out, tuple) else out)
        self.handles.append(block.register_forward_hook(take_block))

    def patch_rope(self):
        """Layers call the rotation one after the other."""
        self.module = sys.modules[type(self.model).__module__]
        self.rotate = self.module.apply_rotary_pos_emb
        n_rotated = 0

        def rotate(q, k, *arguments, **how):
            nonlocal n_rotated
            q, k = self.rotate(q, k, *arguments, **how)
            layer, n_rotated = n_rotated, n_rotated + 1
            self.scores(layer, q, k)
            self.keep("q_rope", layer, q.transpose(1, 2), pairs=True)
            self.keep("k_rope", layer, k.transpose(1, 2), pairs=True)
            return q, k

        self.module.apply_rotary_pos_emb = rotate

    def scores(self, layer, q, k):
        k = k.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1)
        scores = q @ k.transpose(-1, -2) / math.sqrt(self.head_dim)
        masked = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)
        greatest = masked.amax(-1, keepdim=True)
        self.keep("attn_scores", layer, scores.transpose(1, 2))
        self.keep("attn_max", layer, greatest[..., 0].transpose(1, 2))
        self.keep("attn_sum", layer, (masked - greatest).exp().sum(-1).transpose(1, 2))

    def close(self):
        for handle in self.handles:
            handle.remove()
        self.module.apply_rotary_pos_emb = self.rotate


def see(model, ids, interleaved):
    seen = Seen(model, interleaved)
    try:
        with torch.inference_mode():
            model(torch.tensor([ids]), use_cache=False, output_attentions=True)
    finally:
        seen.close()
    return seen.rows


def greedy(model, ids, n):
    ids = list(ids)
    for _ in range(n):
        ids.append(int(parity.hf_logits(model, ids, 1)[0].argmax()))
    return ids


# --- The file ---------------------------------------------------------------------------------------------------------


def number(x):
    """The shortest text of an F32, as a JSON number."""
    return float(np.format_float_scientific(np.float32(x), unique=True)) if np.isfinite(x) else str(float(x))


def line(stage, layer, position, row, args):
    flat = row.reshape(-1)
    finite = flat[np.isfinite(flat)].astype(np.float64)
    stats = (finite.min(), finite.max(), finite.mean(), math.sqrt((finite**2).mean())) if len(finite) else [math.nan] * 4
    out = {"stage": stage, "layer": layer, "position": position, "shape": list(row.shape), "dtype": "F32",
           **dict(zip(("min", "max", "mean", "rms"), map(number, stats))), "zeros": int((flat == 0).sum()),
           "non_finite": len(flat) - len(finite),
           "values": [number(x) for x in (flat if args.values is None else flat[: args.values])]}
    if stage == "logits":
        top = np.argsort(-flat, kind="stable")[:10]
        out |= {"min_id": int(flat.argmin()), "max_id": int(top[0]), "top": [[int(i), number(flat[i])] for i in top]}
    if stage in MAPS and args.heads:
        out["heads"] = {str(h): [number(x) for x in row[h]] for h in range(len(row)) if h in args.heads}
    return out


def id_line(stage, position, token):
    return {"stage": stage, "layer": None, "position": position, "shape": [], "dtype": "I32", "values": [token]}


def trace_lines(ids, n_prompt, rows, n_layers, args):
    wanted = [p for p in range(len(ids)) if p in args.positions]
    first, last = STAGES.index(LAYER_STAGES[0]), STAGES.index("output_norm")
    for stage in STAGES[:first]:
        yield from outer_lines(stage, ids, n_prompt, rows, wanted, args)
    yield from layer_lines(rows, n_layers, wanted, args)
    for stage in STAGES[last:]:
        yield from outer_lines(stage, ids, n_prompt, rows, wanted, args)


def outer_lines(stage, ids, n_prompt, rows, wanted, args):
    for position in wanted if stage in args.stages else []:
        if stage == "tokens":
            yield id_line(stage, position, ids[position])
        elif stage != "sampled":
            yield line(stage, None, position, rows[stage, None][position], args)
        elif n_prompt - 1 <= position < len(ids) - 1:
            yield id_line(stage, position, ids[position + 1])


def layer_lines(rows, n_layers, wanted, args):
    for layer in (i for i in range(n_layers) if i in args.layers):
        for stage in (s for s in LAYER_STAGES if s in args.stages and (s, layer) in rows):
            for position in wanted:
                row = rows[stage, layer][position]
                yield line(stage, layer, position, row[:, : position + 1] if stage in MAPS else row, args)


def header(file, model, ids):
    c = model.config
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    shapes = {"n_layers": c.num_hidden_layers, "n_embd": c.hidden_size, "n_ff": c.intermediate_size,
              "n_heads": c.num_attention_heads, "n_kv_heads": c.num_key_value_heads,
              "head_dim": head_dim, "rope_dims": head_dim, "n_vocab": c.vocab_size}
    return {"format": "haikuda-trace", "version": 1, "program": f"transformers {transformers.__version__}",
            "device": f"CPU, torch {torch.__version__}", "file": str(file.path), "model": file.path.stem,
            "architecture": file.architecture, "shapes": shapes, "tokens": ids}


def write_trace(args):
    file = parity.Gguf(args.model)
    tokenizer, model = parity.hf_tokenizer(file), parity.hf_model(file)
    bos = [file.get("tokenizer.ggml.bos_token_id")] if file.get("tokenizer.ggml.add_bos_token", False) else []
    prompt = bos + tokenizer.encode(args.prompt, add_special_tokens=False).ids
    ids = greedy(model, prompt, args.n)
    rows = see(model, ids, interleaved=file.architecture == "llama")
    with open(args.out, "w", encoding="utf-8") as out:
        for entry in [header(file, model, prompt), *trace_lines(ids, len(prompt), rows, model.config.num_hidden_layers, args)]:
            out.write(json.dumps(entry, separators=(",", ":"), allow_nan=False) + "\n")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("-p", "--prompt", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--n", type=int, default=0, help="tokens to generate")
    parser.add_argument("--layers", type=IndexSet, default="all")
    parser.add_argument("--positions", type=IndexSet, default="all")
    parser.add_argument("--stages", type=stage_set, default="all")
    parser.add_argument("--values", type=lambda text: None if text in ("all", "-1") else int(text), default="10")
    parser.add_argument("--heads", type=IndexSet)
    return parser.parse_args()


if __name__ == "__main__":
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    write_trace(parse_arguments())
