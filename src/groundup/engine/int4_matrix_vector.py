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

from groundup.engine.cpu_kernels import largest_magnitude
from groundup.models.huge_pages import in_huge_pages
from groundup.quantization.grouped_int4 import GroupedInt4

__all__ = ["PackedInt4", "matrix_vector_int4", "pack_int4"]

GROUP = 32  # weights that share a scale, and numbers of the row that do
ROWS = 8  # rows of the matrix that are multiplied together: a sum of 32 bits for each, 256 bits
STEPS = GROUP // 4  # four products are added to each sum in one instruction
WEIGHTS = ROWS * GROUP // 2  # bytes

# (rows / 8, groups, 160) uint8: for 8 rows and a group of columns their weights, the 8 scales and
# the 8 minima, both in float16. Behind the last row there may be rows of zeros.
PackedInt4 = NDArray[np.uint8]


def pack_int4(weight: GroupedInt4) -> PackedInt4:
    """Order a matrix for `matrix_vector_int4`.

    Of a group's columns, the first half lies in the lower bits of its bytes and the second in the
    upper ones. The bytes of four columns lie together, row after row: a register has those of all.

    Raises:
        ValueError: its groups are not of 32.
    """
    if weight.group != GROUP:
        raise ValueError(f"expected groups of {GROUP}, got groups of {weight.group}")
    N, groups = weight.scale.shape
    missing = -N % ROWS
    q = F.pad(weight.q, (0, 0, 0, missing)).view(-1, ROWS, groups, 2, STEPS // 2, 4)
    q = (q[:, :, :, 0] | q[:, :, :, 1] << 4).permute(0, 2, 3, 1, 4)  # (N/8, groups, 4, 8, 4)
    grids = F.pad(torch.stack([weight.scale, weight.minimum]), (0, 0, 0, missing)).half()
    grids = grids.view(2, -1, ROWS, groups).permute(1, 3, 0, 2).contiguous()
    tiles = torch.cat([q.reshape(-1, groups, WEIGHTS), grids.view(torch.uint8).flatten(2)], 2)
    return in_huge_pages(tiles).numpy()


def has_vnni(context: Any) -> bool:
    """Whether what is compiled may multiply bytes: "vector neural network instructions" of x86."""
    features = {*context.codegen().magic_tuple()[2].split(",")}
    return "+avxvnni" in features or {"+avx512vnni", "+avx512vl"} <= features


@intrinsic
def multiply_tiles(_: Any, tiles: Any, x: Any, scales: Any, sums: Any, y: Any) -> Any:
    """8 rows (groups, 160) of a packed matrix times int8 ``x`` (32 groups,), into ``y`` (8,).

    ``scales`` (groups,) are those of ``x``, and ``sums`` the sums of its groups, scaled.

    Numba's own loops do not become the instruction that is meant here, which multiplies bytes, some
    with a sign and some without, and adds four products to a sum.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def vector(element: Any, lanes: int) -> Any:
            return ir.VectorType(element, lanes)

        def every(kind: Any, value: Any) -> Any:
            return ir.Constant(kind, [value] * kind.count)

        def pick(source: Any, lanes: Any) -> Any:
            chosen = list(lanes)
            return builder.shuffle_vector(
                source, source, ir.Constant(vector(i32, len(chosen)), chosen)
            )

        def add_product(total: Any, a: Any, b: Any) -> None:
            product = builder.fmul(a, b, flags=["fast"])
            builder.store(builder.fadd(builder.load(total), product, flags=["fast"]), total)

        f32 = ir.FloatType()
        i8, i16, i32, i64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
        floats, integers = vector(f32, ROWS), vector(i32, ROWS)
        bytes_, shorts = vector(i8, 4 * ROWS), vector(i16, 4 * ROWS)
        arrays = [
            context.make_array(kind)(context, builder, array)
            for kind, array in zip(signature.args, arguments, strict=True)
        ]
        pointers = [array.data for array in arrays]
        (groups,) = cgutils.unpack_tuple(builder, arrays[2].shape)
        vnni = has_vnni(context)

        def multiply_add(total: Any, q: Any, factors: Any) -> Any:
            if vnni:
                kind = ir.FunctionType(integers, [integers] * 3)
                name = "llvm.x86.avx512.vpdpbusd.256"
                function = cgutils.get_or_insert_function(builder.module, kind, name)
                q, factors = builder.bitcast(q, integers), builder.bitcast(factors, integers)
                return builder.call(function, [total, q, factors])
            # At most 15 x 127 each, and eight of them: that fits into 16 bits.
            product = builder.mul(builder.zext(q, shorts), builder.sext(factors, shorts))
            return builder.add(total, product)

        scaled = cgutils.alloca_once_value(builder, every(floats, 0.0))
        minima = cgutils.alloca_once_value(builder, every(floats, 0.0))
        with cgutils.for_range(builder, groups) as loop:

            def load(array: int, each: int, first: int, kind: Any) -> Any:
                """From an array that has ``each`` elements for a group, some from ``first`` on."""
                index = builder.add(builder.mul(loop.index, i64(each)), i64(first))
                place = builder.gep(pointers[array], [index])
                return builder.load(builder.bitcast(place, kind.as_pointer()), align=2)

            def repeated(array: int, each: int, first: int, kind: Any) -> Any:
                one = vector(kind, 1)
                return pick(load(array, each, first, one), [0] * ROWS)

            total = every(integers if vnni else shorts, 0)
            for step in range(STEPS // 2):
                both = load(0, WEIGHTS + 4 * ROWS, 4 * ROWS * step, bytes_)
                low = builder.and_(both, every(bytes_, 15))
                high = builder.lshr(both, every(bytes_, 4))
                for q, column in ((low, 4 * step), (high, GROUP // 2 + 4 * step)):
                    factors = builder.bitcast(repeated(1, GROUP, column, i32), bytes_)
                    total = multiply_add(total, q, factors)
            if not vnni:
                wide = builder.sext(total, vector(i32, 4 * ROWS))
                quarters = [pick(wide, range(part, 4 * ROWS, 4)) for part in range(4)]
                total = builder.add(builder.add(*quarters[:2]), builder.add(*quarters[2:]))
            half = vector(ir.HalfType(), ROWS)
            scale, minimum = (
                builder.fpext(load(0, WEIGHTS + 4 * ROWS, WEIGHTS + first, half), floats)
                for first in (0, 2 * ROWS)
            )
            scale = builder.fmul(scale, repeated(2, 1, 0, f32), flags=["fast"])
            add_product(scaled, builder.sitofp(total, floats), scale)
            add_product(minima, minimum, repeated(3, 1, 0, f32))
        result = builder.fadd(builder.load(scaled), builder.load(minima), flags=["fast"])
        builder.store(result, builder.bitcast(pointers[4], floats.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(tiles, x, scales, sums, y), generate


@njit(parallel=True, fastmath=True, cache=True)
def matrix_vector_int4(tiles: Any, x: Any) -> Any:
    """``weight @ x`` for a weight (N, K) as `pack_int4` orders it, float32 ``x`` (K,).

    Returns:
        (N,), and zeros behind it where N is not a multiple of 8.
    """
    groups = tiles.shape[1]
    rounded = np.empty(GROUP * groups, np.int8)
    scales = np.empty(groups, np.float32)
    sums = np.empty(groups, np.float32)
    for group in range(groups):
        numbers = x[group * GROUP : (group + 1) * GROUP]
        scale = max(largest_magnitude(numbers), np.float32(1e-30)) / np.float32(127)
        inverse = np.float32(1) / scale
        total = np.int32(0)
        for c in range(GROUP):
            number = np.int32(np.floor(numbers[c] * inverse + np.float32(0.5)))
            rounded[group * GROUP + c] = np.int8(number)
            total = np.int32(total + number)
        scales[group] = scale
        sums[group] = scale * np.float32(total)
    y = np.empty(tiles.shape[0] * ROWS, np.float32)
    for tile in prange(tiles.shape[0]):
        multiply_tiles(tiles[tile].reshape(-1), rounded, scales, sums, y[tile * ROWS :])
    return y
