"""The plainest cache of keys and values, for checks of models that write to one."""

import torch
from torch import Tensor

__all__ = ["JoinedCache"]


class JoinedCache:
    """Joins what it is given, (B, H, T, D), along T."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[Tensor, Tensor]] = {}
        self.length = 0

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self.held:
            before, values = (x[:, :, : self.length] for x in self.held[layer])
            k, v = torch.cat((before, k), dim=2), torch.cat((values, v), dim=2)
        self.held[layer] = k, v
        return k, v

    def advance(self, tokens: int) -> None:
        self.length += tokens
