"""Products with matrices of 8-bit, 4-bit or NF4 weights, which become numbers inside the kernel.

Generation waits for the weights to come from the GPU's memory. Here they come as they are stored,
in a half or a third of the bytes, and are widened in registers. Only weights are quantised; inputs,
sums and outputs are as in the plain product.

Source: Frantar et al. 2024, "MARLIN: mixed-precision auto-regressive parallel inference on large
language models", section 2 (why weights alone). The 4-bit layout is GGML's Q4_1, NF4's that of
Dettmers et al. 2023, "QLoRA", section 3.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from groundup.quantization.absmax import absmax_quantize
from groundup.quantization.grouped_int4 import GroupedInt4
from groundup.quantization.nf4 import BLOCK, Nf4, QuantizedScales, nf4_code

__all__ = ["Int4Matrix", "Int8Matrix", "Nf4Matrix"]

GROUP = 32  # weights that share a scale and a minimum
COLUMNS = 64  # of weights, that a program has at a time; a multiple of GROUP


@dataclass(frozen=True)
class Int8Matrix:
    """``x @ weight.T`` where row m of the weight is ``q[m] * scale[m]``."""

    q: Tensor  # (M, K) int8
    scale: Tensor  # (M,) float32

    @classmethod
    def of(cls, weight: Tensor) -> "Int8Matrix":
        """The nearest such matrix to a weight (M, K): each row's largest becomes 127."""
        q, scale = absmax_quantize(weight)
        return cls(q, scale[:, 0].contiguous())

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply ``x`` (N, K), contiguous; returns (N, M) in its dtype.

        Raises:
            ValueError: x does not have K columns.
        """
        M, K = self.q.shape
        out, grid, tile = _prepare(x, M, K)
        multiply_int8[grid](x, self.q, self.scale, out, len(x), M, K, *tile, COLUMNS)
        return out


@dataclass(frozen=True)
class Int4Matrix:
    """``x @ weight.T`` where each group of 32 weights of a row is ``q * scale + minimum``.

    Byte i of a group's 16 holds q of its weight i in the low half, of weight 16 + i in the high.
    """

    q: Tensor  # (M, K / 2) uint8
    scale: Tensor  # (M, K / 32) float16
    minimum: Tensor  # (M, K / 32) float16

    @classmethod
    def of(cls, weight: Tensor) -> "Int4Matrix":
        """A weight (M, K), each group spread evenly from its lowest to its highest.

        Raises:
            ValueError: K is not a multiple of 32.
        """
        quantised = GroupedInt4.of(weight, GROUP)
        q = quantised.q.view(*quantised.scale.shape, GROUP)
        packed = q[..., : GROUP // 2] | q[..., GROUP // 2 :] << 4
        return cls(packed.flatten(1), quantised.scale.half(), quantised.minimum.half())

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply ``x`` (N, K), contiguous; returns (N, M) in its dtype.

        Raises:
            ValueError: x does not have K columns.
        """
        M, K = self.q.shape[0], 2 * self.q.shape[1]
        out, grid, tile = _prepare(x, M, K)
        multiply_int4[grid](
            x, self.q, self.scale, self.minimum, out, len(x), M, K, *tile, COLUMNS // 2, GROUP
        )
        return out


@dataclass(frozen=True)
class Nf4Matrix:
    """``x @ weight.T`` of a weight (M, K) in NF4, whose rows are whole blocks of 64."""

    packed: Tensor  # (M, K / 2) uint8; the first of each two weights in the high half
    scale: Tensor  # (M, K / 64) float32
    code: Tensor  # (16,) float32

    @classmethod
    def of(cls, weight: Nf4, device: torch.device | str = "cpu") -> "Nf4Matrix":
        """A weight as `Nf4` has it; scales of 8 bits are made float32 once.

        Raises:
            ValueError: it is no matrix with K a multiple of 64.
        """
        if len(weight.shape) != 2 or weight.shape[1] % BLOCK:
            raise ValueError(f"expected (M, K) with K in blocks of {BLOCK}, got {weight.shape}")
        scales, M = weight.scales, weight.shape[0]
        if isinstance(scales, QuantizedScales):
            scales = scales.dequantize()
        tensors = weight.packed.view(M, -1), scales.view(M, -1), nf4_code()
        return cls(*(tensor.to(device) for tensor in tensors))

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply ``x`` (N, K), contiguous; returns (N, M) in its dtype.

        Raises:
            ValueError: x does not have K columns.
        """
        M, K = self.packed.shape[0], 2 * self.packed.shape[1]
        out, grid, tile = _prepare(x, M, K)
        multiply_nf4[grid](
            x, self.packed, self.scale, self.code, out, len(x), M, K, *tile, COLUMNS // 2, BLOCK
        )
        return out


def _prepare(x: Tensor, M: int, K: int) -> tuple[Tensor, tuple[int, int], tuple[int, int]]:
    """Room for the output, the programs to start, and each one's rows of x and of the weight."""
    if x.ndim != 2 or x.shape[1] != K:
        raise ValueError(f"x must be of shape (N, {K}), got {tuple(x.shape)}")
    N = len(x)
    rows = min(64, max(16, triton.next_power_of_2(N)))
    outputs = 32 if rows == 16 else 64  # few rows: more programs, which read at the same time
    out = torch.empty((N, M), dtype=x.dtype, device=x.device)
    return out, (triton.cdiv(M, outputs), triton.cdiv(N, rows)), (rows, outputs)


@triton.jit(do_not_specialize=["N"])
def multiply_int8(
    x, q, scale, out, N, M, K,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    n = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros((ROWS, OUTPUTS), tl.float32)
    for begin in range(0, K, COLUMNS):
        k = begin + tl.arange(0, COLUMNS)
        inputs = tl.load(
            x + n[:, None] * K + k[None, :], mask=(n < N)[:, None] & (k < K)[None, :], other=0
        )
        weights = tl.load(
            q + m[:, None].to(tl.int64) * K + k[None, :],
            mask=(m < M)[:, None] & (k < K)[None, :],
            other=0,
        )  # (OUTPUTS, COLUMNS), whole numbers up to 127: exact in every dtype of x
        total += tl.dot(inputs, tl.trans(weights.to(inputs.dtype)), input_precision="ieee")
    total *= tl.load(scale + m, mask=m < M, other=0)[None, :]
    tl.store(
        out + n[:, None] * M + m[None, :],
        total.to(out.dtype.element_ty),
        mask=(n < N)[:, None] & (m < M)[None, :],
    )


@triton.jit(do_not_specialize=["N"])
def multiply_int4(
    x, q, scale, minimum, out, N, M, K,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, BYTES: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    n = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros((ROWS, OUTPUTS), tl.float32)
    for begin in range(0, K // 2, BYTES):
        byte = begin + tl.arange(0, BYTES)
        group = byte // (GROUP // 2)
        k = group * GROUP + byte % (GROUP // 2)  # the column of the byte's low half
        rows = (n < N)[:, None] & (k < K)[None, :]
        low = tl.load(x + n[:, None] * K + k[None, :], mask=rows, other=0)
        high = tl.load(x + n[:, None] * K + k[None, :] + GROUP // 2, mask=rows, other=0)
        at = m[:, None].to(tl.int64)
        held = (m < M)[:, None] & (k < K)[None, :]
        bytes = tl.load(q + at * (K // 2) + byte[None, :], mask=held, other=0)
        s = tl.load(scale + at * (K // GROUP) + group[None, :], mask=held, other=0).to(tl.float32)
        base = tl.load(minimum + at * (K // GROUP) + group[None, :], mask=held, other=0)
        base = base.to(tl.float32)
        # The two halves are columns 16 apart: two products, and nothing has to be interleaved.
        weights = ((bytes & 15).to(tl.float32) * s + base).to(low.dtype)
        total += tl.dot(low, tl.trans(weights), input_precision="ieee")
        weights = ((bytes >> 4).to(tl.float32) * s + base).to(low.dtype)
        total += tl.dot(high, tl.trans(weights), input_precision="ieee")
    tl.store(
        out + n[:, None] * M + m[None, :],
        total.to(out.dtype.element_ty),
        mask=(n < N)[:, None] & (m < M)[None, :],
    )


@triton.jit(do_not_specialize=["N"])
def multiply_nf4(
    x, q, scale, code, out, N, M, K,
    ROWS: tl.constexpr, OUTPUTS: tl.constexpr, BYTES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    n = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros((ROWS, OUTPUTS), tl.float32)
    for begin in range(0, K // 2, BYTES):
        byte = begin + tl.arange(0, BYTES)
        k = 2 * byte  # the column of the byte's high half; the low half's is the next one
        rows = (n < N)[:, None] & (k < K)[None, :]
        high = tl.load(x + n[:, None] * K + k[None, :], mask=rows, other=0)
        low = tl.load(x + n[:, None] * K + k[None, :] + 1, mask=rows, other=0)
        at = m[:, None].to(tl.int64)
        held = (m < M)[:, None] & (k < K)[None, :]
        bytes = tl.load(q + at * (K // 2) + byte[None, :], mask=held, other=0)
        s = tl.load(scale + at * (K // BLOCK) + (k // BLOCK)[None, :], mask=held, other=0)
        # Of 16 numbers that every program looks up, the processor's own cache holds all.
        weights = (tl.load(code + (bytes >> 4).to(tl.int32)) * s).to(high.dtype)
        total += tl.dot(high, tl.trans(weights), input_precision="ieee")
        weights = (tl.load(code + (bytes & 15).to(tl.int32)) * s).to(high.dtype)
        total += tl.dot(low, tl.trans(weights), input_precision="ieee")
    tl.store(
        out + n[:, None] * M + m[None, :],
        total.to(out.dtype.element_ty),
        mask=(n < N)[:, None] & (m < M)[None, :],
    )
