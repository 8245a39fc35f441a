"""Muon with the matrices of one shape orthogonalised together: torch.optim.Muon's arithmetic in a fraction of its kernel launches."""
from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Newton-Schulz, as in torch.optim.Muon
N_STEPS = 5
EPS = 1e-7


def orthogonalised(updates: Tensor) -> Tensor:
    """Nearly orthogonal matrices to (n, rows, columns), in bfloat16."""
    a, b, c = COEFFICIENTS
    x = updates.bfloat16()
    flip = x.shape[1] > x.shape[2]  # so that the Gram matrix is the small one
    x = x.mT if flip else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=EPS)
    for _ in range(N_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if flip else x


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, decoupled weight decay, step size matched to AdamW's."""

    def __init__(self, matrices: list[Tensor], lr: float, weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                by_shape[p.shape].append(p)
            for shape, matrices in by_shape.items():
                state = self.state[matrices[0]]
                gradients = torch.stack([p.grad for p in matrices])
                if not state:
                    state["momentum"] = torch.zeros_like(gradients)
                state["momentum"].lerp_(gradients, 1 - group["momentum"])
                updates = orthogonalised(gradients.lerp(state["momentum"], group["momentum"])).to(gradients.dtype)
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(matrices, list(updates.unbind()), alpha=-group["lr"] * 0.2 * max(shape) ** 0.5)
