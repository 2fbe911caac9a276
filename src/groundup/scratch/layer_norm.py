"""Layer normalisation, forward and backward."""

import numpy as np

from groundup.scratch.module import Module
from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["LayerNorm", "layer_norm"]


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Shift and scale each vector to mean 0 and variance 1, then by a learned weight and bias.

        y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias

    Args:
        x: shape (..., C); every vector of the last axis is normalised on its own, with the
            variance that divides by C.
        weight, bias: shape (C,).
        eps: added to the variance, not negative.

    Returns:
        Shape (..., C), with the gradients of x, weight and bias as one operation.

    Raises:
        ValueError: the last axis of x, weight and bias are not equally long, or eps is negative.

    Source: Ba et al. 2016, "Layer normalization", section 3.
    """
    if x.ndim < 1 or not x.shape[-1:] == weight.shape == bias.shape:
        raise ValueError(
            f"x, weight and bias should have shapes (..., C), (C,) and (C,), got {x.shape}, "
            f"{weight.shape} and {bias.shape}"
        )
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}")
    centred = x.data - x.data.mean(axis=-1, keepdims=True)
    inverse = 1 / np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + eps)
    normal: Array = centred * inverse

    def backward(g: Array) -> tuple[Array, Array, Array]:
        scaled = g * weight.data
        # x moves its own mean and variance too: what points along them has no effect.
        along = (scaled * normal).mean(axis=-1, keepdims=True)
        dx = inverse * (scaled - scaled.mean(axis=-1, keepdims=True) - normal * along)
        return dx, g * normal, g

    return record(normal * weight.data + bias.data, (x, weight, bias), backward)


class LayerNorm(Module):
    """Layer normalisation that owns its weight and bias."""

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        """Make a layer whose ``weight`` starts at ones and ``bias`` at zeros, float32 and trained.

        Raises:
            ValueError: features is not positive.
        """
        if features < 1:
            raise ValueError(f"features must be positive, got {features}")
        self.weight = Tensor(np.ones(features, np.float32), requires_grad=True)
        self.bias = Tensor(np.zeros(features, np.float32), requires_grad=True)
        self.eps = eps

    def __call__(self, x: Tensor) -> Tensor:
        """``layer_norm`` of x, shape (..., features)."""
        return layer_norm(x, self.weight, self.bias, self.eps)
