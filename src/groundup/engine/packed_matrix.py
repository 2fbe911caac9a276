"""A matrix to multiply batches of rows with, in the order and form that suits the processor."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numba import njit, prange
from numba.core import types
from numba.extending import overload
from numpy.typing import NDArray
from torch import Tensor

from groundup.engine.int4_matrix_vector import matrix_vector_int4, pack_int4
from groundup.models.huge_pages import in_huge_pages
from groundup.models.linear import matrix_vector, matrix_vector_bf16
from groundup.quantization.absmax import absmax_quantize
from groundup.quantization.grouped_int4 import GroupedInt4

__all__ = ["Form", "PackedMatrix", "Rows", "Stored", "multiply_row", "supports_int8"]

Stored = tuple[NDArray[Any], ...]
Form = Literal["float32", "bfloat16", "int8", "int4"]
# oneDNN compiles a product for each number of rows, in milliseconds, and keeps it. More than so
# many are filled up to a multiple of it, so that a server has met all sizes soon.
STEP = 16
DTYPES = {
    "float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.uint8,
    "int4": torch.bfloat16,
}  # fmt: skip
SINGLE_ROW = {
    "float32": torch.float32, "bfloat16": torch.float32, "int8": torch.int16, "int4": torch.float32
}  # fmt: skip


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
    """``(scales[:, None] * weight) @ x`` for int8 ``weight`` (N, K), int16 ``x`` (K,).

    Sums are of 32 bits: for each of them one instruction multiplies and adds two pairs.
    """
    y = np.empty(weight.shape[0], np.float32)
    for row in prange(weight.shape[0]):
        total = np.int32(0)
        for column in range(weight.shape[1]):
            product = np.int32(np.int32(weight[row, column]) * np.int32(x[column]))
            total = np.int32(total + product)
        y[row] = np.float32(total) * scales[row]
    return y


def multiply_row(stored: Any, x: Any) -> Any:
    """``weight @ x`` for a weight as `PackedMatrix.stored` has it, ``x`` (K,) as it wants it."""
    raise NotImplementedError  # compiled only


@overload(multiply_row)
def _multiply_row(stored: Any, x: Any) -> Any:
    def float32(stored: Any, x: Any) -> Any:
        return matrix_vector(stored[0], x)

    def bfloat16(stored: Any, x: Any) -> Any:
        return matrix_vector_bf16(stored[0], x)

    def int8(stored: Any, x: Any) -> Any:
        return matrix_vector_int8(stored[0], stored[1], x)

    def int4(stored: Any, x: Any) -> Any:
        return matrix_vector_int4(stored[0], x)

    return {types.float32: float32, types.uint16: bfloat16, types.int8: int8, types.uint8: int4}[
        stored[0].dtype
    ]


@njit(cache=True)
def multiply_single_row(stored: Any, x: Any) -> Any:
    """`multiply_row`, to be called from Python."""
    return multiply_row(stored, x)


def supports_int8() -> bool:
    """Whether torch multiplies 8-bit integers on this processor faster than by a plain loop."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.onednn, "qlinear_pointwise")


class PackedMatrix:
    """``x @ weight.T`` for batches of rows.

    - ``float32``, ``bfloat16``: over weights in the processor's own order, where torch has it.
    - ``int8``: weights in 8 bits with a scale for each output (the largest is 127), times inputs in
      8 bits with a scale for each row: exact sums of products of integers, twice as many of which
      fit into an instruction. The rows' scales are left to whoever reads the product.

    - ``int4``: weights in 4 bits, with a scale and a minimum for each 32 of a row. That is for a
      single row; several are multiplied by the same numbers in bfloat16.

    A single row waits for the weights to come from memory, not for sums: it is multiplied by loops
    that read weights at the memory's speed. It stays float32, or for 8-bit weights has 16 bits; for
    4-bit weights the loop rounds it.

    Source for int8: Dettmers et al. 2022, "LLM.int8()", section 3.1 (vector-wise quantisation).
    """

    def __init__(self, weight: Tensor, form: Form, *, exact: bool = False) -> None:
        """Pack ``weight`` (outputs, inputs), float32 or bfloat16; for int4 inputs % 32 is 0.

        ``exact`` leaves products of integers in float32. In bfloat16, as they are otherwise, they
        are written and read in half the time, but the best tokens would often tie.
        """
        self.outputs, self.inputs = weight.shape
        self._form = form
        self._products = torch.float32 if exact else torch.bfloat16
        self._scales: Tensor | None = None
        self._packed: Tensor | None = None
        self.stored: Stored = ()  # for products with a single row
        if form == "int4":
            grouped = GroupedInt4.of(weight)
            self.stored = (pack_int4(grouped),)
            weight = grouped.dequantize().bfloat16()
        if form == "int8":
            weight, scales = absmax_quantize(weight)
            weight = in_huge_pages(weight)
            self._scales = scales[:, 0].contiguous()
            self._zeros = torch.zeros(len(scales), dtype=torch.int64)
            self._packed = torch.ops.onednn.qlinear_prepack(weight, None)
        elif torch.backends.mkldnn.is_available():
            # Private, but what torch.compile emits for a frozen layer; there is no public way.
            self._packed = torch.ops.mkldnn._reorder_linear_weight(weight, 32)
        self._weight = weight
        if form == "int8":
            assert self._scales is not None
            self.stored = weight.numpy(), self._scales.numpy()
        elif form != "int4":
            self.stored = (Rows(weight).array,)

    def empty(self, rows: int) -> Rows:
        """Room for so many rows to multiply with, in the form in which they are wanted."""
        dtype = (SINGLE_ROW if rows == 1 else DTYPES)[self._form]
        scales = np.empty(rows, np.float32) if dtype in (torch.uint8, torch.int16) else None
        room = rows if rows <= STEP else -(-rows // STEP) * STEP
        return Rows(torch.empty((room, self.inputs), dtype=dtype), scales, rows)

    def __call__(self, x: Rows) -> Rows:
        """Multiply; the result's scales, if there are any, are those of ``x``."""
        if x.count == 1:
            y = torch.from_numpy(multiply_single_row(self.stored, x.padded[0].numpy()))
            return Rows(y[None, : self.outputs], x.scales)
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
