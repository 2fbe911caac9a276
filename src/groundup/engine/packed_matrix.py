"""A matrix to multiply batches of rows with, in the order and form that suits the processor."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor

from groundup.models.linear import matrix_vector, matrix_vector_bf16
from groundup.quantization.absmax import absmax_quantize

__all__ = ["Form", "PackedMatrix", "Rows", "supports_int8"]

Form = Literal["float32", "bfloat16", "int8"]
# oneDNN compiles a product for each number of rows, in milliseconds, and keeps it. More than so
# many are filled up to a multiple of it, so that a server has met all sizes soon.
STEP = 16
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.uint8}


@dataclass(frozen=True)
class Rows:
    """Rows (N, C) as they go into a product or come out of one, and each row's scale, if any."""

    padded: Tensor  # the rows, and perhaps some behind them that mean nothing
    scales: NDArray[np.float32] | None = None
    count: int | None = None  # N; None: all of them

    @property
    def tensor(self) -> Tensor:
        return self.padded[: self.count]

    @property
    def array(self) -> NDArray[Any]:
        """The same memory for the kernels, which know a bfloat16 by its bits."""
        bits = self.padded.dtype == torch.bfloat16
        array: NDArray[Any] = (self.padded.view(torch.uint16) if bits else self.padded).numpy()
        return array[: self.count]


@njit(parallel=True, fastmath=True, cache=True)
def matrix_vector_int8(weight: Any, scales: Any, x: Any) -> Any:
    """``(scales[:, None] * weight) @ x`` for int8 ``weight`` (N, K), float32 ``x`` (K,)."""
    y = np.empty(weight.shape[0], np.float32)
    for row in prange(weight.shape[0]):
        total = np.float32(0)
        for column in range(weight.shape[1]):
            total += np.float32(weight[row, column]) * x[column]
        y[row] = total * scales[row]
    return y


def supports_int8() -> bool:
    """Whether torch multiplies 8-bit integers on this processor faster than by a plain loop."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_pointwise")


class PackedMatrix:
    """``x @ weight.T`` for batches of rows.

    - ``float32``, ``bfloat16``: over weights in the processor's own order, where torch has it.
    - ``int8``: weights in 8 bits with a scale for each output (the largest is 127), times inputs in
      8 bits with a scale for each row: exact sums of products of integers, twice as many of which
      fit into an instruction. The rows' scales are left to whoever reads the product.

    A single row waits for the weights to come from memory, not for sums: it stays float32, and is
    multiplied by loops that read weights at the memory's speed.

    Source for int8: Dettmers et al. 2022, "LLM.int8()", section 3.1 (vector-wise quantisation).
    """

    def __init__(self, weight: Tensor, form: Form, *, exact: bool = False) -> None:
        """Pack ``weight`` (outputs, inputs), float32 or bfloat16.

        ``exact`` leaves products of integers in float32. In bfloat16, as they are otherwise, they
        are written and read in half the time, but the best tokens would often tie.
        """
        self.outputs, self.inputs = weight.shape
        self._form = form
        self._products = torch.float32 if exact else torch.bfloat16
        self._scales: Tensor | None = None
        self._packed: Tensor | None = None
        if form == "int8":
            weight, scales = absmax_quantize(weight)
            self._scales = scales[:, 0].contiguous()
            self._zeros = torch.zeros(len(scales), dtype=torch.int64)
            self._packed = torch.ops.onednn.qlinear_prepack(weight, None)
        elif torch.backends.mkldnn.is_available():
            # Private, but what torch.compile emits for a frozen layer; there is no public way.
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, 32)
        self._weight = weight

    def empty(self, rows: int) -> Rows:
        """Room for so many rows to multiply with, in the form in which they are wanted."""
        form = "float32" if rows == 1 else self._form
        scales = np.empty(rows, np.float32) if form == "int8" else None
        room = rows if rows <= STEP else -(-rows // STEP) * STEP
        return Rows(torch.empty((room, self.inputs), dtype=DTYPES[form]), scales, rows)

    def __call__(self, x: Rows) -> Rows:
        """Multiply; the result's scales, if there are any, are those of ``x``."""
        if x.count == 1:
            return Rows(torch.from_numpy(self._single_row(x.padded[0].numpy()))[None])
        if self._form == "int8":
            y = torch.ops.onednn.qlinear_pointwise(
                x.padded, 1.0, 128, self._packed, self._scales, self._zeros,
                None, 1.0, 0, self._products, "none", [], "",
            )  # fmt: skip
        elif self._packed is not None:
            y = torch.ops.mkldnn._linear_pointwise(x.padded, self._packed, None, "none", [], "")
        else:
            y = F.linear(x.padded, self._weight)
        return Rows(y, x.scales, x.count)

    def _single_row(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        y: NDArray[np.float32]
        if self._scales is not None:
            y = matrix_vector_int8(self._weight.numpy(), self._scales.numpy(), x)
        elif self._form == "bfloat16":
            y = matrix_vector_bf16(self._weight.view(torch.uint16).numpy(), x)
        else:
            y = matrix_vector(self._weight.numpy(), x)
        return y
