"""A linear layer that is fast at generating one token at a time on a CPU."""

import os

import numpy as np
import torch
import torch.nn.functional as F
from numba import config, njit, prange, set_num_threads
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["Linear"]

# One token reads every weight once, so its speed is that of memory. Torch's matrix products reach
# a third of it or less for a single row (BENCHMARKS.md); these two loops come close.


@njit(parallel=True, fastmath=True, cache=True)
def matrix_vector(weight: NDArray[np.float32], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """``weight @ x`` for float32 ``weight`` (N, K) and ``x`` (K,)."""
    y = np.empty(weight.shape[0], np.float32)
    for row in prange(weight.shape[0]):
        total = np.float32(0)
        for column in range(weight.shape[1]):
            total += weight[row, column] * x[column]
        y[row] = total
    return y


@njit(parallel=True, fastmath=True, cache=True)
def matrix_vector_bf16(weight: NDArray[np.uint16], x: NDArray[np.float32]) -> NDArray[np.float32]:
    """As `matrix_vector`, for the bits of a bfloat16 weight: the upper half of a float32's."""
    y = np.empty(weight.shape[0], np.float32)
    for row in prange(weight.shape[0]):
        total = np.float32(0)
        for column in range(weight.shape[1]):
            bits = np.uint32(weight[row, column]) << np.uint32(16)
            total += np.uint32(bits).view(np.float32) * x[column]
        y[row] = total
    return y


# How long Numba's threads spin for the next matrix before they sleep. Its OpenMP reads this when
# the last line here loads it; torch has loaded its own, whose spinning suits many small operations.
# By default, beside one other busy process, generation nearly stops (docs/lab-notes.md).
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
set_num_threads(min(torch.get_num_threads(), config.NUMBA_NUM_THREADS))


class Linear(nn.Linear):
    """``x @ weight.T + bias``, as ``torch.nn.Linear``, whose weight may be narrower than ``x``.

    Without gradients on a CPU, a single float32 row goes through our own kernel.
    """

    _rows: NDArray[np.float32] | NDArray[np.uint16] | None = None
    _rows_of: tuple[int, torch.dtype] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Of the weight."""
        return self.weight.dtype

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer to ``x`` (..., in_features); returns (..., out_features) in x's dtype."""
        weight, bias = self.weight, self.bias
        if (
            x.numel() == self.in_features
            and x.dtype == torch.float32
            and weight.dtype in (torch.float32, torch.bfloat16)
            and weight.device.type == "cpu"
            and not torch.is_grad_enabled()
        ):
            y = self._single_row(x)
            return y if bias is None else y + bias
        if torch.is_autocast_enabled(x.device.type):
            return F.linear(x, weight, bias)  # autocast chooses the dtypes itself
        narrow = None if bias is None else bias.to(weight.dtype)
        return F.linear(x.to(weight.dtype), weight, narrow).to(x.dtype)

    def _single_row(self, x: Tensor) -> Tensor:
        kernel = matrix_vector if self.weight.dtype == torch.float32 else matrix_vector_bf16
        y = torch.from_numpy(kernel(self._weight_rows(), x.reshape(-1).numpy()))
        return y.view(*x.shape[:-1], self.out_features)

    def _weight_rows(self) -> NDArray[np.float32] | NDArray[np.uint16]:
        """The weight as a NumPy view, made anew only when the weight has moved."""
        weight = self.weight
        if self._rows_of != (weight.data_ptr(), weight.dtype):
            bits = weight if weight.dtype == torch.float32 else weight.view(torch.uint16)
            self._rows = bits.detach().contiguous().numpy()
            self._rows_of = (weight.data_ptr(), weight.dtype)
        assert self._rows is not None
        return self._rows
