"""The oracle is the gguf package, bit for bit."""

from typing import Any

import gguf.quants
import numpy as np
import pytest
from gguf import GGMLQuantizationType
from numpy.typing import NDArray

from groundup.models.dequantize import dequantize
from groundup.models.fetch import fetch
from groundup.models.gguf import BLOCK_SIZES, GGMLType, read_gguf

QUANTISABLE = [GGMLType.BF16, GGMLType.Q8_0, GGMLType.Q4_0, GGMLType.Q4_1]
BLOCKED = [GGMLType.Q8_0, GGMLType.Q4_0, GGMLType.Q4_1, GGMLType.Q4_K, GGMLType.Q6_K]

# Where the float16 numbers of a block begin, in bytes.
SCALES = {
    GGMLType.Q8_0: [0],
    GGMLType.Q4_0: [0],
    GGMLType.Q4_1: [0, 2],
    GGMLType.Q4_K: [0, 2],
    GGMLType.Q6_K: [208],
}


def oracle(raw: NDArray[np.uint8], kind: GGMLType, shape: tuple[int, ...]) -> NDArray[np.float32]:
    weights: NDArray[Any] = gguf.quants.dequantize(raw, GGMLQuantizationType(int(kind)))
    return weights.reshape(shape)


def assert_same_bits(got: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got.view(np.uint32), expected.view(np.uint32))


def random_blocks(kind: GGMLType, count: int, scales: NDArray[np.float16]) -> NDArray[np.uint8]:
    """Blocks of random bits, each float16 of which is drawn from ``scales``."""
    rng = np.random.default_rng(kind)
    blocks = rng.integers(0, 256, (count, BLOCK_SIZES[kind][1]), dtype=np.uint8)
    for start in SCALES[kind]:
        drawn = rng.choice(scales, (count, 1))
        blocks[:, start : start + 2] = drawn.view(np.uint8)
    return blocks.reshape(-1)


@pytest.mark.parametrize("shape", [(256,), (3, 512), (2, 5, 256), (700, 768)])
@pytest.mark.parametrize("kind", QUANTISABLE)
def test_quantised_weights_match_gguf(kind: GGMLType, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    raw = gguf.quants.quantize(x, GGMLQuantizationType(int(kind))).reshape(-1)
    got = dequantize(raw, kind, shape)
    assert_same_bits(got, oracle(raw, kind, shape))
    assert np.abs(got - x).max() < 0.5  # the weights themselves, up to the rounding of four bits


@pytest.mark.parametrize("rows", [1, 7, 300])
@pytest.mark.parametrize("kind", BLOCKED)
def test_blocks_of_random_bits_match_gguf(kind: GGMLType, rows: int) -> None:
    scales = np.random.default_rng(1).standard_normal(1000).astype(np.float16)
    raw = random_blocks(kind, 2 * rows, scales)
    shape = (rows, 2 * BLOCK_SIZES[kind][0])
    assert_same_bits(dequantize(raw, kind, shape), oracle(raw, kind, shape))


@pytest.mark.parametrize("scale", [0.0, -0.0, -1.5, 65504.0, -65504.0, 2.0**-24])
@pytest.mark.parametrize("kind", BLOCKED)
def test_extreme_scales_match_gguf(kind: GGMLType, scale: float) -> None:
    raw = random_blocks(kind, 50, np.array([scale], np.float16))
    shape = (50 * BLOCK_SIZES[kind][0],)
    assert_same_bits(dequantize(raw, kind, shape), oracle(raw, kind, shape))


@pytest.mark.parametrize("byte", [0x00, 0x7F, 0x80, 0xFF])
@pytest.mark.parametrize("kind", BLOCKED)
def test_extreme_quants_match_gguf(kind: GGMLType, byte: int) -> None:
    weights, size = BLOCK_SIZES[kind]
    block = np.full(size, byte, np.uint8)
    for start, scale in zip(SCALES[kind], (0.75, -3.0), strict=False):
        block[start : start + 2] = np.array([scale], np.float16).view(np.uint8)
    assert_same_bits(dequantize(block, kind, (weights,)), oracle(block, kind, (weights,)))


def test_a_q4_1_block_worked_by_hand() -> None:
    """Scale 0.5 and minimum -1; byte 0 holds 1 (weight 0) and 15 (weight 16), the rest zeros."""
    halves = np.array([0.5, -1.0], np.float16).view(np.uint8)
    raw = np.concatenate([halves, [0xF1], np.zeros(15)]).astype(np.uint8)
    expected = np.full(32, -1.0)
    expected[0], expected[16] = -0.5, 6.5
    np.testing.assert_array_equal(dequantize(raw, GGMLType.Q4_1, (32,)), expected)


def test_every_bfloat16_is_the_float32_with_its_upper_half() -> None:
    halves = np.arange(2**16, dtype=np.uint16)
    got = dequantize(halves.view(np.uint8), GGMLType.BF16, (2**16,))
    np.testing.assert_array_equal(got.view(np.uint32), np.arange(2**16, dtype=np.uint32) * 2**16)


@pytest.mark.parametrize("kind", [GGMLType.F32, GGMLType.F16])
def test_stored_floats_keep_their_values(kind: GGMLType) -> None:
    dtype = np.float32 if kind is GGMLType.F32 else np.float16
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(dtype)
    x[0] = np.array([0.0, -0.0, np.inf, np.finfo(dtype).tiny, 1.0, -2.0], dtype)
    got = dequantize(x.reshape(-1).view(np.uint8), kind, (4, 6))
    assert_same_bits(got, x.astype(np.float32))


@pytest.mark.parametrize("kind", GGMLType)
def test_the_result_is_new_writable_memory(kind: GGMLType) -> None:
    raw = np.zeros(2 * BLOCK_SIZES[kind][1], np.uint8)
    raw.flags.writeable = False
    got = dequantize(raw, kind, (2, BLOCK_SIZES[kind][0]))
    assert got.flags.writeable
    assert got.flags.c_contiguous
    assert not np.shares_memory(got, raw)


@pytest.mark.parametrize("kind", GGMLType)
@pytest.mark.parametrize("extra", [-1, 1])
def test_too_few_or_too_many_bytes_are_refused(kind: GGMLType, extra: int) -> None:
    weights, size = BLOCK_SIZES[kind]
    for count in (4 * size + extra, (4 + extra) * size):
        with pytest.raises(ValueError, match="size"):
            dequantize(np.zeros(count, np.uint8), kind, (4, weights))


@pytest.mark.parametrize(
    "name", ["blk.3.ffn_down.weight", "blk.0.attn_k.weight", "output_norm.weight"]
)
def test_weights_of_the_chat_model_match_gguf(name: str) -> None:
    tensor = read_gguf(fetch("smollm2-135m-instruct")).tensors[name]
    got = dequantize(tensor.raw, tensor.type, tensor.shape)
    assert_same_bits(got, oracle(tensor.raw, tensor.type, tensor.shape))
    assert np.abs(got).max() > 0
