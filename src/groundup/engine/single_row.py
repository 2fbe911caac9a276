"""A single token through a layer in one compiled call.

The passes are those of a batch (`groundup.engine.cpu_kernels`). Called one by one from Python, the
calls and the rows between them took as long as half of the products (docs/lab-notes.md).

Numba keeps what it compiled until this file changes, with the passes and products of other files in
it: whoever changes one of those deletes `__pycache__/*.nb?` too.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numba.extending import overload
from numpy.typing import NDArray

from groundup.engine import cpu_kernels
from groundup.engine.packed_matrix import Stored, multiply_row

__all__ = ["LayerWeights", "read_single_row"]

Floats = NDArray[np.float32]

# A single row gives several threads nothing to do, but waking them would take longer than a pass.
add_rms_norm, rotate_and_store, paged_attention, silu_multiply = (
    njit(fastmath=True)(kernel.py_func)
    for kernel in (
        cpu_kernels.add_rms_norm, cpu_kernels.rotate_and_store,
        cpu_kernels.paged_attention, cpu_kernels.silu_multiply,
    )
)  # fmt: skip


class LayerWeights(NamedTuple):
    """A block's weights: matrices as `PackedMatrix.stored` has them, vectors in float32 or None."""

    attention_norm: Floats
    qkv: Stored
    bias: Floats | None
    q_norm: Floats | None
    k_norm: Floats | None
    output: Stored
    output_bias: Floats | None
    feed_forward_norm: Floats
    gate_up: Stored
    down: Stored


def room(matrix: Any, width: Any) -> Any:
    """A row (1, width) in the form in which a matrix wants it, and room for its scale, if any."""
    raise NotImplementedError  # compiled only


@overload(room)
def _room(matrix: Any, width: Any) -> Any:
    def floats(matrix: Any, width: Any) -> Any:
        return np.empty((1, width), np.float32), None

    def integers(matrix: Any, width: Any) -> Any:
        return np.empty((1, width), np.int16), np.empty(1, np.float32)

    return floats if len(matrix) == 1 else integers


@njit(fastmath=True, cache=True)
def read_single_row(
    x: Any, delta: Any, delta_scales: Any, layer: Any, eps: Any, cos: Any, sin: Any,
    position: Any, slot: Any, keys: Any, values: Any, table: Any, q: Any,
) -> Any:  # fmt: skip
    """Read one row with a layer; see `cpu_kernels` for what the arrays are.

    Returns:
        What is still to be added to ``x`` (1, C), and its scale (1,), if any.
    """
    H, D = q.shape[1], q.shape[2]
    flat = (keys.shape[0] * keys.shape[1], keys.shape[2], D)
    owner = np.zeros(1, np.int64)
    row, scales = room(layer.qkv, x.shape[1])
    add_rms_norm(x, delta, delta_scales, None, layer.attention_norm, eps, row, scales)
    qkv = multiply_row(layer.qkv, row[0]).reshape(1, -1)
    rotate_and_store(
        qkv, scales, layer.bias, layer.q_norm, layer.k_norm, eps, cos, sin, position, slot,
        keys.reshape(flat), values.reshape(flat), q,
    )  # fmt: skip
    row, scales = room(layer.output, H * D)
    paged_attention(q, keys, values, table, owner, position, row, scales)
    output = multiply_row(layer.output, row[0]).reshape(1, -1)
    row, next_scales = room(layer.gate_up, x.shape[1])
    add_rms_norm(
        x, output, scales, layer.output_bias, layer.feed_forward_norm, eps, row, next_scales
    )
    gate_up = multiply_row(layer.gate_up, row[0]).reshape(1, -1)
    row, scales = room(layer.down, gate_up.shape[1] // 2)
    silu_multiply(gate_up, next_scales, row, scales)
    return multiply_row(layer.down, row[0]).reshape(1, -1), scales
