"""The Qwen2 architecture: grouped-query attention with biased QKV, NEOX RoPE, RMSNorm, SwiGLU, tied embedding."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelConfig:
    """Shapes; every matrix row is a multiple of 32 long, so that Q8_0 works everywhere."""
    vocab_size: int = 2048
    n_embd: int = 256
    n_layers: int = 9
    n_heads: int = 8
    n_kv_heads: int = 4
    n_ff: int = 704
    context_length: int = 1024
    rope_base: float = 10000.0
    rms_eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_heads


def rope_tables(config: ModelConfig, n: int) -> tuple[Tensor, Tensor]:
    """cos and sin, (n, head_dim); both halves of a row are equal."""
    half = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
    angle = torch.outer(torch.arange(n, dtype=torch.float64), config.rope_base ** -half)
    angle = torch.cat((angle, angle), dim=-1)
    return angle.cos().float(), angle.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention, (n_rows, n_heads, n_tokens, head_dim) each. On a CPU in plain steps: torch's fused backward takes 5 times as long there."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    n_tokens = q.shape[2]
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
    past_only = torch.full((n_tokens, n_tokens), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
    return torch.softmax(scores + past_only, -1, dtype=q.dtype) @ v


class RmsNorm(nn.Module):
    def __init__(self, n: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.float()
        return self.weight * (y * torch.rsqrt(y.square().mean(-1, keepdim=True) + self.eps))


class Block(nn.Module):
    """One layer; Q, K, V share a matrix here, and so do gate and up: export splits them."""

    def __init__(self, c: ModelConfig) -> None:
        super().__init__()
        self.c = c
        self.attn_norm = RmsNorm(c.n_embd, c.rms_eps)
        self.qkv = nn.Linear(c.n_embd, (c.n_heads + 2 * c.n_kv_heads) * c.head_dim)
        self.attn_output = nn.Linear(c.n_embd, c.n_embd, bias=False)
        self.ffn_norm = RmsNorm(c.n_embd, c.rms_eps)
        self.gate_up = nn.Linear(c.n_embd, 2 * c.n_ff, bias=False)
        self.ffn_down = nn.Linear(c.n_ff, c.n_embd, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        c = self.c
        n_rows, n_tokens, _ = x.shape
        heads = self.qkv(self.attn_norm(x)).view(n_rows, n_tokens, -1, c.head_dim).transpose(1, 2)
        q, k, v = heads.split((c.n_heads, c.n_kv_heads, c.n_kv_heads), dim=1)
        q, k = rotate(q, cos, sin).to(v.dtype), rotate(k, cos, sin).to(v.dtype)
        k, v = (t.repeat_interleave(c.n_heads // c.n_kv_heads, dim=1) for t in (k, v))
        x = x + self.attn_output(attend(q, k, v).transpose(1, 2).reshape(n_rows, n_tokens, -1))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.ffn_down(F.silu(gate) * up)


class Model(nn.Module):
    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embd = nn.Embedding(config.vocab_size, config.n_embd)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.output_norm = RmsNorm(config.n_embd, config.rms_eps)
        cos, sin = rope_tables(config, config.context_length)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, p in self.named_parameters():
            if p.dim() == 2:
                deep = name.endswith(("attn_output.weight", "ffn_down.weight"))
                nn.init.normal_(p, std=0.03 / ((2 * config.n_layers) ** 0.5 if deep else 1.0))
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def hidden(self, ids: Tensor) -> Tensor:
        """Token ids (n_rows, n_tokens) to the last layer's output (n_rows, n_tokens, n_embd)."""
        n = ids.shape[1]
        x = self.token_embd(ids)
        for block in self.blocks:
            x = block(x, self.cos[:n], self.sin[:n])
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, n_embd) to (…, vocab)."""
        return F.linear(self.output_norm(hidden), self.token_embd.weight)

    def forward(self, ids: Tensor) -> Tensor:
        """Token ids (n_rows, n_tokens) to logits (n_rows, n_tokens, vocab)."""
        return self.logits(self.hidden(ids))
