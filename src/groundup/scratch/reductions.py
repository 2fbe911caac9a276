"""Mean, variance and maximum over axes."""

from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["amax", "mean", "variance"]

Axis = int | tuple[int, ...] | None


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean over an axis, several, or all."""
    total = x.sum(axis, keepdims)
    return total * (total.data.size / x.data.size)


def variance(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The mean squared distance from the mean (divided by n, not by n - 1)."""
    return mean((x - mean(x, axis, keepdims=True)) ** 2, axis, keepdims)


def amax(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """The largest element. Elements that are equally large share the gradient equally."""
    top = x.data.max(axis=axis, keepdims=True)

    def backward(g: Array) -> tuple[Array]:
        largest = (x.data == top).astype(g.dtype)
        return (g.reshape(top.shape) * largest / largest.sum(axis=axis, keepdims=True),)

    return record(top if keepdims else x.data.max(axis=axis), (x,), backward)
