"""The passes between the matrix products of a batch, each one loop over its rows.

In torch each of them is several operations, and for small models those cost more than the products.

What goes into a product is stored in one of four forms: float32; bfloat16 as the bits that NumPy
has no type for (uint16); or 8-bit integers about 128 (uint8) or 16-bit ones (int16), with one scale
for each row. What comes out of one is float32 or bfloat16, and is multiplied by its row's scale
where the product was one of integers. Sums are float32.

Indices are unsigned where it matters: signed ones are tested for counting from the end.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from groundup.models.compiled_floats import exponential, narrow, widen

__all__ = [
    "add_rms_norm",
    "highest_logits",
    "paged_attention",
    "rotate_and_store",
    "scale_rows",
    "sharpen_highest",
    "silu_multiply",
    "store_rows",
]


U = np.uint64
FOUR = U(4)
LINE = 64  # bytes of a line of the cache


@njit(inline="always")
def ordered(bits: Any) -> Any:
    """A whole number that is greater where the float32 of these bits is; its own inverse.

    The compiler makes vector instructions of the maximum of whole numbers, and not of floats.
    """
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@njit(inline="always")
def highest_ordered(bits: Any) -> Any:
    """The maximum of `ordered` over the bits of a row of float32."""
    highest = ordered(bits[0])
    for c in range(bits.shape[0]):
        highest = np.int32(max(highest, ordered(bits[c])))
    return highest


@njit(inline="always")
def largest_magnitude(row: Any) -> Any:
    """The maximum of ``abs(row)``, of float32: without their sign, their bits have their order."""
    bits = row.view(np.int32)
    largest = np.int32(0)
    for c in range(row.shape[0]):
        largest = max(largest, np.int32(bits[c] & np.int32(0x7FFFFFFF)))
    return np.int32(largest).view(np.float32)


def scaled(value: Any, scales: Any, row: Any) -> Any:
    """An element of a product, as float32: with its row's scale, where there are scales."""
    raise NotImplementedError  # compiled only


def store(row: Any, out: Any, scales: Any, i: Any) -> None:
    """Put a row of float32 into ``out[i]`` in the form of ``out``, and its scale into scales[i]."""
    raise NotImplementedError  # compiled only


@overload(scaled, inline="always")
def _scaled(value: Any, scales: Any, row: Any) -> Any:
    def as_it_is(value: Any, scales: Any, row: Any) -> Any:
        return widen(value)

    def multiplied(value: Any, scales: Any, row: Any) -> Any:
        return widen(value) * scales[row]

    return as_it_is if scales == types.none else multiplied


@overload(store)
def _store(row: Any, out: Any, scales: Any, i: Any) -> Any:
    def as_floats(row: Any, out: Any, scales: Any, i: Any) -> None:
        for c in range(row.shape[0]):
            out[i, c] = narrow(row[c], out)

    def as_integers(row: Any, out: Any, scales: Any, i: Any) -> None:
        largest = max(largest_magnitude(row), np.float32(1e-30))
        scales[i] = largest / np.float32(127)
        inverse = np.float32(127) / largest
        for c in range(row.shape[0]):  # to the nearest; -127 to 127 become 1 to 255
            out[i, c] = np.uint8(np.int32(row[c] * inverse + np.float32(128.5)))

    def as_wide_integers(row: Any, out: Any, scales: Any, i: Any) -> None:
        largest = max(largest_magnitude(row), np.float32(1e-30))
        # With weights of up to 127, the sum of a product stays below 2^31.
        limit = np.float32(min(32767, (2**31 - 1) // (127 * row.shape[0])))
        scales[i] = largest / limit
        inverse = limit / largest
        for c in range(row.shape[0]):
            out[i, c] = np.int16(np.floor(row[c] * inverse + np.float32(0.5)))

    return {types.uint8: as_integers, types.int16: as_wide_integers}.get(out.dtype, as_floats)


@njit(parallel=True, fastmath=True, cache=True)
def add_rms_norm(
    x: Any, delta: Any, delta_scales: Any, bias: Any, weight: Any, eps: Any, out: Any, scales: Any
) -> None:
    """``x += delta + bias`` (None adds nothing), then ``out`` its RMSNorm.

    ``x``, ``delta``, ``out`` (N, C), ``bias`` and ``weight`` (C,).
    """
    N, C = x.shape
    for i in prange(N):
        total = np.float32(0)
        if delta is not None:
            for c in range(C):
                x[i, c] += scaled(delta[i, c], delta_scales, i)
        if bias is not None:
            for c in range(C):
                x[i, c] += bias[c]
        for c in range(C):
            total += x[i, c] * x[i, c]
        inverse = np.float32(1) / np.sqrt(total / np.float32(C) + np.float32(eps))
        row = np.empty(C, np.float32)
        for c in range(C):
            row[c] = x[i, c] * inverse * weight[c]
        store(row, out, scales, i)


@njit(inline="always", fastmath=True)
def normalise(x: Any, weight: Any, eps: Any) -> None:
    """RMSNorm of ``x`` (D,) in place."""
    total = np.float32(0)
    for d in range(x.shape[0]):
        total += x[d] * x[d]
    inverse = np.float32(1) / np.sqrt(total / np.float32(x.shape[0]) + np.float32(eps))
    for d in range(x.shape[0]):
        x[d] = x[d] * inverse * weight[d]


@njit(parallel=True, fastmath=True, cache=True)
def rotate_and_store(
    qkv: Any, qkv_scales: Any, bias: Any, q_weight: Any, k_weight: Any, eps: Any,
    cos: Any, sin: Any, positions: Any, slots: Any, keys: Any, values: Any, q: Any,
) -> None:  # fmt: skip
    """Split the projections of a batch; rotate queries and keys; put keys and values in place.

    Args:
        qkv: (N, (H + 2 H_kv) D), without the bias.
        bias: ((H + 2 H_kv) D,), or None.
        q_weight, k_weight: (D,), of the norm of each head's queries and keys, or None.
        eps: of these norms.
        cos, sin: (context, D / 2), by position, or None where nothing is rotated.
        positions, slots: (N,), where each row stands in its sequence, and in the cache.
        keys, values: (positions, H_kv, D), the cache's, float32 or bfloat16, written to.
        q: (N, H, D), written: the queries, divided by the root of D.
    """
    N, H, D = q.shape
    H_kv = keys.shape[1]
    half = D // 2
    scale = np.float32(1) / np.sqrt(np.float32(D))
    for i in prange(N):
        head = np.empty(D, np.float32)
        for h in range(H + 2 * H_kv):
            for d in range(D):
                head[d] = scaled(qkv[i, h * D + d], qkv_scales, i)
            if bias is not None:
                for d in range(D):
                    head[d] += bias[h * D + d]
            if h < H + H_kv:
                if q_weight is not None:
                    if h < H:
                        normalise(head, q_weight, eps)
                    else:
                        normalise(head, k_weight, eps)
                if cos is not None:
                    p = positions[i]
                    for d in range(half):
                        first, second = head[d], head[half + d]
                        head[d] = first * cos[p, d] - second * sin[p, d]
                        head[half + d] = second * cos[p, d] + first * sin[p, d]
            if h < H:
                for d in range(D):
                    q[i, h, d] = head[d] * scale
            elif h < H + H_kv:
                for d in range(D):
                    keys[slots[i], h - H, d] = narrow(head[d], keys)
            else:
                for d in range(D):
                    values[slots[i], h - H - H_kv, d] = narrow(head[d], values)


@intrinsic
def prefetch(_: Any, row: Any) -> Any:
    """Ask for the memory of an array of one dimension, to be in the cache when it is read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        i8, i32 = ir.IntType(8), ir.IntType(32)
        array = context.make_array(row)(context, builder, arguments[0])
        start = builder.bitcast(array.data, i8.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [i8.as_pointer(), i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        (length,) = cgutils.unpack_tuple(builder, array.shape)
        size = builder.mul(length, array.itemsize)
        with cgutils.for_range_slice(builder, size.type(0), size, size.type(LINE)) as (at, _):
            place = builder.gep(start, [at])
            builder.call(function, [place, i32(0), i32(3), i32(1)])  # to read; near; data

    return types.void(row), generate


@njit(parallel=True, fastmath=True, cache=True)
def paged_attention(
    q: Any, keys: Any, values: Any, tables: Any, sequence_of: Any, positions: Any, out: Any,
    scales: Any,
) -> None:  # fmt: skip
    """Attention of rows of a batch over keys that lie in scattered blocks.

    Args:
        q: (N, H, D), divided by the root of D already.
        keys, values: (blocks, block size, H_kv, D), float32 or bfloat16.
        tables: (sequences, most blocks), the block numbers of each sequence in order.
        sequence_of: (N,), which sequence a row belongs to; negative: not attended here.
        positions: (N,), of each row; it sees the keys up to and with its own.
        out, scales: (N, H D), written.

    Source: Kwon et al. 2023, "PagedAttention", section 4.1.
    """
    N = q.shape[0]
    H, D, size = U(q.shape[1]), U(q.shape[2]), U(keys.shape[1])
    H_kv = U(keys.shape[2])
    G = H // H_kv
    for i in prange(N):
        if sequence_of[i] < 0:
            continue
        s, following = sequence_of[i], max(sequence_of[min(i + 1, N - 1)], 0)
        length = U(positions[i] + 1)
        blocks = (length + size - U(1)) // size
        scores = np.empty((G, length), np.float32)
        sums = np.empty((H, D), np.float32)
        for h in range(H_kv):
            first = h * G
            for b in range(blocks):
                block, start, later = U(tables[s, b]), b * size, U(tables[following, b])
                for place in range(min(size, length - start)):
                    prefetch(keys[later, place, h])
                    for g in range(G):
                        total = np.float32(0)
                        for d in range(D):
                            total += q[i, first + g, d] * widen(keys[block, place, h, d])
                        scores[g, start + place] = total
            for g in range(G):
                highest = scores[g, 0]
                for j in range(length):
                    highest = max(highest, scores[g, j])
                mass = np.float32(0)
                for j in range(length):
                    weight = exponential(scores[g, j] - highest)
                    scores[g, j] = weight
                    mass += weight
                inverse = np.float32(1) / mass
                for j in range(length):
                    scores[g, j] *= inverse
                for d in range(D):
                    sums[first + g, d] = np.float32(0)
            for b in range(blocks):
                block, start, later = U(tables[s, b]), b * size, U(tables[following, b])
                places = min(size, length - start)
                for place in range(places):
                    prefetch(values[later, place, h])
                fours = places // FOUR * FOUR
                for place in range(U(0), fours, FOUR):  # the sums are read and written less often
                    p1, p2, p3 = place + U(1), place + U(2), place + U(3)
                    for g in range(G):
                        w0, w1 = scores[g, start + place], scores[g, start + p1]
                        w2, w3 = scores[g, start + p2], scores[g, start + p3]
                        for d in range(D):
                            first_two = w0 * widen(values[block, place, h, d]) + w1 * widen(
                                values[block, p1, h, d]
                            )
                            last_two = w2 * widen(values[block, p2, h, d]) + w3 * widen(
                                values[block, p3, h, d]
                            )
                            sums[first + g, d] += first_two + last_two
                for place in range(fours, places):
                    for g in range(G):
                        weight = scores[g, start + place]
                        for d in range(D):
                            sums[first + g, d] += weight * widen(values[block, place, h, d])
        store(sums.reshape(H * D), out, scales, i)


@njit(parallel=True, fastmath=True, cache=True)
def silu_multiply(gate_up: Any, gate_up_scales: Any, out: Any, scales: Any) -> None:
    """``silu(gate) * up`` of a joint product (N, 2 F): gate first, then up; ``out`` (N, F)."""
    N, F = out.shape
    for i in prange(N):
        row = np.empty(F, np.float32)
        for f in range(F):
            gate = scaled(gate_up[i, f], gate_up_scales, i)
            silu = gate / (np.float32(1) + exponential(-gate))
            row[f] = silu * scaled(gate_up[i, F + f], gate_up_scales, i)
        store(row, out, scales, i)


@njit(parallel=True, fastmath=True, cache=True)
def store_rows(x: Any, out: Any, scales: Any) -> None:
    """Put rows ``x`` (N, C) of float32 into ``out``, in its form."""
    for i in prange(x.shape[0]):
        store(x[i], out, scales, i)


@njit(parallel=True, fastmath=True, cache=True)
def scale_rows(x: Any, scales: Any) -> None:
    """``x[i] *= scales[i]`` for ``x`` (N, C) float32."""
    for i in prange(x.shape[0]):
        for c in range(x.shape[1]):
            x[i, c] *= scales[i]


@njit(parallel=True, fastmath=True, cache=True)
def highest_logits(logits: Any, out: Any) -> None:
    """The first index of each row's highest value; ``logits`` (N, V) float32, ``out`` (N,) int64.

    Found in pieces: a loop that keeps an index beside the maximum would not vectorise.
    """
    bits = logits.view(np.int32)
    for i in prange(bits.shape[0]):
        row = bits[i]
        highest, piece = highest_ordered(row[:256]), 0
        for start in range(256, row.shape[0], 256):
            best = highest_ordered(row[start : start + 256])
            if best > highest:
                highest, piece = best, start
        for t in range(piece, row.shape[0]):
            if ordered(row[t]) == highest:
                out[i] = t
                break


@njit(parallel=True, fastmath=True, cache=True)
def sharpen_highest(logits: Any, hidden: Any, head: Any) -> None:
    """Compute again the logits (N, V) that may be the highest, from ``hidden`` (N, C) float32.

    ``head`` (V, C) holds the bits of bfloat16. Rounded to its 8 bits, a product is off by less than
    a hundredth: what is further than twice that below the highest cannot be the highest.
    """
    N, V = logits.shape
    for i in prange(N):
        highest = logits[i, 0]
        for t in range(1, V):
            highest = max(highest, logits[i, t])
        lowest = highest - np.float32(0.02) * abs(highest) - np.float32(0.1)
        for t in range(V):
            if logits[i, t] >= lowest:
                total = np.float32(0)
                for c in range(hidden.shape[1]):
                    total += hidden[i, c] * widen(head[t, c])
                logits[i, t] = total
