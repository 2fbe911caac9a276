"""A 4-bit matrix times one row: read as it is stored, and unpacked in the processor's registers."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from llvmlite import ir
from numba import njit, prange
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from groundup.models.huge_pages import in_huge_pages
from groundup.quantization.grouped_int4 import GroupedInt4

__all__ = ["PackedInt4", "matrix_vector_int4", "pack_int4"]

GROUP = 32  # weights that share a scale
BLOCK = 128  # weights that are unpacked together: 32 words of four, a register of 512 bits

# words (N, 32 blocks) uint16, and (N, 8 blocks) float32: for each block its four groups' scales and
# their minima. Behind the last of K weights there may be zeros.
PackedInt4 = tuple[NDArray[np.uint16], NDArray[np.float32]]


def pack_int4(weight: GroupedInt4) -> PackedInt4:
    """Order a matrix for `matrix_vector_int4`.

    Word l of a block holds weight l of each of its groups, from the lowest bits on: a mask finds
    those of a group. They stay where they are, 1, 16 or 256 times too great, and the scales have it
    back; but the last group's are shifted, because the highest bit is a sign.

    Raises:
        ValueError: its groups are not of 32.
    """
    if weight.group != GROUP:
        raise ValueError(f"expected groups of {GROUP}, got groups of {weight.group}")
    N, groups = weight.scale.shape
    missing = -groups % 4
    q = F.pad(weight.q.view(N, groups, GROUP), (0, 0, 0, missing)).view(N, -1, 4, GROUP)
    words = (q.int() << torch.arange(0, 16, 4)[:, None]).sum(2).to(torch.uint16)
    grids = F.pad(torch.stack([weight.scale, weight.minimum]), (0, missing)).view(2, N, -1, 4)
    grids[0] *= torch.tensor([1, 1 / 16, 1 / 256, 1])  # of weights that are not shifted
    grids = grids.permute(1, 2, 0, 3).reshape(N, -1)
    return (
        in_huge_pages(words.view(N, -1)).numpy(),
        in_huge_pages(grids).numpy(),
    )


@intrinsic
def dot_int4(_: Any, words: Any, grids: Any, x: Any, sums: Any, blocks: Any) -> Any:
    """A row of a packed matrix times int16 ``x`` (128 blocks,), ``sums`` those of its groups.

    Numba's own loops do not become the instructions that are meant here: for a group's weights a
    mask, and one that adds products in pairs. LLVM chooses those that the processor has.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def vector(element: Any, lanes: int) -> Any:
            return ir.VectorType(element, lanes)

        def every(element: Any, lanes: int, value: float) -> Any:
            return ir.Constant(vector(element, lanes), [value] * lanes)

        def pick(source: Any, lanes: Any) -> Any:
            chosen = list(lanes)
            return builder.shuffle_vector(
                source, source, ir.Constant(vector(i32, len(chosen)), chosen)
            )

        def multiply_add(total: Any, a: Any, b: Any) -> None:
            product = builder.fmul(a, b, flags=["fast"])
            builder.store(builder.fadd(builder.load(total), product, flags=["fast"]), total)

        f32 = ir.FloatType()
        i16, i32, i64 = (ir.IntType(bits) for bits in (16, 32, 64))
        *arrays, count = zip(signature.args, arguments, strict=True)
        pointers = [
            context.make_array(kind)(context, builder, array).data for kind, array in arrays
        ]
        # Two, so that an addition need not wait for the last one.
        totals = [cgutils.alloca_once_value(builder, every(f32, 16, 0.0)) for _ in range(2)]
        minima = cgutils.alloca_once_value(builder, every(f32, 4, 0.0))
        with cgutils.for_range(builder, count[1]) as loop:

            def load(array: int, each: int, first: int, element: Any, lanes: int) -> Any:
                """From an array that has ``each`` elements for a block, some from ``first`` on."""
                index = builder.add(builder.mul(loop.index, i64(each)), i64(first))
                place = builder.gep(pointers[array], [index])
                place = builder.bitcast(place, vector(element, lanes).as_pointer())
                return builder.load(place, align=2)

            words = load(0, 32, 0, i16, 32)
            last = builder.lshr(words, every(i16, 32, 12))
            for group in range(4):
                mask = every(i16, 32, 15 << 4 * group)
                q = last if group == 3 else builder.and_(words, mask)
                q = builder.zext(q, vector(i32, 32))
                factors = builder.sext(load(2, 128, 32 * group, i16, 32), vector(i32, 32))
                products = builder.mul(q, factors)
                pairs = builder.add(
                    pick(products, range(0, 32, 2)), pick(products, range(1, 32, 2))
                )
                scale = pick(load(1, 8, group, f32, 1), [0] * 16)
                multiply_add(totals[group % 2], builder.sitofp(pairs, vector(f32, 16)), scale)
            multiply_add(minima, load(1, 8, 4, f32, 4), load(3, 4, 0, f32, 4))

        def add_up(start: Any, lanes: Any, count: int) -> Any:
            kind = ir.FunctionType(f32, [f32, vector(f32, count)])
            name = f"llvm.vector.reduce.fadd.v{count}f32"
            add = cgutils.get_or_insert_function(builder.module, kind, name)
            return builder.call(add, [start, lanes], fastmath=["fast"])

        sums = builder.fadd(*map(builder.load, totals), flags=["fast"])
        return add_up(add_up(f32(0.0), builder.load(minima), 4), sums, 16)

    return types.float32(words, grids, x, sums, blocks), generate


@njit(parallel=True, fastmath=True, cache=True)
def matrix_vector_int4(words: Any, grids: Any, x: Any) -> Any:
    """``weight @ x`` for a weight (N, K) as `pack_int4` orders it, int16 ``x`` (K,)."""
    blocks = grids.shape[1] // 8
    padded = np.zeros(BLOCK * blocks, np.int16)
    padded[: x.shape[0]] = x
    sums = np.empty(4 * blocks, np.float32)
    for group in range(4 * blocks):
        total = np.int32(0)
        for k in range(group * GROUP, (group + 1) * GROUP):
            total = np.int32(total + np.int32(padded[k]))
        sums[group] = np.float32(total)
    y = np.empty(words.shape[0], np.float32)
    for row in prange(words.shape[0]):
        y[row] = dot_int4(words[row], grids[row], padded, sums, blocks)
    return y
