"""Dropout: in training, a random part of the activations is missing."""

import numpy as np

from groundup.scratch.module import Module
from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["Dropout", "dropout"]


def dropout(x: Tensor, p: float, rng: np.random.Generator) -> Tensor:
    """Set each element to 0 with probability p, and divide the others by 1 - p.

    The mean of each element over many draws is then its own value, so that after training nothing
    has to be scaled ("inverted" dropout).

    Args:
        x: any shape.
        p: from 0 to less than 1. With 0, x itself is returned.
        rng: where the draws come from: an independent one for each element, anew at each call.

    Returns:
        The same shape and dtype. The gradient passes the same elements, with the same factor.

    Raises:
        ValueError: p is not from 0 to less than 1.

    Source: Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from
    overfitting", section 4 and (on the scaling in training) section 10.
    """
    if not 0 <= p < 1:
        raise ValueError(f"p must be from 0 to less than 1, got {p}")
    if p == 0:
        return x
    kept = rng.random(x.shape, dtype=np.float32) >= p
    factor: Array = kept.astype(x.dtype) / x.dtype.type(1 - p)
    return record(x.data * factor, (x,), lambda g: (g * factor,))


class Dropout(Module):
    """``dropout`` in training, nothing afterwards."""

    def __init__(self, p: float, *, rng: np.random.Generator) -> None:
        """Make the layer; ``p`` and ``rng`` are those of ``dropout``.

        Raises:
            ValueError: p is not from 0 to less than 1.
        """
        if not 0 <= p < 1:
            raise ValueError(f"p must be from 0 to less than 1, got {p}")
        self.p = p
        self.rng = rng

    def __call__(self, x: Tensor) -> Tensor:
        """``dropout`` of x where ``training`` is true, otherwise x."""
        return dropout(x, self.p, self.rng) if self.training else x
