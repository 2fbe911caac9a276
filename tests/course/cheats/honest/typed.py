"""Much around the solution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

X = TypeVar("X")


class Sizes(NamedTuple):
    B: int
    H: int
    T: int
    D: int


@dataclass(frozen=True)
class Box(Generic[X]):
    content: X
    notes: list[str] = field(default_factory=list)

    def map(self, change: Callable[[X], X]) -> Box[X]:
        return Box(change(self.content), [*self.notes, "changed"])


def _visible(T: int, S: int) -> Tensor:
    return torch.arange(S) <= torch.arange(T)[:, None] + (S - T)


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
    """Attend."""
    sizes = Sizes(*q.shape)
    _, H_kv, S, _ = k.shape
    if k.shape != v.shape or k.shape[::3] != (sizes.B, sizes.D):
        raise ValueError(f"{tuple(q.shape)} {tuple(k.shape)} {tuple(v.shape)}")
    if sizes.H % H_kv or (causal and sizes.T > S):
        raise ValueError(f"{sizes} {k.shape}")
    grouped = Box(q).map(lambda x: x.unflatten(1, (H_kv, -1))).content.double()
    scores = torch.einsum("bhgtd,bhsd->bhgts", grouped, k.double()) * sizes.D**-0.5
    if causal:
        scores = scores.masked_fill(~_visible(sizes.T, S), float("-inf"))
    out = torch.einsum("bhgts,bhsd->bhgtd", scores.softmax(-1), v.double())
    return out.flatten(1, 2).to(q.dtype)
