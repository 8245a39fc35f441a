"""Evaluates a checkpoint in PyTorch, with the weights rounded as in the Q8_0 file: a quick look before the real evaluation."""
from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from export import load_model, quantized
from metrics import HEADER, Case, held_out_cases, number_cases, score, summary
from model import Model
from tokenizer import Tokenizer
from words import load_tables

MAX_NEW = 96
SAMPLES = ["Write a haiku about rain", "Write a haiku about my grandmother's kitchen", "Write a haiku about the moon", "Write a haiku about GPU computing",
           "Write a haiku about debugging", "Write a haiku about loneliness", "Write a haiku about Paris in winter", "haiku about tea", "What is the meaning of life?",
           "How do I install Linux?", "hello", "Write a haiku about a cat on the roof", "Tell me a joke about robots", "Explain quantum physics", "I miss my dog",
           'Write a haiku about GPU computing that includes the word "twenty-nine" (nonce: Xy12abCD)', 'Write a haiku about autumn that includes the word "bicycle"',
           "ocean", "Write a haiku about learning to swim", "Schreibe ein Haiku über den Regen"]


def sample(logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """One id per row: the most likely, or drawn with top-k 40, top-p 0.95, min-p 0.05."""
    if temperature == 0.0:
        return logits.argmax(-1)
    values, ids = logits.topk(40, dim=-1)
    probabilities = torch.softmax(values, -1)
    keep = (probabilities.cumsum(-1) - probabilities < 0.95) & (probabilities >= 0.05 * probabilities[:, :1])
    drawn = torch.softmax((values / temperature).masked_fill(~keep, float("-inf")), -1)
    return ids.gather(1, torch.multinomial(drawn, 1, generator=generator))[:, 0]


@torch.inference_mode()
def answer(model: Model, tokenizer: Tokenizer, prompts: list[str], temperature: float = 0.0, seed: int = 1) -> list[tuple[bytes, bool]]:
    """Answers and whether each ended by itself; recomputes the whole rows, which is short and simple."""
    device = model.token_embd.weight.device
    generator = torch.Generator(device).manual_seed(seed)
    found: list[tuple[bytes, bool]] = []
    for start in range(0, len(prompts), 512):
        rows = [tokenizer.chat([("user", p)])[0] for p in prompts[start:start + 512]]
        lengths = torch.tensor([len(r) for r in rows], device=device)
        ids = torch.full((len(rows), max(map(len, rows)) + MAX_NEW), tokenizer.end_of_text, device=device)
        for i, row in enumerate(rows):
            ids[i, :len(row)] = torch.tensor(row, device=device)
        place, done = lengths.clone(), torch.zeros(len(rows), dtype=torch.bool, device=device)
        every = torch.arange(len(rows), device=device)
        for _ in range(MAX_NEW):
            logits = model(ids[:, :int(place.max())])[every, place - 1].float()
            token = sample(logits, temperature, generator)
            ids[every[~done], place[~done]] = token[~done]
            place += (~done).long()
            done |= token == tokenizer.im_end
            if bool(done.all()):
                break
        for i, row in enumerate(rows):
            found.append((tokenizer.decode(ids[i, len(row):int(place[i])].tolist()), bool(done[i])))
    return found


def measure(name: str, model: Model, tokenizer: Tokenizer, cases: list[Case], temperature: float, table: dict[str, str]) -> list[str]:
    """Prints a row of the table; returns the answers that failed, described."""
    answers = answer(model, tokenizer, [c.prompt for c in cases], temperature)
    scores = [score(text, ended, case.word, table) for (text, ended), case in zip(answers, cases)]
    print(summary(name, scores, [text for text, _ in answers]), flush=True)
    return [f"[{name}] {case.prompt}\n  {s}\n{text.decode(errors='replace')}\n" for (text, _), case, s in zip(answers, cases, scores)
            if not (s.word_once and s.three_lines and s.syllables and s.clean)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".train/model.pt"))
    parser.add_argument("--tokenizer", type=Path, default=Path(".train/tokenizer.json"))
    parser.add_argument("--tables", default=".train/tables.json.gz")
    parser.add_argument("--out", type=Path, default=Path(".train/samples.txt"))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--limit", type=int, default=0, help="only so many prompts of each kind")
    parser.add_argument("--nonces", type=int, default=40)
    options = parser.parse_args()
    torch.set_float32_matmul_precision("highest")
    model = quantized(load_model(options.model)).to(options.device)
    tokenizer, table = Tokenizer.load(options.tokenizer), load_tables(options.tables).syllables
    held_out, numbers = held_out_cases(), number_cases(options.nonces)
    if options.limit:
        held_out, numbers = held_out[-options.limit:], numbers[:options.limit]
    print(HEADER)
    failed = measure("held out, greedy", model, tokenizer, held_out, 0.0, table)
    failed += measure("held out, temperature 0.8", model, tokenizer, held_out, 0.8, table)
    failed += measure("number words x nonces, greedy", model, tokenizer, numbers, 0.0, table)
    failed += measure("number words x nonces, temperature 0.8", model, tokenizer, numbers, 0.8, table)
    texts = []
    for temperature in (0.0, 0.8):
        prompts = SAMPLES + [c.prompt for c in held_out[-60:]]
        for prompt, (text, _) in zip(prompts, answer(model, tokenizer, prompts, temperature)):
            texts.append(f"> {prompt}  [temperature {temperature}]\n{text.decode(errors='replace')}\n")
    options.out.write_text("\n".join(texts) + "\n===== answers that failed =====\n\n" + "\n".join(failed))
    print("\n" + "\n".join(texts[:len(SAMPLES)]))
    print("first failures:\n" + "\n".join(failed[:12]))


if __name__ == "__main__":
    main()
