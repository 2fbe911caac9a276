"""(IA)³: keys, values and hidden features are each multiplied by a trained number."""

import torch
from torch import Tensor, nn

from groundup.models.linear import Linear
from groundup.tuning.adapted_linear import AdaptedLinear
from groundup.tuning.nf4_linear import Nf4Linear

__all__ = ["Ia3Linear"]


class Ia3Linear(AdaptedLinear):
    """A linear layer whose outputs, or inputs, are scaled one by one.

        y = base(x) * scale          for keys and values
        y = base(x * scale)          for the last matrix of a feed-forward layer

    Source: Liu et al. 2022, "Few-shot parameter-efficient fine-tuning is better and cheaper than
    in-context learning", section 3.3.
    """

    def __init__(self, base: Linear | Nf4Linear, *, inputs: bool) -> None:
        """Scale the inputs, or else the outputs (with the bias), by ``scale``.

        It is a parameter in float32, and begins as ones.
        """
        super().__init__(base)
        self.inputs = inputs
        self.scale = nn.Parameter(torch.ones(base.in_features if inputs else base.out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x`` (..., in); returns (..., out) in x's dtype."""
        scale = self.scale.to(x.dtype)
        y: Tensor = self.base(x * scale) if self.inputs else self.base(x) * scale
        return y

    def merged(self) -> tuple[Tensor, Tensor | None]:
        """The weight with its columns, or its rows and the bias, scaled."""
        weight: Tensor = self.base.weight
        bias: Tensor | None = self.base.bias
        scaled = weight * (self.scale if self.inputs else self.scale[:, None])
        if bias is not None and not self.inputs:
            bias = (bias * self.scale).to(bias.dtype)
        return scaled.to(weight.dtype), bias
