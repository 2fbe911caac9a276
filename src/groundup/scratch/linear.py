"""The affine layer, forward and backward."""

import numpy as np

from groundup.scratch.kaiming import kaiming_normal
from groundup.scratch.module import Module
from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["Linear", "linear"]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b, as one operation with the gradients of its three inputs.

    Args:
        x: shape (..., I).
        weight: shape (O, I): a row for each output.
        bias: shape (O,), or None.

    Returns:
        Shape (..., O). With G the gradient of y, all leading axes joined to one of length N:
        dx = G W, dW = Gᵀ x, and db sums the rows of G. What requires no gradient costs nothing:
        the first layer of a network computes no dx.

    Raises:
        ValueError: the shapes do not fit together.

    Source: Goodfellow et al. 2016, "Deep Learning", section 6.5.6.
    """
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x {x.shape} and weight {weight.shape} should be (..., I) and (O, I)")
    outputs, inputs = weight.shape
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"the bias should have shape ({outputs},), got {bias.shape}")
    rows = x.data.reshape(-1, inputs)  # (N, I)
    y: Array = rows @ weight.data.T
    if bias is not None:
        y += bias.data

    def backward(g: Array) -> tuple[Array | None, ...]:
        g = g.reshape(-1, outputs)  # (N, O)
        dx = (g @ weight.data).reshape(x.shape) if x.requires_grad else None
        dweight = g.T @ rows if weight.requires_grad else None
        if bias is None:
            return dx, dweight
        return dx, dweight, g.sum(axis=0) if bias.requires_grad else None

    given = (x, weight) if bias is None else (x, weight, bias)
    return record(y.reshape(*x.shape[:-1], outputs), given, backward)


class Linear(Module):
    """An affine layer that owns its weight and bias."""

    def __init__(
        self, inputs: int, outputs: int, *, rng: np.random.Generator, bias: bool = True
    ) -> None:
        """Make a layer with a ``kaiming_normal`` weight, drawn from ``rng``, and a bias of zeros.

        The attributes: ``weight``, a tensor of shape (outputs, inputs), and ``bias``, of shape
        (outputs,) or None, both float32 and trained.

        Raises:
            ValueError: a size is not positive.
        """
        self.weight = Tensor(kaiming_normal((outputs, inputs), rng), requires_grad=True)
        self.bias = Tensor(np.zeros(outputs, np.float32), requires_grad=True) if bias else None

    def __call__(self, x: Tensor) -> Tensor:
        """``linear`` of x, shape (..., inputs) to (..., outputs)."""
        return linear(x, self.weight, self.bias)
