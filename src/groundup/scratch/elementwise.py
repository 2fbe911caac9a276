"""Functions of each element on its own."""

import numpy as np

from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["exp", "log", "relu", "sigmoid", "sqrt", "tanh"]


def exp(x: Tensor) -> Tensor:
    """e to the power of each element."""
    y = np.exp(x.data)
    return record(y, (x,), lambda g: (g * y,))


def log(x: Tensor) -> Tensor:
    """The natural logarithm."""
    return record(np.log(x.data), (x,), lambda g: (g / x.data,))


def sqrt(x: Tensor) -> Tensor:
    """The square root. Its slope at 0 is infinite."""
    y = np.sqrt(x.data)
    return record(y, (x,), lambda g: (g / (2 * y),))


def tanh(x: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    y = np.tanh(x.data)
    return record(y, (x,), lambda g: (g * (1 - y * y),))


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)), by way of tanh, which never overflows."""
    y = np.tanh(x.data * 0.5) * 0.5 + 0.5
    return record(y, (x,), lambda g: (g * (y * (1 - y)),))


def relu(x: Tensor) -> Tensor:
    """max(x, 0). The slope at 0 counts as 0."""
    y: Array = np.maximum(x.data, 0)
    return record(y, (x,), lambda g: (g * (y > 0),))
