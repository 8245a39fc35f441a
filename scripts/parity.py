#!/usr/bin/env python3
"""Compares haikuda with Hugging Face transformers on the same GGUF file: token ids, logits, greedy text.

    python3 -m venv build/parity && build/parity/bin/pip install -r scripts/parity_requirements.txt
    build/parity/bin/python scripts/parity.py [MODEL.gguf] [--device cuda] [--n 64] [--write-goldens]

Shares nothing with haikuda: weights are dequantized by the gguf package, the forward pass is transformers' in float32,
the tokenizer is built by the tokenizers package from the file's vocabulary and merges and the pre-tokenizer that the
model was published with. transformers sees prompt and our continuation in one pass, so that one early near-tie does
not hide what comes after. Without MODEL it runs the model inside the executable, SmolLM2, when scripts/fetch_model.sh
has fetched it, and small random models of every architecture, RoPE scaling and type. Exits 1 when a bar is missed:

    ids equal, NMSE of the logits of every position <= 1e-6, greedy tokens equal but for near-ties
"""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile

os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}

import gguf
import jinja2.sandbox
import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from parity_prompts import PROMPTS

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDENS = ROOT / "tests" / "golden" / "parity"
MODEL_INSIDE = ROOT / "src" / "app" / "haiku.gguf"
NMSE_BAR = 1e-6
NEAR_TIE = 1e-3  # gap between the two greatest logits
MIN_PROMPTS = 20

# name: arguments of haikuda_make_tiny_model. 1024 positions hold the longest prompt and what is generated.
TINY_CTX = ["--ctx", "1024"]
TINY_MODELS = {
    "qwen2-f32": ["qwen2", "F32"],
    "qwen2-f16-untied": ["qwen2", "F16", "--untied"],
    "qwen2-q8_0-yarn": ["qwen2", "Q8_0", "--rope", "yarn"],
    "qwen2-q4_1": ["qwen2", "Q4_1"],
    "qwen2-q5_1": ["qwen2", "Q5_1"],
    "qwen2-mxfp4": ["qwen2", "MXFP4"],
    "qwen3-bf16": ["qwen3", "BF16", "--head-dim", "128"],
    "qwen3-q4_k": ["qwen3", "Q4_K", "--head-dim", "128"],
    "qwen3-q6_k-yarn": ["qwen3", "Q6_K", "--rope", "yarn"],
    "qwen3-q5_k": ["qwen3", "Q5_K", "--kv-heads", "4"],
    "qwen3-iq4_xs": ["qwen3", "IQ4_XS", "--kv-heads", "1"],
    "llama-f32-linear": ["llama", "F32", "--rope", "linear"],
    "llama-f16-llama3": ["llama", "F16", "--rope", "llama3"],
    "llama-q4_0": ["llama", "Q4_0"],
    "llama-q5_0-yarn": ["llama", "Q5_0", "--rope", "yarn", "--untied"],
    "llama-q2_k": ["llama", "Q2_K"],
    "llama-q3_k-llama3": ["llama", "Q3_K", "--rope", "llama3"],
    "llama-iq4_nl": ["llama", "IQ4_NL"],
}
# Small enough to be committed with their goldens, one for each architecture and RoPE scaling.
SMALL = ["--embd", "64", "--heads", "4", "--kv-heads", "2", "--ff", "96"]
GOLDEN_MODELS = {
    "qwen2-q8_0": ["qwen2", "Q8_0", *SMALL],
    "qwen2-q4_1-yarn": ["qwen2", "Q4_1", "--rope", "yarn", "--untied", *SMALL],
    "qwen3-q5_1": ["qwen3", "Q5_1", *SMALL, "--head-dim", "32"],
    "llama-f16-llama3": ["llama", "F16", "--rope", "llama3", *SMALL, "--layers", "1"],
    "llama-q8_0-linear": ["llama", "Q8_0", "--rope", "linear", *SMALL],
}
GOLDEN_TOKENS = 16
GOLDEN_PROMPTS = ["one-token", "contractions", "chinese", "emoji", "chat"]


class Gguf:
    """A GGUF file's metadata."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.reader = gguf.GGUFReader(self.path)
        self.architecture = self.get("general.architecture")

    def get(self, key, default=None):
        field = self.reader.fields.get(key)
        return default if field is None else field.contents()

    def arch(self, key, default=None):
        return self.get(f"{self.architecture}.{key}", default)


# --- The other side: tokenizers and transformers -------------------------------------------------------------------

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def pre_tokenizer_of(name):
    """As in the tokenizer.json of the models that the GGUF name stands for."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    if name == "smollm":
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    if name == "qwen2":
        from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), "isolated"), byte_level])
    if name == "llama-bpe":
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"), byte_level])
    if name == "gpt-2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    sys.exit(f"parity: no independent pre-tokenizer for tokenizer.ggml.pre '{name}' here")


def hf_tokenizer(file):
    if file.get("tokenizer.ggml.model") != "gpt2":
        sys.exit(f"parity: tokenizer.ggml.model '{file.get('tokenizer.ggml.model')}' is not byte-level BPE")
    pre = file.get("tokenizer.ggml.pre")
    tokens = file.get("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in file.get("tokenizer.ggml.merges")]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=merges,
                                                ignore_merges=pre == "llama-bpe"))
    if pre == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizer_of(pre)
    tokenizer.decoder = decoders.ByteLevel()
    control = [t for t, kind in zip(tokens, file.get("tokenizer.ggml.token_type")) if kind == 3]
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, special=True, normalized=False) for t in control])
    return tokenizer


def rope_parameters(file):
    """transformers does not read RoPE scaling from GGUF; this does. Llama 3's is a tensor of factors there and a formula
    here: its greatest factor, and the original context of Meta's models or a quarter of a tiny model's context."""
    parameters = {"rope_type": "default", "rope_theta": file.arch("rope.freq_base", 10000.0)}
    kind = file.arch("rope.scaling.type", "none")
    context = file.arch("context_length")
    if kind == "linear":
        parameters |= {"rope_type": "linear", "factor": file.arch("rope.scaling.factor")}
    elif kind == "yarn":
        parameters |= {"rope_type": "yarn", "factor": file.arch("rope.scaling.factor"),
                       "original_max_position_embeddings": file.arch("rope.scaling.original_context_length")}
    elif kind != "none":
        sys.exit(f"parity: RoPE scaling '{kind}' is not known here")
    factors = [tensor.data for tensor in file.reader.tensors if tensor.name == "rope_freqs.weight"]
    if factors:
        parameters |= {"rope_type": "llama3", "factor": float(factors[0].max()), "low_freq_factor": 1.0,
                       "high_freq_factor": 4.0,
                       "original_max_position_embeddings": 8192 if context >= 8192 else context // 4}
    return parameters


def hf_model(file):
    where = dict(pretrained_model_name_or_path=str(file.path.parent), gguf_file=file.path.name)
    config = transformers.AutoConfig.from_pretrained(**where)
    config.rope_parameters = rope_parameters(file)
    if file.architecture == "qwen3":  # whose head size transformers does not read from GGUF either
        config.head_dim = file.arch("attention.key_length")
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, config=config, dtype=torch.float32,
                                                              attn_implementation="eager")
    assert model.config.rope_parameters == rope_parameters(file) and model.dtype == torch.float32
    return model.eval()


def hf_logits(model, ids, n):
    """(n, n_vocab): what follows each of the last n positions."""
    with torch.inference_mode():
        return model(torch.tensor([ids]), logits_to_keep=n, use_cache=False).logits[0].double().numpy()


def render_chat(file, messages):
    def raise_exception(message):
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    return environment.from_string(file.get("tokenizer.chat_template")).render(
        messages=messages, add_generation_prompt=True)


# --- One prompt on both sides --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Case:
    name: str
    text: str
    parse_special: bool
    ids: list  # of the independent tokenizer


@dataclasses.dataclass
class Result:
    case: Case
    ids_equal: bool
    tokens: list  # our greedy continuation
    logits: np.ndarray  # transformers', (n, n_vocab); only for goldens
    nmse: float  # the greatest of all positions
    top1: float
    near_ties: list  # of (position, our token, their token, gap)
    differs: bool  # in greedy tokens, not by a near-tie

    @property
    def ok(self):
        return self.ids_equal and self.nmse <= NMSE_BAR and not self.differs


def cut(tokenizer, text, max_tokens):
    while max_tokens and len(tokenizer.encode(text, add_special_tokens=False).ids) > max_tokens:
        text = text[:-1]
    return text


def make_cases(file, tokenizer):
    cases = []
    bos = [file.get("tokenizer.ggml.bos_token_id")] if file.get("tokenizer.ggml.add_bos_token", False) else []
    for prompt in PROMPTS:
        text = render_chat(file, prompt.messages) if prompt.messages else cut(tokenizer, prompt.text, prompt.max_tokens)
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append(Case(prompt.name, text, bool(prompt.messages), bos + ids))
    return cases


def run_ours(args, path, cases, folder):
    """The index that haikuda_dump_logits writes, and its logits as (prompts, n, n_vocab)."""
    prompts, out = folder / "prompts.json", folder / "logits"
    prompts.write_text(json.dumps([{"name": c.name, "text": c.text, "parse_special": c.parse_special} for c in cases]))
    subprocess.run([args.binary_dir / "tests" / "haikuda_dump_logits", path, "--prompts", prompts, "--out", out,
                    "--n", str(args.n), "--device", args.device], check=True, stderr=subprocess.DEVNULL)
    index = json.loads(pathlib.Path(f"{out}.json").read_text())
    return index, np.memmap(out, dtype="<f4", mode="r", shape=(len(cases), args.n, index["n_vocab"]))


def compare(model, case, ours, our_logits, keep_logits):
    n = len(ours["tokens"])
    logits = hf_logits(model, ours["ids"] + ours["tokens"][: n - 1], n)
    error = ((our_logits - logits) ** 2).sum(axis=1) / (logits**2).sum(axis=1)
    theirs = logits.argmax(axis=1).tolist()
    top2 = np.sort(logits, axis=1)[:, -2:]
    gaps = top2[:, 1] - top2[:, 0]
    near_ties = [(i, ours["tokens"][i], theirs[i], gaps[i]) for i in range(n) if gaps[i] < NEAR_TIE]
    unequal = [i for i in range(n) if ours["tokens"][i] != theirs[i]]
    return Result(case, ours["ids"] == case.ids, ours["tokens"], logits if keep_logits else None, float(error.max()),
                  1 - len(unequal) / n, near_ties, any(gaps[i] >= NEAR_TIE for i in unequal))


def run_model(args, name, path):
    file = Gguf(path)
    tokenizer = hf_tokenizer(file)
    cases = make_cases(file, tokenizer)
    with tempfile.TemporaryDirectory() as folder:
        index, our_logits = run_ours(args, path, cases, pathlib.Path(folder))
        print(f"\n{name}: {index['model']} on {index['device']}")
        model = hf_model(file)
        results = [compare(model, *each, args.write_goldens) for each in zip(cases, index["prompts"], our_logits)]
    print_results(results, tokenizer, args.n)
    if args.write_goldens:
        write_golden(name, path, results)
    return len(results) >= MIN_PROMPTS and all(result.ok for result in results)


# --- Reports -------------------------------------------------------------------------------------------------------


def print_results(results, tokenizer, n):
    print(f"{'prompt':16} {'tokens':>6}  {'ids':5} {'NMSE':>8}  {'top-1':>6}  greedy, {n} tokens")
    for r in results:
        greedy = "DIFFERENT" if r.differs else "equal" if r.top1 == 1 else "equal but for near-ties"
        print(f"{r.case.name:16} {len(r.case.ids):6}  {'equal' if r.ids_equal else 'DIFFER'} {r.nmse:8.1e}"
              f"  {r.top1:6.1%}  {greedy}{'' if r.nmse <= NMSE_BAR else '  NMSE OVER THE BAR'}")
    for r in results:
        for position, ours, theirs, gap in r.near_ties:
            print(f"  near-tie: {r.case.name}, token {position}: ours {tokenizer.id_to_token(ours)!r},"
                  f" theirs {tokenizer.id_to_token(theirs)!r}, gap {gap:.1e}")
    print(f"{len(results)} prompts, {sum(r.ids_equal for r in results)} with equal ids, greatest NMSE"
          f" {max(r.nmse for r in results):.1e}, top-1 agreement {np.mean([r.top1 for r in results]):.2%},"
          f" greedy text equal on {sum(r.top1 == 1 for r in results)}")


def print_versions():
    print("\nversions: " + ", ".join([
        f"Python {platform.python_version()}", f"transformers {transformers.__version__}",
        f"tokenizers {tokenizers.__version__}", f"torch {torch.__version__}",
        f"gguf {__import__('importlib.metadata').metadata.version('gguf')}", f"numpy {np.__version__}"]))


def golden_prompt(result, whole_rows):
    """The other side's tokens up to the first near-tie, and its logits before the first, a middle and the last of
    them: whole rows, or the ten greatest of a row as [id, logit]."""
    n = min([len(result.tokens), *(position for position, *_ in result.near_ties)])
    golden = {"name": result.case.name, "text": result.case.text, "parse_special": result.case.parse_special,
              "ids": result.case.ids, "tokens": result.tokens[:n], "rows": {}, "top": {}}
    for i in sorted({0, n // 2, n - 1}) if n else []:
        row = result.logits[i]
        if whole_rows:
            golden["rows"][i] = [round(float(x), 4) for x in row]
        else:
            golden["top"][i] = [[int(k), round(float(row[k]), 4)] for k in np.argsort(-row, kind="stable")[:10]]
    return golden


def write_golden(name, path, results):
    if not all(result.ok for result in results):
        sys.exit(f"parity: {name} does not pass, so no golden is made of it")
    small = path.parent == GOLDENS
    chosen = [golden_prompt(r, small) for r in results if not small or r.case.name in GOLDEN_PROMPTS]
    lines = ",\n".join(json.dumps(g, ensure_ascii=False, separators=(",", ":")) for g in chosen)
    (GOLDENS / f"{name}.json").write_text(f'{{"model": "{name}", "prompts": [\n{lines}\n]}}\n', encoding="utf-8")


# --- Which models --------------------------------------------------------------------------------------------------


def make_tiny(args, name, arguments, folder):
    path = folder / f"{name}.gguf"
    subprocess.run([args.binary_dir / "tests" / "haikuda_make_tiny_model", *arguments[:2], path, *arguments[2:],
                    *TINY_CTX], check=True)
    return path


def fetched_smollm2():
    cache = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    folder = pathlib.Path(os.environ.get("HAIKUDA_MODELS") or pathlib.Path(cache) / "haikuda" / "models")
    return folder / "smollm2-135m.gguf"


def chosen_models(args, folder):
    """Pairs of name and path."""
    if args.model:
        yield args.model.stem, args.model
        return
    yield "haiku", MODEL_INSIDE
    if fetched_smollm2().exists():
        yield "smollm2-135m", fetched_smollm2()
    else:
        print("parity: SmolLM2 is left out; scripts/fetch_model.sh smollm2-135m fetches it")
    if args.write_goldens:
        for name, arguments in GOLDEN_MODELS.items():
            yield name, make_tiny(args, name, arguments, GOLDENS)
    else:
        for name, arguments in TINY_MODELS.items():
            yield name, make_tiny(args, name, arguments, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=pathlib.Path)
    parser.add_argument("--binary-dir", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--n", type=int, default=64, help="tokens to generate a prompt")
    parser.add_argument("--write-goldens", action="store_true", help="rewrite tests/golden/parity")
    args = parser.parse_args()
    if args.write_goldens:
        args.n = GOLDEN_TOKENS
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        failed = [name for name, path in chosen_models(args, pathlib.Path(folder)) if not run_model(args, name, path)]
    print_versions()
    print(f"parity: {'missed by ' + ', '.join(failed) if failed else 'every bar is met'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
