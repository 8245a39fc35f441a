"""Trains the model on one GPU, or a small one on a CPU, while worker processes generate its text."""
from __future__ import annotations

import argparse
import dataclasses
import math
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model import Model, ModelConfig
from muon import Muon
from shards import ROW_LENGTHS, ShardPlan, ShardStream

SIZES = {"full": ModelConfig(), "small": ModelConfig(n_embd=192, n_layers=6, n_heads=6, n_kv_heads=3, n_ff=512),
         "tiny": ModelConfig(n_embd=64, n_layers=2, n_heads=2, n_kv_heads=1, n_ff=96)}
WARMUP = 0.02  # part of the schedule
CHECKPOINT_S = 60.0
LOG_S = 10.0
Batch = tuple[Tensor, Tensor]  # rows (n_rows, length) int16; places of the tokens to be written among the flattened rows less their last column


class Batches:
    """Cuts shards into batches on the device, in order; repeats old ones while no new shard is ready."""

    def __init__(self, stream: ShardStream, batch_tokens: int, device: torch.device, seed: int) -> None:
        self.stream, self.batch_tokens, self.device = stream, batch_tokens, device
        self.rng = random.Random(seed)
        self.rest: dict[int, list[np.ndarray]] = {n: [] for n in ROW_LENGTHS}
        self.ready: list[Batch] = []
        self.used: list[Batch] = []
        self.n_repeated = 0

    def n_rows(self, length: int) -> int:
        return max(1, self.batch_tokens // length)

    def _absorb(self) -> bool:
        shard = self.stream.take()
        if shard is None:
            return False
        fresh = []
        for length, rows in sorted(shard.items()):
            joined, n = np.concatenate(self.rest[length] + [rows.view(np.int16)]), self.n_rows(length)
            whole = len(joined) // n * n
            fresh += [self.batch(joined[i:i + n]) for i in range(0, whole, n)]
            self.rest[length] = [joined[whole:]]
        self.rng.shuffle(fresh)
        self.ready = fresh + self.ready
        return True

    def batch(self, rows: np.ndarray) -> Batch:
        """Rows, whose sign bits mark tokens that the model has to write, to the device; the places are found here so that the device never waits."""
        places = np.flatnonzero(rows[:, 1:] < 0)
        return torch.from_numpy(rows).to(self.device), torch.from_numpy(places).to(self.device)

    def next(self) -> Batch:
        while not self.ready and not self._absorb():
            if len(self.used) > 50:
                self.n_repeated += 1
                return self.used[self.rng.randrange(len(self.used))]
            time.sleep(0.05)
        if not self.ready:
            return self.next()
        batch = self.ready.pop()
        self.used.append(batch)
        return batch


def loss_of(model: Model, batch: Batch) -> Tensor:
    """Mean cross-entropy of the tokens that the model has to write."""
    rows, places = batch
    ids = rows.long() & 0x7FFF
    hidden = model.hidden(ids)[:, :-1].flatten(0, 1).index_select(0, places)
    return F.cross_entropy(model.logits(hidden).float(), ids[:, 1:].flatten().index_select(0, places))


def make_optimizers(model: Model, lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the rest."""
    matrices = [p for n, p in model.named_parameters() if p.dim() == 2 and "token_embd" not in n]
    others = [p for n, p in model.named_parameters() if p.dim() != 2 or "token_embd" in n]
    return [Muon(matrices, lr=lr, weight_decay=0.1),
            torch.optim.AdamW(others, lr=lr, betas=(0.9, 0.95), weight_decay=0.0, fused=others[0].is_cuda)]


def learning_rate(peak: float, progress: float) -> float:
    """Linear warm-up, then a cosine to zero."""
    if progress < WARMUP:
        return peak * max(progress / WARMUP, 0.01)
    return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - WARMUP) / (1 - WARMUP))))


def save(model: Model, path: Path, n_steps: int, kind: torch.dtype = torch.float32) -> None:
    state = {name: p.detach().to("cpu", kind) for name, p in model.state_dict().items()}
    part = path.with_suffix(".part")
    torch.save({"config": dataclasses.asdict(model.config), "state": state, "n_steps": n_steps}, part)
    part.rename(path)


def compile_blocks(model: Model, batches: Batches, device: torch.device) -> None:
    """Compiles the layers for each row length; leaves them as they are when that does not work."""
    begin = time.monotonic()
    try:
        for block in model.blocks:  # one compilation for all of them: their weights are inputs of it
            block.compile(dynamic=False)
        for length in ROW_LENGTHS:
            rows = np.random.default_rng(length).integers(-32768, -32768 + model.config.vocab_size, (batches.n_rows(length), length), np.int16)
            with torch.autocast(device.type, torch.bfloat16):
                loss = loss_of(model, batches.batch(rows))
            loss.backward()
            print(f"compiled for rows of {length} after {time.monotonic() - begin:.0f} s, loss {loss.item():.3f}, "
                  f"{torch._dynamo.utils.counters['stats']['unique_graphs']} graphs", flush=True)
    except Exception as error:  # a missing compiler must not cost the run
        print(f"torch.compile failed, going on without: {str(error)[:500]}", flush=True)
        for block in model.blocks:
            block._compiled_call_impl = None
    finally:
        model.zero_grad(set_to_none=True)


def train(options: argparse.Namespace) -> None:
    started = time.monotonic()
    device = torch.device(options.device)
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    torch.set_float32_matmul_precision("high")
    torch._dynamo.config.cache_size_limit = 64
    plan = ShardPlan(options.tables, options.tokenizer, options.seed, options.shard_size)
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    stream = ShardStream(plan, options.workers, folder, options.shards)
    try:
        model = Model(SIZES[options.size]).to(device)
        if options.init:
            model.load_state_dict(torch.load(options.init, map_location=device)["state"])
        print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
        batches = Batches(stream, options.batch_tokens, device, options.seed)
        optimizers = make_optimizers(model, options.lr)
        if options.compile:
            compile_blocks(model, batches, device)
        batches.next()
        run_steps(options, model, optimizers, batches, started)
    finally:
        stream.close()
        shutil.rmtree(folder, ignore_errors=True)


def run_steps(options: argparse.Namespace, model: Model, optimizers: list[torch.optim.Optimizer], batches: Batches, started: float) -> None:
    begin, saved = time.monotonic(), time.monotonic()
    end = started + options.seconds
    print(f"first step after {begin - started:.0f} s", flush=True)
    step, total, n_tokens, logged, logged_step, logged_tokens = 0, torch.zeros((), device=options.device), 0, begin, 0, 0
    while True:
        now = time.monotonic()
        progress = step / options.steps if options.steps else (now - begin) / max(end - begin, 1e-3)
        if progress >= 1.0:
            break
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(options.lr, progress)
        batch = batches.next()
        with torch.autocast(options.device, torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad(set_to_none=True)
        total += loss.detach()
        n_tokens += batch[0].numel()
        step += 1
        if step % 5 == 0 and options.device == "cuda":
            torch.cuda.synchronize()
        if time.monotonic() - logged > LOG_S:
            mean, now = total.item() / (step - logged_step), time.monotonic()
            print(f"step {step} loss {mean:.4f} progress {progress:.3f} {now - started:.0f} s tokens {n_tokens:,} "
                  f"{(n_tokens - logged_tokens) / (now - logged):,.0f} tok/s shards {batches.stream.next} repeated {batches.n_repeated}", flush=True)
            if not math.isfinite(mean):
                raise RuntimeError("the loss is not finite")
            total.zero_()
            logged, logged_step, logged_tokens = now, step, n_tokens
        if time.monotonic() - saved > CHECKPOINT_S:
            save(model, options.out, step)
            saved = time.monotonic()
    save(model, options.out, step)
    save(model, options.out.with_name("resume.pt"), step, torch.float16)
    print(f"{options.out}: {step} steps, {n_tokens:,} tokens, {time.monotonic() - started:.0f} s, {batches.stream.next} shards", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", default=".train/tables.json.gz")
    parser.add_argument("--tokenizer", default=".train/tokenizer.json")
    parser.add_argument("--out", type=Path, default=Path(".train/model.pt"))
    parser.add_argument("--seconds", type=float, default=420.0, help="wall clock for everything here, compilation included")
    parser.add_argument("--steps", type=int, default=0, help="a fixed number of steps instead")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--init", type=Path, help="go on from these weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    parser.add_argument("--workers", type=int, default=max(1, len(os.sched_getaffinity(0)) - 2))
    parser.add_argument("--batch-tokens", type=int, default=64 * 1024)
    parser.add_argument("--shard-size", type=int, default=16384)
    parser.add_argument("--shards", type=int, default=4000, help="stop generating after so many")
    parser.add_argument("--lr", type=float, default=6e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
