"""Checks of `groundup.scratch.self_attention`. Oracle: torch's attention in float64."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises
from groundup.course.grader.scratch_operation import Array, assert_operation, expectation
from groundup.scratch.tensor import Tensor

NAMES = ("x", "qkv.weight", "qkv.bias", "out.weight", "out.bias")


def normal(*shape: int, seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def arrays(B: int, T: int, C: int) -> tuple[Array, ...]:
    """x, then the weights and biases of both projections."""
    shapes = ((B, T, C), (3 * C, C), (3 * C,), (C, C), (C,))
    return tuple(normal(*shape, seed=i) for i, shape in enumerate(shapes))


def attended(heads: int, causal: bool) -> Callable[..., torch.Tensor]:
    def function(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        B, T, C = x.shape
        three = F.linear(x, weights[0], weights[1]).chunk(3, dim=-1)
        q, k, v = (part.view(B, T, heads, C // heads).transpose(1, 2) for part in three)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return F.linear(mixed.transpose(1, 2).reshape(B, T, C), weights[2], weights[3])

    return function


def compare(part: ModuleType, cases: list[tuple[int, int, int, int]], *, causal: bool) -> None:
    """Values and gradients for B, T, C and the number of heads."""
    expected = [expectation(attended(H, causal), *arrays(B, T, C)) for B, T, C, H in cases]
    for (B, T, C, H), want in zip(cases, expected, strict=True):
        layer = part.SelfAttention(C, H, rng=np.random.default_rng(0), causal=causal)

        def call(x: Tensor, *weights: Tensor, layer: object = layer) -> object:
            layer.qkv.weight, layer.qkv.bias, layer.out.weight, layer.out.bias = weights  # type: ignore[attr-defined]
            return layer(x)  # type: ignore[operator]

        what = f"the output for x ({B}, {T}, {C}) and {H} heads, causal={causal},"
        assert_operation(call, want, what=what, names=NAMES, rtol=1e-8)


def check_one_head(part: ModuleType) -> None:
    """One head: values, and the gradients of x and of both projections"""
    compare(part, [(1, 3, 4, 1), (2, 5, 3, 1)], causal=False)


def check_several_heads(part: ModuleType) -> None:
    """Several heads, each with features of its own"""
    compare(part, [(2, 4, 6, 2), (1, 5, 6, 3), (2, 3, 4, 4)], causal=False)


def check_causal(part: ModuleType) -> None:
    """With causal, a position asks those up to itself"""
    compare(part, [(2, 5, 4, 2), (1, 1, 4, 2), (1, 6, 3, 1)], causal=True)


def check_later_positions(part: ModuleType) -> None:
    """With causal, what comes later changes nothing before it"""
    layer = part.SelfAttention(6, 2, rng=np.random.default_rng(0), causal=True)
    x = normal(1, 7, 6)
    other = x.copy()
    other[:, 4:] = normal(1, 3, 6, seed=5)
    first, second = layer(Tensor(x)).data, layer(Tensor(other)).data
    what = "the output at the positions before the change"
    assert_close(second[:, :4], first[:, :4].copy(), rtol=1e-12, atol=1e-12, what=what)


def check_order_does_not_matter(part: ModuleType) -> None:
    """Without causal, positions that change places get the same answers"""
    layer = part.SelfAttention(6, 2, rng=np.random.default_rng(0))
    x, order = normal(1, 5, 6), np.array([3, 0, 4, 1, 2])
    first, second = layer(Tensor(x)).data, layer(Tensor(x[:, order])).data
    assert_close(second, first[:, order], rtol=1e-6, atol=1e-9, what="the output in another order")


def check_large_scores(part: ModuleType) -> None:
    """Large scores do not overflow"""
    arrays_ = tuple(100 * array for array in arrays(1, 4, 4))
    want = attended(2, True)(*map(torch.as_tensor, arrays_)).numpy()
    layer = part.SelfAttention(4, 2, rng=np.random.default_rng(0), causal=True)
    layer.qkv.weight, layer.qkv.bias, layer.out.weight, layer.out.bias = map(Tensor, arrays_[1:])
    got = layer(Tensor(arrays_[0])).data
    assert_close(got, want, rtol=1e-8, atol=1e-3, what="the output for large scores")


def check_layer(part: ModuleType) -> None:
    """The layer has two projections with biases, in float32"""
    layer = part.SelfAttention(6, 3, rng=np.random.default_rng(0))
    found = {name: array.shape for name, array in sorted(layer.state().items())}
    want = {"out.bias": (6,), "out.weight": (6, 6), "qkv.bias": (18,), "qkv.weight": (18, 6)}
    assert_equal(found, want, "the shapes of the layer's state")
    for causal in (False, True):
        layer.causal = causal
        out = layer(Tensor(normal(2, 3, 6).astype(np.float32)))
        assert_equal(str(out.dtype), "float32", f"the dtype of the output, causal={causal},")


def check_bad_heads(part: ModuleType) -> None:
    """Heads that do not divide the features raise ValueError"""
    rng = np.random.default_rng(0)
    part.SelfAttention(6, 3, rng=rng)
    for heads in (4, 0, -2, 12):
        call = lambda heads=heads: part.SelfAttention(6, heads, rng=rng)  # noqa: E731
        assert_raises(ValueError, call, f"features is 6 and heads is {heads}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` positions of 64 features."""
    layer = part.SelfAttention(64, 4, rng=np.random.default_rng(0), causal=True)
    x = Tensor(normal(2, size, 64).astype(np.float32), requires_grad=True)
    return lambda: layer(x).sum().backward()


SIZE = 64
