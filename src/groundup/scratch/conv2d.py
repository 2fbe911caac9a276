"""The two-dimensional convolution as a matrix product, forward and backward."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from groundup.scratch.kaiming import kaiming_normal
from groundup.scratch.module import Module
from groundup.scratch.tensor import Array, Tensor, record

__all__ = ["Conv2d", "conv2d"]


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, stride: int = 1, padding: int = 0
) -> Tensor:
    """Slide a window over images, and at each place take its product with every filter.

        y[n, f, i, j] = bias[f] + Σ_c,h,w  weight[f, c, h, w] · x[n, c, i·stride + h, j·stride + w]

    where x was padded with zeros on its four sides. (Strictly it is a cross-correlation: the
    filter is not turned round.)

    Args:
        x: images, shape (N, C, H, W).
        weight: filters, shape (F, C, h, w).
        bias: shape (F,), or None.
        stride: how far the window moves, in both directions, at least 1.
        padding: rows and columns of zeros on each side, at least 0.

    Returns:
        Shape (N, F, (H + 2·padding - h) // stride + 1, (W + 2·padding - w) // stride + 1), with
        the gradients of x, weight and bias as one operation.

    Raises:
        ValueError: the shapes do not fit together, the window is larger than the padded image, or
            stride or padding is out of range.

    Source: Chellapilla et al. 2006, "High performance convolutional neural networks for document
    processing", section 2 (unrolling).
    """
    if x.ndim != 4 or weight.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(
            f"x {x.shape} and weight {weight.shape} should be (N, C, H, W) and (F, C, h, w)"
        )
    if stride < 1 or padding < 0:
        raise ValueError(
            f"stride must be at least 1 and padding at least 0, got {stride}, {padding}"
        )
    N, _, H, W = x.shape
    F, _, h, w = weight.shape
    if h > H + 2 * padding or w > W + 2 * padding:
        raise ValueError(f"the filter ({h}, {w}) is larger than the padded image "
                         f"({H + 2 * padding}, {W + 2 * padding})")  # fmt: skip
    if bias is not None and bias.shape != (F,):
        raise ValueError(f"the bias should have shape ({F},), got {bias.shape}")

    columns = _columns(x.data, h, w, stride, padding)  # (N, C·h·w, positions)
    filters = weight.data.reshape(F, -1)  # (F, C·h·w)
    y: Array = filters @ columns  # (N, F, positions)
    if bias is not None:
        y += bias.data[:, None]
    out = ((H + 2 * padding - h) // stride + 1, (W + 2 * padding - w) // stride + 1)

    def backward(g: Array) -> tuple[Array | None, ...]:
        g = g.reshape(N, F, -1)
        dx = dweight = None
        if x.requires_grad:
            dx = _images(filters.T @ g, x.shape, h, w, stride, padding)
        if weight.requires_grad:
            dweight = (g @ columns.swapaxes(1, 2)).sum(axis=0).reshape(weight.shape)
        if bias is None:
            return dx, dweight
        return dx, dweight, g.sum(axis=(0, 2)) if bias.requires_grad else None

    given = (x, weight) if bias is None else (x, weight, bias)
    return record(y.reshape(N, F, *out), given, backward)


class Conv2d(Module):
    """A convolution that owns its filters and bias."""

    def __init__(
        self,
        channels: int,
        filters: int,
        size: int,
        *,
        rng: np.random.Generator,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        """Make a layer with a ``kaiming_normal`` weight, drawn from ``rng``, and a bias of zeros.

        The attributes: ``weight``, a tensor of shape (filters, channels, size, size), and ``bias``,
        of shape (filters,), both float32 and trained.

        Raises:
            ValueError: a size is not positive.
        """
        shape = (filters, channels, size, size)
        self.weight = Tensor(kaiming_normal(shape, rng), requires_grad=True)
        self.bias = Tensor(np.zeros(filters, np.float32), requires_grad=True)
        self.stride = stride
        self.padding = padding

    def __call__(self, x: Tensor) -> Tensor:
        """``conv2d`` of x, shape (N, channels, H, W)."""
        return conv2d(x, self.weight, self.bias, stride=self.stride, padding=self.padding)


def _columns(x: Array, h: int, w: int, stride: int, padding: int) -> Array:
    """Each window of an image as a column: (N, C, H, W) to (N, C·h·w, positions)."""
    if padding:
        N, C, H, W = x.shape
        padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding), x.dtype)
        padded[:, :, padding : padding + H, padding : padding + W] = x
        x = padded
    windows = sliding_window_view(x, (h, w), axis=(2, 3))[:, :, ::stride, ::stride]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), x.shape[1] * h * w, -1)  # copies


def _images(
    columns: Array, shape: tuple[int, ...], h: int, w: int, stride: int, padding: int
) -> Array:
    """The reverse of ``_columns`` for gradients: what lies in several windows is summed."""
    N, C, H, W = shape
    x = np.zeros((N, C, H + 2 * padding, W + 2 * padding), columns.dtype)
    rows = (x.shape[2] - h) // stride + 1
    windows = columns.reshape(N, C, h, w, rows, -1)
    for i in range(h):
        for j in range(w):
            x[:, :, i : i + rows * stride : stride, j : j + windows.shape[5] * stride : stride] += (
                windows[:, :, i, j]
            )
    return x[:, :, padding : padding + H, padding : padding + W]
