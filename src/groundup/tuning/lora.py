"""LoRA: a frozen matrix, and the product of two narrow ones that is added to it."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.models.linear import Linear
from groundup.tuning.adapted_linear import AdaptedLinear
from groundup.tuning.nf4_linear import Nf4Linear

__all__ = ["LoraLinear", "lora_scaling"]


def lora_scaling(rank: int, alpha: float, *, rank_stabilized: bool = False) -> float:
    """What the product of both matrices is multiplied by: alpha / r, or alpha / sqrt(r).

    With alpha / r, gradients shrink as the rank grows, and a higher rank learns no more.

    Source: Hu et al. 2021, "LoRA", section 4.1; Kalajdzievski 2023, "A rank stabilization scaling
    factor for fine-tuning with LoRA", theorem 3.2.
    """
    return alpha / (math.sqrt(rank) if rank_stabilized else rank)


class LoraLinear(AdaptedLinear):
    """A linear layer with a low-rank addition.

        y = base(x) + scaling * (dropout(x) @ a.T) @ b.T

    Source: Hu et al. 2021, "LoRA", section 4.1, equation 3.
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
        """Make the addition, which is zero at first.

        Args:
            base: the layer, which is frozen.
            rank: r, the rows of ``a`` (r, in) and columns of ``b`` (out, r).
            scaling: as `lora_scaling` gives it.
            dropout: of the addition's input, in training.
            generator: draws ``a``, uniformly within 1 / sqrt(in); ``b`` is zero. Both are
                parameters in float32, whatever the base's dtype.

        Raises:
            ValueError: the rank is not positive.
        """
        super().__init__(base)
        if rank <= 0:
            raise ValueError(f"the rank must be positive, got {rank}")
        self.rank, self.scaling = rank, scaling
        self.dropout = nn.Dropout(dropout)
        bound = base.in_features**-0.5
        drawn = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        self.a = nn.Parameter(drawn)
        self.b = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x`` (..., in); returns (..., out) in x's dtype."""
        y: Tensor = self.base(x)
        return y + self.addition(x) * self.scaling

    def addition(self, x: Tensor) -> Tensor:
        """``(dropout(x) @ a.T) @ b.T``, multiplied in x's dtype."""
        narrow = F.linear(self.dropout(x), self.a.to(x.dtype))  # (..., r)
        return F.linear(narrow, self.b.to(x.dtype))

    def merged(self) -> tuple[Tensor, Tensor | None]:
        """The weight with the addition in it, rounded once; the bias as it is."""
        weight = self.base.weight
        return torch.addmm(weight.float(), self.b, self.a, alpha=self.scaling).to(
            weight.dtype
        ), self.base.bias
