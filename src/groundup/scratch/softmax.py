"""Softmax and its logarithm over the last axis."""

import numpy as np

from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["log_softmax", "softmax"]


def softmax(x: Tensor) -> Tensor:
    """exp(x) / sum(exp(x)) over the last axis, for scores of any size.

    Subtracting the largest score changes nothing but the numbers on the way, which then stay
    between 0 and 1.

    Args:
        x: scores, shape (..., C). A score of minus infinity gets 0, as long as its vector has
            another one.

    Returns:
        Shape (..., C), in the dtype of x. Each vector sums to 1. With g the gradient of the result
        y, that of x is y * (g - sum(g * y)).

    Source: Goodfellow et al. 2016, "Deep Learning", section 4.1.
    """
    y: Array = np.exp(x.data - x.data.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)

    def backward(g: Array) -> tuple[Array]:
        product = g * y
        return (product - y * product.sum(axis=-1, keepdims=True),)

    return record(y, (x,), backward)


def log_softmax(x: Tensor) -> Tensor:
    """The logarithm of softmax, without taking that of a number that is rounded to 0.

        x - max(x) - log(sum(exp(x - max(x))))

    Args:
        x: scores, shape (..., C), of any size.

    Returns:
        Shape (..., C), in the dtype of x; none is above 0. With g the gradient of the result y,
        that of x is g - exp(y) * sum(g).
    """
    shifted: Array = x.data - x.data.max(axis=-1, keepdims=True)
    y: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return record(y, (x,), lambda g: (g - np.exp(y) * g.sum(axis=-1, keepdims=True),))
