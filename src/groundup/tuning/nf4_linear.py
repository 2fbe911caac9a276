"""A frozen linear layer whose weight takes four bits: what QLoRA trains adapters on."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.models.linear import Linear
from groundup.quantization.nf4 import Nf4

__all__ = ["Nf4Linear"]


class Nf4Linear(nn.Module):
    """``x @ weight.T + bias``, the weight in NF4 with scales of 8 bits.

    The matrix is made for each product, once more for the gradient, and let go: only one is there
    at any time, and the graph keeps none.

    Source: Dettmers et al. 2023, "QLoRA", section 3, equations 5 and 6.
    """

    def __init__(self, layer: Linear) -> None:
        """Quantise a layer's weight, to ``matrix``; the bias is taken over as it is.

        Raises:
            ValueError: the weight holds NaN or infinity.
        """
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.matrix = Nf4.of(layer.weight.detach())
        self.bias = layer.bias

    @property
    def weight(self) -> Tensor:
        """The matrix (out, in) as it multiplies, made anew."""
        return self.matrix.dequantize()

    @property
    def dtype(self) -> torch.dtype:
        """Of the matrix once it is made."""
        return self.matrix.dtype

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x`` (..., in_features); returns (..., out_features).

        The product is in x's dtype. Only x (and the bias) can have a gradient.
        """
        y: Tensor = _Product.apply(x, self.matrix)
        return y if self.bias is None else y + self.bias.to(y.dtype)


class _Product(torch.autograd.Function):
    """``x @ matrix.T``, with a gradient for x alone."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Nf4) -> Tensor:
        ctx.matrix, ctx.dtype = matrix, x.dtype
        return F.linear(x, matrix.dequantize().to(x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        dy = gradients[0]
        return (dy @ ctx.matrix.dequantize().to(dy.dtype)).to(ctx.dtype), None
