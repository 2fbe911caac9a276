"""Softmax and its logarithm over the last axis."""

import numpy as np

from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["log_softmax", "softmax"]


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum(exp(x)) over the last axis, for scores of any size.

    Subtracting the largest score changes nothing but the numbers on the way, which then stay
    between 0 and 1.
    """
    y: Array = np.exp(x.data - x.data.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)

    def backward(g: Array) -> tuple[Array]:
        product = g * y
        return (product - y * product.sum(axis=-1, keepdims=True),)

    return record(y, (x,), backward)


def log_softmax(x: Tensor) -> Tensor:
    """The logarithm of softmax, without taking that of a number that is rounded to 0."""
    shifted: Array = x.data - x.data.max(axis=-1, keepdims=True)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return record(y, (x,), lambda g: (g - np.exp(y) * g.sum(axis=-1, keepdims=True),))
