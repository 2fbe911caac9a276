"""Checks of `groundup.models.relative_position_bias`. Oracle: the formula, in plain Python."""

import math
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)

EXACT = {"rtol": 0.0, "atol": 0.0}


def bucket(distance: int, bidirectional: bool, buckets: int, max_distance: int) -> int:
    """One number at a time, in float32 where a logarithm is taken."""
    base = 0
    if bidirectional:
        buckets //= 2
        base = buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return base + distance
    ratio = math.log(distance / exact) / math.log(max_distance / exact)
    # Whole numbers are not left to rounding: at powers, the ratio should be exact.
    step = math.floor(round(ratio * (buckets - exact), 5))
    return base + min(buckets - 1, exact + step)


def oracle(distances: Tensor, bidirectional: bool, buckets: int, max_distance: int) -> Tensor:
    found = [bucket(d, bidirectional, buckets, max_distance) for d in distances.flatten().tolist()]
    return torch.tensor(found).view(distances.shape)


def bias_oracle(table: Tensor, T: int, S: int, bidirectional: bool, max_distance: int) -> Tensor:
    distance = torch.arange(S)[None] - torch.arange(S - T, S)[:, None]
    return table[oracle(distance, bidirectional, len(table), max_distance)].permute(2, 0, 1)[None]


def module(
    part: ModuleType, table: Tensor, bidirectional: bool, max_distance: int
) -> torch.nn.Module:
    made: torch.nn.Module = part.RelativePositionBias(
        table.shape[1], bidirectional=bidirectional, buckets=len(table), max_distance=max_distance
    )
    made = made.to(table.dtype)
    made.load_state_dict({"embedding.weight": table})
    return made


def check_buckets_of_an_encoder(part: ModuleType) -> None:
    """Both directions: every distance from -1000 to 1000, with T5's own numbers"""
    distances = torch.arange(-1000, 1001)
    expected = oracle(distances, True, 32, 128)
    got = part.relative_position_bucket(distances, bidirectional=True)
    assert_close(got, expected, what="the buckets of -1000 ... 1000", **EXACT)


def check_buckets_of_a_decoder(part: ModuleType) -> None:
    """One direction: every distance from -1000 to 1000; the future counts as 0"""
    distances = torch.arange(-1000, 1001)
    expected = oracle(distances, False, 32, 128)
    got = part.relative_position_bucket(distances, bidirectional=False)
    assert_close(got, expected, what="the buckets of -1000 ... 1000", **EXACT)


def check_other_sizes(part: ModuleType) -> None:
    """Other numbers of buckets and distances, and any shape"""
    cases = [(True, 8, 20), (False, 8, 20), (True, 64, 500), (False, 16, 9), (False, 4, 7)]
    distances = torch.arange(-120, 120).view(8, 5, 6)
    expected = [oracle(distances, *case) for case in cases]
    for (both, buckets, far), want in zip(cases, expected, strict=True):
        got = part.relative_position_bucket(
            distances, bidirectional=both, buckets=buckets, max_distance=far
        )
        what = f"with bidirectional={both}, {buckets} buckets and max_distance={far}, the output"
        assert_close(got, want, what=what, **EXACT)


def check_the_table(part: ModuleType) -> None:
    """The layer has one parameter: a row for each bucket, a column for each head"""
    layer = part.RelativePositionBias(6, bidirectional=True, buckets=8, max_distance=20)
    shapes = {name: tuple(weight.shape) for name, weight in layer.state_dict().items()}
    assert_equal(shapes, {"embedding.weight": (8, 6)}, "the layer's state")
    if not all(weight.requires_grad for weight in layer.parameters()):
        raise CheckFailure("the table should be trained: its requires_grad is False")


def check_bias_of_an_encoder(part: ModuleType) -> None:
    """The bias of every query and key, for several lengths"""
    table = torch.randn(8, 3)
    expected = {T: bias_oracle(table, T, T, True, 20) for T in (1, 5, 60)}
    layer = module(part, table, True, 20)
    for T, want in expected.items():
        assert_close(layer(T, T), want, what=f"the bias for T = S = {T}", **EXACT)


def check_bias_with_a_cache(part: ModuleType) -> None:
    """T queries are the last T of S positions"""
    table = torch.randn(8, 3)
    cases = [(1, 1), (1, 40), (3, 9), (12, 12)]
    expected = [bias_oracle(table, T, S, False, 20) for T, S in cases]
    layer = module(part, table, False, 20)
    for (T, S), want in zip(cases, expected, strict=True):
        assert_close(layer(T, S), want, what=f"the bias for T={T}, S={S}", **EXACT)


def check_gradient(part: ModuleType) -> None:
    """The gradient of the table, in float64"""
    table = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(1, 3, 6, 9, dtype=torch.float64)
    want = torch.autograd.grad((bias_oracle(table, 6, 9, True, 20) * weight).sum(), table)[0]
    layer = module(part, table.detach(), True, 20)
    own = layer.get_parameter("embedding.weight")
    got = torch.autograd.grad((layer(6, 9) * weight).sum(), own)[0]
    assert_close(got, want, rtol=1e-9, atol=1e-12, what="the gradient of the table")


def check_input_unchanged(part: ModuleType) -> None:
    """The distances are not changed"""
    for both in (True, False):
        distances = torch.arange(-20, 20)
        with unchanged(distance=distances):
            part.relative_position_bucket(distances, bidirectional=both)


def check_bad_sizes(part: ModuleType) -> None:
    """Sizes that leave a bucket without a distance raise ValueError"""
    cases = [
        (0, True, 32, 128),
        (4, True, 33, 128),
        (4, True, 2, 128),
        (4, False, 2, 128),
        (4, True, 32, 8),
        (4, False, 32, 16),
    ]
    for heads, both, buckets, far in cases:
        make = lambda h=heads, b=both, n=buckets, f=far: part.RelativePositionBias(  # noqa: E731
            h, bidirectional=b, buckets=n, max_distance=f
        )
        when = f"heads={heads}, bidirectional={both}, buckets={buckets}, max_distance={far}"
        assert_raises(ValueError, make, when)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: the bias of ``size`` positions for eight heads."""
    layer = part.RelativePositionBias(8, bidirectional=True)
    return torch.no_grad()(lambda: layer(size, size))


SIZE = 256
