"""Max-pooling: of each window the largest value."""

import numpy as np

from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["max_pool2d"]


def max_pool2d(x: Tensor, size: int, stride: int | None = None) -> Tensor:
    """The largest value of each square window, in each channel.

    Args:
        x: images, shape (N, C, H, W).
        size: of the window, at least 1.
        stride: how far the window moves, at least 1; the size where it is left out.

    Returns:
        Shape (N, C, (H - size) // stride + 1, (W - size) // stride + 1). The gradient goes to the
        largest value of each window, to the first by rows where several are equal.

    Raises:
        ValueError: x does not have four axes, or the window does not fit.
    """
    stride = size if stride is None else stride
    if x.ndim != 4 or size < 1 or stride < 1 or size > min(x.shape[2:]):
        raise ValueError(
            f"a window of {size} by {size} that moves by {stride} does not fit {x.shape}, "
            "which should be (N, C, H, W)"
        )
    rows, columns = ((length - size) // stride + 1 for length in x.shape[2:])
    places = [
        (..., slice(i, i + stride * rows, stride), slice(j, j + stride * columns, stride))
        for i in range(size)
        for j in range(size)
    ]  # of the windows' elements: the first of all windows, the second of all, …
    y: Array = x.data[places[0]].copy()
    for place in places[1:]:
        np.maximum(y, x.data[place], out=y)

    def backward(g: Array) -> tuple[Array]:
        dx = np.zeros_like(x.data)
        left = np.ones(g.shape, bool)  # windows whose largest value was not found yet
        for place in places:
            here = (x.data[place] == y) & left
            left ^= here
            dx[place] += g * here
        return (dx,)

    return record(y, (x,), backward)
