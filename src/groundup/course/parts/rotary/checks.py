"""Checks of `groundup.models.rotary`. Oracles: complex numbers in NumPy, invariants."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_raises

FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}


def oracle_frequencies(D: int, base: float) -> Tensor:
    return torch.from_numpy(base ** (-2.0 * np.arange(D // 2) / D)).float()


def oracle_table(positions: Tensor, frequencies: Tensor) -> tuple[Tensor, Tensor]:
    angles = np.outer(positions.numpy(), frequencies.double().numpy())
    return torch.from_numpy(np.cos(angles)).float(), torch.from_numpy(np.sin(angles)).float()


def oracle(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """A pair of features is a complex number, and turning it is a multiplication; float64."""
    D = x.shape[-1]
    exact = x.detach().double().numpy()
    pairs = exact[..., : D // 2] + 1j * exact[..., D // 2 :]
    turned = pairs * (cos.double().numpy() + 1j * sin.double().numpy())
    return torch.from_numpy(np.concatenate([turned.real, turned.imag], axis=-1))


def random_table(T: int, D: int) -> tuple[Tensor, Tensor]:
    """Another angle for every position and pair, so that no two of them can be mistaken."""
    angles = 6.28 * torch.rand(T, D // 2, dtype=torch.float64)
    return angles.cos().float(), angles.sin().float()


def check_frequencies(part: ModuleType) -> None:
    """Frequencies: base ** (-2 * i / head_dim), for several sizes and bases"""
    cases = [(2, 10000.0), (8, 10000.0), (64, 100000.0), (96, 500000.0), (128, 1e6), (6, 2.0)]
    expected = [oracle_frequencies(*case) for case in cases]
    default = oracle_frequencies(64, 10000.0)
    for (D, base), want in zip(cases, expected, strict=True):
        what = f"the frequencies for head_dim={D}, base={base:g}"
        assert_close(part.rotary_frequencies(D, base), want, what=what, rtol=1e-5, atol=0)
    what = "the frequencies for head_dim=64 and the default base"
    assert_close(part.rotary_frequencies(64), default, what=what, rtol=1e-5, atol=0)


def check_bad_head_dim_or_base(part: ModuleType) -> None:
    """An odd head_dim, or a size or base that is not positive, raises ValueError"""
    assert_raises(ValueError, lambda: part.rotary_frequencies(63), "head_dim is 63")
    assert_raises(ValueError, lambda: part.rotary_frequencies(1), "head_dim is 1")
    assert_raises(ValueError, lambda: part.rotary_frequencies(0), "head_dim is 0")
    assert_raises(ValueError, lambda: part.rotary_frequencies(-64), "head_dim is -64")
    assert_raises(ValueError, lambda: part.rotary_frequencies(64, 0.0), "base is 0")
    assert_raises(ValueError, lambda: part.rotary_frequencies(64, -10000.0), "base is -10000")


def check_table(part: ModuleType) -> None:
    """The table: any positions, in any order, from any start"""
    frequencies = torch.rand(4)  # not of the formula: the table uses what it is given
    cases = {
        "0 to 6": torch.arange(7),
        "11 to 14, as many as there are pairs": torch.arange(11, 15),
        "5, 0, 40, 3, 3": torch.tensor([5, 0, 40, 3, 3]),
        "17 alone": torch.tensor([17]),
    }
    expected = [oracle_table(positions, frequencies) for positions in cases.values()]
    for (name, positions), (cos, sin) in zip(cases.items(), expected, strict=True):
        got_cos, got_sin = part.rotary_table(positions, frequencies)
        assert_close(got_cos, cos, what=f"cos for the positions {name}", rtol=0, atol=1e-5)
        assert_close(got_sin, sin, what=f"sin for the positions {name}", rtol=0, atol=1e-5)


def check_table_far_out(part: ModuleType) -> None:
    """The table at positions in the thousands"""
    positions, frequencies = torch.tensor([8191, 257, 4095, 2049]), oracle_frequencies(64, 100000.0)
    cos, sin = oracle_table(positions, frequencies)
    got_cos, got_sin = part.rotary_table(positions, frequencies)
    # A float32 angle of 8191 radians is itself off by up to 2 ** -12.
    assert_close(got_cos, cos, what="cos", rtol=0, atol=1e-3)
    assert_close(got_sin, sin, what="sin", rtol=0, atol=1e-3)


def check_rotate(part: ModuleType) -> None:
    """rotate: feature i of the first half is paired with feature i of the second"""
    shapes = [(1, 1, 1, 2), (2, 4, 4, 8), (2, 3, 5, 16), (1, 9, 40, 64)]  # also H = T
    cases = [(torch.randn(shape), *random_table(*shape[-2:])) for shape in shapes]
    x = torch.randn(2, 5, 3, 8).transpose(1, 2)  # heads split from features, as in a model
    cases.append((x, *random_table(5, 8)))
    expected = [oracle(*case).float() for case in cases]
    for case, want in zip(cases, expected, strict=True):
        what = f"the output for x of shape {tuple(case[0].shape)}"
        assert_close(part.rotate(*case), want, what=what, **FLOAT32)


def check_norm(part: ModuleType) -> None:
    """Turning keeps the length of every vector"""
    x, (cos, sin) = torch.randn(2, 3, 7, 16), random_table(7, 16)
    expected = x.square().sum(-1).sqrt()
    got = part.rotate(x, cos, sin)
    what = "the length of the turned vectors"
    assert_close(got.square().sum(-1).sqrt(), expected, what=what, **FLOAT32)


def check_relative_positions(part: ModuleType) -> None:
    """A query and a key match by the difference of their positions alone"""
    q, k = torch.randn(2, 1, 1, 1, 32, dtype=torch.float64).expand(2, 1, 1, 6, 32)
    at, back = torch.tensor([3, 8, 20, 50, 90, 100]), 3
    frequencies = oracle_frequencies(32, 10000.0)
    turned = oracle(q[..., :1, :], *oracle_table(torch.tensor([back]), frequencies))
    expected = (turned * k[..., :1, :]).sum(-1).expand(1, 1, 6)
    own = part.rotary_frequencies(32, 10000.0)
    q = part.rotate(q, *part.rotary_table(at, own))
    k = part.rotate(k, *part.rotary_table(at - back, own))
    what = "q · k at positions 3 apart"
    assert_close((q * k).sum(-1), expected, what=what, rtol=1e-4, atol=1e-3)


def check_narrow_dtypes(part: ModuleType) -> None:
    """bfloat16 and float16 in and out, computed in float32"""
    cos, sin = random_table(9, 32)
    ulps = {torch.bfloat16: 2**-7, torch.float16: 2**-10}  # relative, at the most
    cases = [torch.randn(2, 3, 9, 32).to(dtype) for dtype in ulps]
    expected = [oracle(x, cos, sin).to(x.dtype) for x in cases]
    for x, want in zip(cases, expected, strict=True):
        # Where the two products nearly cancel, anything but float32 is off by far more than this.
        tolerance = {"rtol": ulps[x.dtype], "atol": 1e-5}
        assert_close(part.rotate(x, cos, sin), want, what=f"the {x.dtype} output", **tolerance)


def check_float64(part: ModuleType) -> None:
    """rotate in float64: computed in float64"""
    x, (cos, sin) = torch.randn(2, 3, 5, 8, dtype=torch.float64), random_table(5, 8)
    expected = oracle(x, cos, sin)
    assert_close(part.rotate(x, cos, sin), expected, what="the output", **FLOAT64)


def check_gradients(part: ModuleType) -> None:
    """The gradient of x, in float64"""
    x, weight = torch.randn(2, 2, 3, 5, 8, dtype=torch.float64)
    cos, sin = random_table(5, 8)
    expected = oracle(weight, cos, -sin)  # the transpose of a rotation turns back
    x.requires_grad_()
    (got,) = torch.autograd.grad((part.rotate(x, cos, sin) * weight).sum(), x)
    assert_close(got, expected, what="the gradient of x", **FLOAT64)


def check_new_values_in_the_same_tensor(part: ModuleType) -> None:
    """The same tensors with new values give a new result"""
    x, (cos, sin) = torch.randn(1, 2, 4, 8), random_table(4, 8)
    positions, frequencies = torch.arange(4), oracle_frequencies(8, 100.0)
    turned = [oracle(x, cos, sin).float(), oracle(-x, cos, sin).float()]
    tables = [oracle_table(positions + shift, frequencies)[1] for shift in (0, 4)]
    assert_close(part.rotate(x, cos, sin), turned[0], what="the first output", **FLOAT32)
    x.neg_()
    assert_close(part.rotate(x, cos, sin), turned[1], what="after x changed, the output", **FLOAT32)
    assert_close(part.rotary_table(positions, frequencies)[1], tables[0], what="sin", **FLOAT32)
    positions.add_(4)
    what = "after the positions changed, sin"
    assert_close(part.rotary_table(positions, frequencies)[1], tables[1], what=what, **FLOAT32)


def check_bad_shapes(part: ModuleType) -> None:
    """rotate: cos and sin of another shape than (T, D / 2) raise ValueError"""
    x = torch.randn(2, 3, 5, 8)
    cos, sin = random_table(5, 8)
    cases = {
        "cos and sin have one position and x has 5": (cos[:1], sin[:1]),
        "cos and sin have 4 positions and x has 5": (cos[:4], sin[:4]),
        "cos and sin have one angle for all pairs": (cos[:, :1], sin[:, :1]),
        "cos and sin have D columns": (cos.repeat(1, 2), sin.repeat(1, 2)),
        "only cos fits": (cos, sin[:1]),
        "only sin fits": (cos[:1], sin),
    }
    for when, table in cases.items():
        assert_raises(ValueError, lambda table=table: part.rotate(x, *table), when)  # type: ignore[misc]


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: queries and keys of ``size`` tokens in a layer of SmolLM2's shape."""
    q, k = torch.randn(1, 9, size, 64), torch.randn(1, 3, size, 64)
    positions = torch.arange(size)

    def turn() -> object:
        cos, sin = part.rotary_table(positions, part.rotary_frequencies(64, 100000.0))
        return part.rotate(q, cos, sin), part.rotate(k, cos, sin)

    return turn


SIZE = 512
