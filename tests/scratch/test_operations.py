"""Every operation against torch in float64, over drawn shapes, strides and broadcasts."""

import math
from collections.abc import Callable
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.scratch import elementwise, reductions
from groundup.scratch.batch_norm import BatchNorm
from groundup.scratch.conv2d import conv2d
from groundup.scratch.cross_entropy import cross_entropy
from groundup.scratch.dropout import dropout
from groundup.scratch.embedding import embedding
from groundup.scratch.layer_norm import layer_norm
from groundup.scratch.linear import linear
from groundup.scratch.max_pool2d import max_pool2d
from groundup.scratch.self_attention import SelfAttention
from groundup.scratch.softmax import log_softmax, softmax
from groundup.scratch.tensor import Array, Tensor, unbroadcast
from tests.scratch.against_torch import LAYOUTS, agree, laid_out

drawn = settings(max_examples=30, deadline=None, derandomize=True)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=5)
SEEDS = st.integers(0, 2**32 - 1)
PAIRS = hnp.mutually_broadcastable_shapes(
    num_shapes=2, min_dims=0, max_dims=4, min_side=1, max_side=5
)


def normal(shape: tuple[int, ...], seed: int, layout: str = "C") -> Array:
    values = np.random.default_rng([seed, len(shape)]).standard_normal(shape)
    return laid_out(np.asarray(values), layout)


def away_from_zero(x: Array) -> Array:
    return x + np.copysign(0.1, x)


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x / y,
}


@pytest.mark.parametrize("name", BINARY)
@drawn
@given(PAIRS, SEEDS, LAYOUTS, LAYOUTS)
def test_operators_broadcast(
    name: str, shapes: hnp.BroadcastableShapes, seed: int, one: str, other: str
) -> None:
    x, y = shapes.input_shapes
    denominator = laid_out(np.asarray(away_from_zero(normal(y, seed + 1))), other)
    agree(BINARY[name], BINARY[name], normal(x, seed, one), denominator)


UNARY: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[torch.Tensor], torch.Tensor]]] = {
    "negative": (lambda x: -x, lambda x: -x),
    "square": (lambda x: x**2, lambda x: x**2),
    "cube root of the size": (lambda x: (x * x) ** (1 / 3), lambda x: (x * x) ** (1 / 3)),
    "reciprocal": (lambda x: x**-1, lambda x: x**-1),
    "power 0": (lambda x: (x * 0) ** 0, lambda x: (x * 0) ** 0),
    "numbers beside it": (lambda x: 2 - 3 * (1 / x) + x / 4, lambda x: 2 - 3 * (1 / x) + x / 4),
    "exp": (elementwise.exp, torch.exp),
    "log": (lambda x: elementwise.log(x * x), lambda x: torch.log(x * x)),
    "sqrt": (lambda x: elementwise.sqrt(x * x), lambda x: torch.sqrt(x * x)),
    "tanh": (elementwise.tanh, torch.tanh),
    "sigmoid": (elementwise.sigmoid, torch.sigmoid),
    "relu": (elementwise.relu, torch.relu),
    "used twice": (lambda x: (b := x + x) * b + b, lambda x: (b := x + x) * b + b),
}


@pytest.mark.parametrize("name", UNARY)
@drawn
@given(SHAPES, SEEDS, LAYOUTS)
def test_functions_of_each_element(
    name: str, shape: tuple[int, ...], seed: int, layout: str
) -> None:
    x = laid_out(np.asarray(away_from_zero(normal(shape, seed))), layout)
    agree(*UNARY[name], x)


@drawn
@given(
    hnp.mutually_broadcastable_shapes(signature="(m?,k),(k,n?)->(m?,n?)", max_dims=2, max_side=4),
    SEEDS,
    LAYOUTS,
    LAYOUTS,
)
def test_matmul_of_matrices_stacks_and_vectors(
    shapes: hnp.BroadcastableShapes, seed: int, one: str, other: str
) -> None:
    x, y = shapes.input_shapes
    agree(lambda a, b: a @ b, torch.matmul, normal(x, seed, one), normal(y, seed + 1, other))


REDUCTIONS: dict[str, tuple[Callable[..., Tensor], Callable[..., torch.Tensor]]] = {
    "sum": (Tensor.sum, torch.sum),
    "mean": (reductions.mean, torch.mean),
    "variance": (
        reductions.variance,
        lambda x, axis, keepdim: torch.var(x, axis, correction=0, keepdim=keepdim),
    ),
    "amax": (reductions.amax, torch.amax),
}


@pytest.mark.parametrize("name", REDUCTIONS)
@drawn
@given(st.data(), SEEDS, LAYOUTS, st.booleans())
def test_reductions(name: str, data: st.DataObject, seed: int, layout: str, keepdims: bool) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
    axis = data.draw(hnp.valid_tuple_axes(len(shape), min_size=1) | st.integers(-len(shape), -1))
    ours, theirs = REDUCTIONS[name]
    x = normal(shape, seed, layout)
    agree(
        lambda x: ours(x, axis, keepdims),
        lambda x: theirs(x, axis, keepdim=keepdims),
        x,
    )
    agree(lambda x: ours(x), lambda x: theirs(x, tuple(range(x.ndim)), keepdim=False), x)


def test_equal_maxima_share_the_gradient() -> None:
    x = np.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    agree(lambda x: reductions.amax(x, 1), lambda x: torch.amax(x, 1), x)


@drawn
@given(st.data(), SEEDS, LAYOUTS)
def test_indexing(data: st.DataObject, seed: int, layout: str) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=5))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    x = normal(shape, seed, layout)
    expected = np.asarray(x[index])
    leaf = Tensor(x, requires_grad=True)
    result = leaf[index]
    np.testing.assert_array_equal(result.data, expected)
    if result.data.size and result.ndim:  # of a single element NumPy gives a copy
        assert np.shares_memory(result.data, x)
    g = normal(expected.shape, seed + 1)
    result.backward(g)
    wanted = np.zeros_like(x)
    wanted[index] = g  # torch knows no negative steps; basic indices name no element twice
    assert leaf.grad is not None
    np.testing.assert_array_equal(leaf.grad, wanted)


@drawn
@given(st.data(), SEEDS)
def test_indexing_by_arrays_adds_up_what_is_named_twice(data: st.DataObject, seed: int) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4))
    index = data.draw(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2)))
    # torch.tensor would take a tuple of arrays for one array
    theirs = tuple(torch.from_numpy(i.astype(np.int64)) for i in index)
    agree(lambda x: x[index], lambda x: x[theirs], normal(shape, seed))


def test_indexing_by_booleans_and_by_both_kinds() -> None:
    x = normal((4, 3), 0)
    mask = x > 0
    agree(lambda x: x[mask], lambda x: x[torch.from_numpy(mask)], x)
    rows = np.array([0, 0, 3])
    agree(lambda x: x[rows, 1:], lambda x: x[torch.from_numpy(rows), 1:], x)
    agree(lambda x: x[[2, 2]], lambda x: x[[2, 2]], x)
    agree(lambda x: x[True], lambda x: x[True], x)


@drawn
@given(st.data(), SEEDS, LAYOUTS)
def test_reshape_and_transpose(data: st.DataObject, seed: int, layout: str) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4))
    axes = data.draw(st.permutations(range(len(shape))))
    x = normal(shape, seed, layout)
    agree(lambda x: x.transpose(*axes), lambda x: x.permute(*axes), x)
    agree(lambda x: x.transpose(), lambda x: x.permute(*range(x.ndim)[::-1]), x)
    agree(lambda x: x.transpose(*axes).reshape(-1), lambda x: x.permute(*axes).reshape(-1), x)
    mixed = [axis - len(shape) if axis % 2 else axis for axis in axes]
    agree(lambda x: x.transpose(*mixed), lambda x: x.permute(*axes), x)


@pytest.mark.parametrize("pair", [(softmax, F.softmax), (log_softmax, F.log_softmax)])
@drawn
@given(hnp.array_shapes(max_dims=4, max_side=5), SEEDS, LAYOUTS, st.sampled_from([1.0, 1000.0]))
def test_softmax(pair: Any, shape: tuple[int, ...], seed: int, layout: str, size: float) -> None:
    ours, theirs = pair
    agree(ours, lambda x: theirs(x, dim=-1), laid_out(size * normal(shape, seed), layout))


@drawn
@given(st.integers(1, 8), st.integers(1, 8), SEEDS, LAYOUTS, st.sampled_from([1.0, 1000.0]))
def test_cross_entropy(N: int, C: int, seed: int, layout: str, size: float) -> None:
    labels = np.random.default_rng(seed).integers(C, size=N)
    agree(
        lambda x: cross_entropy(x, labels),
        lambda x: F.cross_entropy(x, torch.from_numpy(labels)),
        laid_out(size * normal((N, C), seed), layout),
    )


@drawn
@given(
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    st.integers(1, 5),
    st.integers(1, 5),
    SEEDS,
    LAYOUTS,
    LAYOUTS,
    st.booleans(),
)
def test_linear(
    leading: tuple[int, ...], i: int, o: int, seed: int, one: str, other: str, bias: bool
) -> None:
    arrays = [normal((*leading, i), seed, one), normal((o, i), seed + 1, other)]
    agree(linear, F.linear, *arrays, *([normal((o,), seed + 2, one)] if bias else []))


@drawn
@given(
    hnp.array_shapes(min_dims=0, max_dims=3, max_side=4),
    st.integers(1, 8),
    SEEDS,
    LAYOUTS,
    st.sampled_from([1e-5, 1e-2]),
)
def test_layer_norm(leading: tuple[int, ...], C: int, seed: int, layout: str, eps: float) -> None:
    arrays = normal((*leading, C), seed, layout), normal((C,), seed + 1), normal((C,), seed + 2)
    agree(
        lambda x, w, b: layer_norm(x, w, b, eps),
        lambda x, w, b: F.layer_norm(x, (C,), w, b, eps),
        *arrays,
        rtol=1e-7 if C == 1 else 1e-9,  # of a single feature nothing is left but rounding
    )


def batch_norms(C: int, seed: int, momentum: float) -> tuple[BatchNorm, torch.nn.BatchNorm2d]:
    """Both layers in float64, after some batches."""
    ours, theirs = BatchNorm(C, momentum), torch.nn.BatchNorm2d(C, momentum=momentum).double()
    for tensor in (ours.weight, ours.bias):
        tensor.data = tensor.data.astype(np.float64)
    ours.running_mean = ours.running_mean.astype(np.float64)
    ours.running_variance = ours.running_variance.astype(np.float64)
    assert theirs.running_mean is not None
    assert theirs.running_var is not None
    for step in range(2):
        x = 1 + 2 * normal((3, C, 2, 2), seed + step)
        ours(Tensor(x))
        theirs(torch.from_numpy(x))
    np.testing.assert_allclose(ours.running_mean, theirs.running_mean.numpy(), rtol=1e-9)
    np.testing.assert_allclose(ours.running_variance, theirs.running_var.numpy(), rtol=1e-9)
    return ours, theirs


@drawn
@given(
    st.tuples(st.integers(2, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    SEEDS,
    LAYOUTS,
    st.booleans(),
    st.sampled_from([0.1, 0.5]),
)
def test_batch_norm(
    shape: tuple[int, ...], seed: int, layout: str, training: bool, momentum: float
) -> None:
    ours, theirs = batch_norms(shape[1], seed, momentum)
    ours.train(training)
    theirs.train(training)

    def own(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ours.weight, ours.bias = weight, bias
        return ours(x)

    def other(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        mean, variance = theirs.running_mean, theirs.running_var
        return F.batch_norm(x, mean, variance, weight, bias, training, momentum, theirs.eps)

    C = shape[1]
    arrays = 1 + 2 * normal(shape, seed, layout), normal((C,), seed + 1), normal((C,), seed + 2)
    # Of a channel of two values nothing is left but their sign: the gradient in x is rounding.
    agree(own, other, *arrays, rtol=1e-9 if shape[0] * math.prod(shape[2:]) > 2 else 1e-6)


@drawn
@given(st.data(), SEEDS, LAYOUTS, LAYOUTS)
def test_conv2d(data: st.DataObject, seed: int, one: str, other: str) -> None:
    size = st.integers(1, 4)
    N, C, f, h, w = (data.draw(size) for _ in range(5))
    padding, stride = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
    H = data.draw(st.integers(max(1, h - 2 * padding), 7))
    W = data.draw(st.integers(max(1, w - 2 * padding), 7))
    arrays = [normal((N, C, H, W), seed, one), normal((f, C, h, w), seed + 1, other)]
    if data.draw(st.booleans()):
        arrays.append(normal((f,), seed + 2))
    agree(
        lambda *given: conv2d(*given, stride=stride, padding=padding),
        lambda x, w, b=None: F.conv2d(x, w, b, stride, padding),
        *arrays,
    )


@drawn
@given(st.data(), SEEDS, LAYOUTS, st.booleans())
def test_max_pool2d(data: st.DataObject, seed: int, layout: str, ties: bool) -> None:
    size, stride = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3) | st.none())
    H, W = (data.draw(st.integers(size, 7)) for _ in range(2))
    x = normal((data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)), H, W), seed)
    x = np.round(x) if ties else x
    agree(
        lambda x: max_pool2d(x, size, stride),
        lambda x: F.max_pool2d(x, size, stride),
        laid_out(x, layout),
    )


@pytest.mark.parametrize(("size", "stride"), [(2, 1), (3, 1), (3, 2)])
def test_windows_of_max_pool2d_that_overlap(size: int, stride: int) -> None:
    x = normal((2, 3, 7, 7), 0)
    agree(lambda x: max_pool2d(x, size, stride), lambda x: F.max_pool2d(x, size, stride), x)


@drawn
@given(
    hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=3), elements=st.integers(0, 4)),
    st.integers(1, 4),
    SEEDS,
    LAYOUTS,
)
def test_embedding(ids: Any, C: int, seed: int, layout: str) -> None:
    agree(
        lambda weight: embedding(ids, weight),
        lambda weight: F.embedding(torch.from_numpy(np.asarray(ids)), weight),
        normal((5, C), seed, layout),
    )


@drawn
@given(SHAPES, SEEDS, LAYOUTS, st.sampled_from([0.0, 0.25, 0.9]))
def test_dropout_multiplies_by_its_mask(
    shape: tuple[int, ...], seed: int, layout: str, p: float
) -> None:
    ones = Tensor(np.ones(shape))
    mask = dropout(ones, p, np.random.default_rng(seed)).data
    assert set(np.unique(mask)) <= {0.0, 1 / (1 - p)}
    agree(
        lambda x: dropout(x, p, np.random.default_rng(seed)) * 1,
        lambda x: x * torch.from_numpy(mask),
        laid_out(away_from_zero(normal(shape, seed)), layout) if shape else normal((), seed),
    )


def test_dropout_keeps_the_share_that_it_says() -> None:
    kept = dropout(Tensor(np.ones(100_000)), 0.3, np.random.default_rng(0)).data > 0
    assert abs(kept.mean() - 0.7) < 5 * math.sqrt(0.3 * 0.7 / 100_000)


@pytest.mark.parametrize("causal", [False, True])
@drawn
@given(st.integers(1, 3), st.integers(1, 5), st.sampled_from([1, 2, 3]), SEEDS)
def test_self_attention(causal: bool, B: int, T: int, heads: int, seed: int) -> None:
    C = 2 * heads
    layer = SelfAttention(C, heads, rng=np.random.default_rng(seed), causal=causal)

    def ours(x: Tensor, *weights: Tensor) -> Tensor:
        layer.qkv.weight, layer.qkv.bias, layer.out.weight, layer.out.bias = weights
        return layer(x)

    def theirs(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        qkv = F.linear(x, weights[0], weights[1]).view(B, T, 3, heads, 2)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return F.linear(mixed.transpose(1, 2).reshape(B, T, C), weights[2], weights[3])

    shapes = (B, T, C), (3 * C, C), (3 * C,), (C, C), (C,)
    agree(ours, theirs, *(normal(shape, seed + i) for i, shape in enumerate(shapes)))


@drawn
@given(PAIRS, SEEDS)
def test_unbroadcast_is_the_sum_over_repetitions(
    shapes: hnp.BroadcastableShapes, seed: int
) -> None:
    shape, whole = shapes.input_shapes[0], shapes.result_shape
    x = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    g = normal(whole, seed)
    (x.broadcast_to(whole) * torch.from_numpy(g)).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(unbroadcast(g, shape), x.grad.numpy(), rtol=1e-9, atol=1e-12)
    assert unbroadcast(g, whole) is g


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dtypes_are_kept(dtype: Any) -> None:
    """No operation widens or narrows what it is given, on the way forward or back."""
    rng = np.random.default_rng(0)

    def leaf(*shape: int) -> Tensor:
        return Tensor(rng.standard_normal(shape).astype(dtype) + 2, requires_grad=True)

    x, images, weight, four = leaf(2, 4), leaf(2, 1, 4, 4), leaf(4, 4), leaf(4)
    results = [
        *(f(x, x) for f in BINARY.values()),
        *(ours(x) for name, (ours, _) in UNARY.items()),
        *(ours(x) for ours, _ in REDUCTIONS.values()),
        x @ weight, x[0], x[[0, 0]], x.reshape(8), x.transpose(), softmax(x), log_softmax(x),
        cross_entropy(x, np.array([0, 1])), linear(x, weight, four), layer_norm(x, four, four),
        conv2d(images, leaf(3, 1, 3, 3), leaf(3), padding=1), max_pool2d(images, 2),
        embedding(np.array([1, 1]), weight), dropout(x, 0.5, rng),
    ]  # fmt: skip
    for result in results:
        assert result.dtype == dtype
        result.sum().backward()
    for tensor in (x, images, weight, four):
        assert tensor.grad is not None
        assert tensor.grad.dtype == dtype
