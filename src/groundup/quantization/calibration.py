"""What a model's layers read while it reads some text: what quantisation goes by."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

__all__ = ["Calibration", "calibrated"]

ROWS = 512  # inputs that are kept whole, for methods that try things out


@dataclass
class Calibration:
    """Of one linear layer's inputs x (K,), over all tokens read."""

    hessian: Tensor  # (K, K), the sum of x x.T, float32
    largest: Tensor  # (K,), of the magnitudes
    rows: list[Tensor] = field(default_factory=list)  # the first inputs, (n, K) each
    count: int = 0

    def add(self, x: Tensor) -> None:
        """Take up inputs (..., K)."""
        x = x.detach().reshape(-1, x.shape[-1]).float()
        self.hessian += x.T @ x
        torch.maximum(self.largest, x.abs().amax(0), out=self.largest)
        if (missing := ROWS - sum(map(len, self.rows))) > 0:
            self.rows.append(x[:missing].clone())
        self.count += len(x)


@contextmanager
def calibrated(layers: Iterable[tuple[str, nn.Linear]]) -> Iterator[dict[str, Calibration]]:
    """Watch layers while the block runs the model; gives what each has read, by name."""
    seen: dict[str, Calibration] = {}
    handles = []
    for name, layer in layers:
        K = layer.in_features
        seen[name] = calibration = Calibration(torch.zeros(K, K), torch.zeros(K))

        def take(_: nn.Module, inputs: tuple[Tensor], to: Calibration = calibration) -> None:
            to.add(inputs[0])

        handles.append(layer.register_forward_pre_hook(take))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
