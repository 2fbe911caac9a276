"""The passes between the matrix products of a batch on a GPU, each one Triton kernel.

As `groundup.engine.cpu_kernels` has them for a CPU. In torch each of them is several kernels, and
to start those takes longer than the little that they do in generation. Sums are float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["add_rms_norm", "rotate_and_store", "silu_multiply"]


def add_rms_norm(
    x: Tensor, delta: Tensor | None, weight: Tensor, eps: float, dtype: torch.dtype
) -> Tensor:
    """``x += delta`` (None adds nothing), then its RMSNorm.

    Args:
        x: (N, C), float32, changed in place.
        delta: (N, C).
        weight: (C,), float32.
        dtype: of the result.

    Returns:
        (N, C).
    """
    N, C = x.shape
    out = torch.empty_like(x, dtype=dtype)
    add_rms_norm_kernel[(N,)](x, delta, weight, out, eps, C, triton.next_power_of_2(C))
    return out


def rotate_and_store(
    qkv: Tensor, bias: Tensor | None, norms: Tensor | None, eps: float,
    turn: tuple[Tensor, Tensor] | None,
    tables: Tensor, sequence_of: Tensor, positions: Tensor, keys: Tensor, values: Tensor,
) -> Tensor:  # fmt: skip
    """Split the projections of a batch; rotate queries and keys; put keys and values in place.

    Args:
        qkv: (N, (H + 2 H_kv) D), without the bias.
        bias: ((H + 2 H_kv) D,), float32, or None.
        norms: (2, D), float32, the weights of the RMSNorm of each head's queries and keys, or None.
        eps: of these norms.
        turn: cosine and sine by position, (context, D / 2), float32, or None: nothing is rotated.
        tables, sequence_of, positions: as `paged_attention` takes them.
        keys, values: (blocks, H_kv, block size, D), the cache's, written to.

    Returns:
        The queries (N, H, D), in the dtype of qkv.
    """
    H_kv, block_size, D = keys.shape[1:]
    N, heads = len(qkv), qkv.shape[1] // D
    q = torch.empty((N, heads - 2 * H_kv, D), dtype=qkv.dtype, device=qkv.device)
    cos, sin = turn or (None, None)
    rotate_and_store_kernel[(N,)](
        qkv, bias, norms, cos, sin, tables, sequence_of, positions, keys, values, q, eps,
        tables.shape[1], heads - 2 * H_kv, H_kv, D, block_size,
        triton.next_power_of_2(heads), triton.next_power_of_2(D // 2),
    )  # fmt: skip
    return q


def silu_multiply(gate_up: Tensor) -> Tensor:
    """``silu(gate) * up`` of a joint product (N, 2 F): gate first, then up; returns (N, F)."""
    N, F = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty((N, F), dtype=gate_up.dtype, device=gate_up.device)
    block = min(1024, triton.next_power_of_2(F))
    silu_multiply_kernel[(N, triton.cdiv(F, block))](gate_up, out, F, block)
    return out


@triton.jit
def add_rms_norm_kernel(x, delta, weight, out, eps, C: tl.constexpr, WIDE: tl.constexpr):
    c = tl.arange(0, WIDE)
    at = tl.program_id(0) * C + c
    row = tl.load(x + at, mask=c < C, other=0)
    if delta is not None:
        row += tl.load(delta + at, mask=c < C, other=0).to(tl.float32)
        tl.store(x + at, row, mask=c < C)
    inverse = 1 / tl.sqrt(tl.sum(row * row, 0) / C + eps)
    row = row * inverse * tl.load(weight + c, mask=c < C, other=0)
    tl.store(out + at, row.to(out.dtype.element_ty), mask=c < C)


@triton.jit(do_not_specialize=["TABLE"])
def rotate_and_store_kernel(
    qkv, bias, norms, cos, sin, tables, sequence_of, positions, keys, values, q, eps, TABLE,
    H: tl.constexpr, H_KV: tl.constexpr, D: tl.constexpr, BLOCK_SIZE: tl.constexpr,
    HEADS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """All heads of one row: of queries, keys and values, which lie in this order."""
    row = tl.program_id(0)
    HALF: tl.constexpr = D // 2
    h, d = tl.arange(0, HEADS)[:, None], tl.arange(0, WIDE)[None, :]
    inside = (h < H + 2 * H_KV) & (d < HALF)
    source = qkv + (row * (H + 2 * H_KV) + h) * D + d
    first = tl.load(source, mask=inside, other=0).to(tl.float32)  # (HEADS, WIDE)
    second = tl.load(source + HALF, mask=inside, other=0).to(tl.float32)
    if bias is not None:
        first += tl.load(bias + h * D + d, mask=inside, other=0)
        second += tl.load(bias + h * D + HALF + d, mask=inside, other=0)
    no_value = h < H + H_KV
    if norms is not None:
        weight = norms + tl.where(h < H, 0, D) + d
        inverse = 1 / tl.sqrt(tl.sum(first * first + second * second, 1) / D + eps)[:, None]
        normal = inverse * tl.load(weight, mask=inside, other=0)
        first *= tl.where(no_value, normal, 1)
        normal = inverse * tl.load(weight + HALF, mask=inside, other=0)
        second *= tl.where(no_value, normal, 1)
    position = tl.load(positions + row)
    if cos is not None:
        c = tl.load(cos + position * HALF + d, mask=d < HALF, other=0)
        s = tl.load(sin + position * HALF + d, mask=d < HALF, other=0)
        c, s = tl.where(no_value, c, 1), tl.where(no_value, s, 0)
        before = first
        first = before * c - second * s
        second = second * c + before * s
    first, second = first.to(q.dtype.element_ty), second.to(q.dtype.element_ty)

    target = q + (row * H + h) * D + d
    tl.store(target, first, mask=inside & (h < H))
    tl.store(target + HALF, second, mask=inside & (h < H))
    table = tables + tl.load(sequence_of + row) * TABLE
    block = tl.load(table + position // BLOCK_SIZE).to(tl.int64)
    slot = (block * H_KV + (h - H) % H_KV) * BLOCK_SIZE + position % BLOCK_SIZE
    is_key, is_value = inside & (h >= H) & no_value, inside & (h >= H + H_KV)
    tl.store(keys + slot * D + d, first, mask=is_key)
    tl.store(keys + slot * D + HALF + d, second, mask=is_key)
    tl.store(values + slot * D + d, first, mask=is_value)
    tl.store(values + slot * D + HALF + d, second, mask=is_value)


@triton.jit
def silu_multiply_kernel(gate_up, out, F: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    f = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    gate = tl.load(gate_up + row * 2 * F + f, mask=f < F, other=0).to(tl.float32)
    up = tl.load(gate_up + row * 2 * F + F + f, mask=f < F, other=0).to(tl.float32)
    result = gate * tl.sigmoid(gate) * up
    tl.store(out + row * F + f, result.to(out.dtype.element_ty), mask=f < F)
