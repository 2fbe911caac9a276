"""A frozen linear layer beside which a little is trained."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from groundup.models.linear import Linear
from groundup.tuning.nf4_linear import Nf4Linear

__all__ = ["AdaptedLinear"]


class AdaptedLinear(nn.Module, ABC):
    """What the methods that change linear layers have in common: they stand in a layer's place.

    The layer itself, ``base``, is never changed. What is trained are the other parameters, float32.
    """

    def __init__(self, base: Linear | Nf4Linear) -> None:
        """Stand around a layer, which is frozen."""
        super().__init__()
        self.base = base.requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        """Of the base's matrix, in which several rows are multiplied."""
        return self.base.dtype

    @abstractmethod
    def merged(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of the one linear layer that computes the same, in the base's dtypes."""

    def as_linear(self) -> Linear:
        """That layer."""
        weight, bias = self.merged()
        with torch.device("meta"):
            layer = Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.weight = nn.Parameter(weight.detach(), requires_grad=False)
        if bias is not None:
            layer.bias = nn.Parameter(bias.detach(), requires_grad=False)
        return layer.train(self.training)
