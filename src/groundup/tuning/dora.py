"""DoRA: LoRA turns the rows of a matrix, and their lengths are trained apart."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.models.linear import Linear
from groundup.tuning.lora import LoraLinear
from groundup.tuning.nf4_linear import Nf4Linear

__all__ = ["DoraLinear"]


class DoraLinear(LoraLinear):
    """A linear layer whose rows have a direction, changed by LoRA, and a length of their own.

        y = magnitude * (V @ x) / ||V|| + bias,    V = weight + scaling * b @ a

    The norm ||V|| of each row is taken for a constant in the gradient.

    Source: Liu et al. 2024, "DoRA", section 4.1, equation 5, and section 4.3.
    """

    def __init__(
        self,
        base: Linear | Nf4Linear,
        rank: int,
        scaling: float,
        *,
        dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        """As `LoraLinear`; ``magnitude`` (out,) begins as the rows' lengths: nothing changes."""
        super().__init__(base, rank, scaling, dropout=dropout, generator=generator)
        self.magnitude = nn.Parameter(self.row_norms())

    @torch.no_grad()
    def row_norms(self) -> Tensor:
        """||V|| (out,), float32, without making V: of a row w + s (b @ a), the square is

        w·w + b · (2 s (w @ a.T) + s² (b @ (a @ a.T)))
        """
        weight = self.base.weight.float()
        a, b, s = self.a.float(), self.b.float(), self.scaling
        cross = 2 * s * (weight @ a.T) + s * s * (b @ (a @ a.T))  # (out, r)
        return (weight.square().sum(1) + (b * cross).sum(1)).clamp(min=0).sqrt()

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x`` (..., in); returns (..., out) in x's dtype."""
        gain = (self.magnitude / self.row_norms()).to(x.dtype)
        bias = self.base.bias
        y: Tensor = self.base(x)
        if bias is not None:
            y = y - bias.to(x.dtype)
        y = gain * (y + self.addition(x) * self.scaling)
        return y if bias is None else y + bias.to(x.dtype)

    def merged(self) -> tuple[Tensor, Tensor | None]:
        """The weight V with its rows at their trained lengths; the bias as it is."""
        weight = self.base.weight
        turned = torch.addmm(weight.float(), self.b, self.a, alpha=self.scaling)
        rows = self.magnitude[:, None] * F.normalize(turned, dim=1)
        return rows.to(weight.dtype), self.base.bias
