"""Checks of `groundup.tuning.lora`. Oracle: the whole matrix W + s B A, in float64."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import groundup.tuning.adapted_linear  # noqa: F401 (imported once, before processes are forked)
from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises

FLOAT64 = {"rtol": 1e-9, "atol": 1e-11}


def frozen(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


def drawn(layer: Any, a: Tensor, b: Tensor) -> Any:
    """The layer with these matrices, in float64."""
    layer.double()
    with torch.no_grad():
        layer.a.copy_(a)
        layer.b.copy_(b)
    return layer


def matrices(inputs: int, outputs: int, rank: int) -> tuple[Tensor, Tensor]:
    double = torch.float64
    return torch.randn(rank, inputs, dtype=double), torch.randn(outputs, rank, dtype=double)


def whole(base: nn.Linear, a: Tensor, b: Tensor, scaling: float) -> Tensor:
    return base.weight.double() + scaling * b @ a


def check_scaling(part: ModuleType) -> None:
    """lora_scaling: alpha over the rank, or over its root"""
    for rank, alpha in ((8, 16.0), (64, 32.0), (1, 3.0)):
        got = (part.lora_scaling(rank, alpha), part.lora_scaling(rank, alpha, rank_stabilized=True))
        assert_equal(got[0], alpha / rank, f"the scaling of rank {rank}, alpha {alpha}")
        what = f"the stabilised scaling of rank {rank}"
        want = torch.tensor(alpha * rank**-0.5, dtype=torch.float64)
        assert_close(torch.tensor(got[1], dtype=torch.float64), want, rtol=1e-12, atol=0, what=what)


def check_begins_as_the_base(part: ModuleType) -> None:
    """At first the output is the base's, bit for bit; b is zero and a is not"""
    base, x = frozen(12, 7), torch.randn(2, 5, 12)
    expected = base(x)
    layer = part.LoraLinear(base, 3, 2.0)
    assert_close(layer(x).detach(), expected, rtol=0, atol=0, what="the output at first")
    assert_close(layer.b.detach(), torch.zeros(7, 3), rtol=0, atol=0, what="b at first")
    assert_equal(tuple(layer.a.shape), (3, 12), "the shape of a")
    assert_equal(bool(layer.a.detach().abs().min() > 0), True, "that no entry of a is zero")


def check_first_a(part: ModuleType) -> None:
    """a is drawn uniformly within 1 over the root of the inputs, by the generator"""
    base, bound = frozen(400, 2), 0.05
    seeds = [torch.Generator().manual_seed(seed) for seed in (1, 1, 2)]
    a, again, other = (part.LoraLinear(base, 8, 1.0, generator=g).a.detach() for g in seeds)
    assert_close(a, again, rtol=0, atol=0, what="a drawn again from the same seed")
    assert_equal(bool((a == other).any()), False, "that another seed draws other numbers")
    inside = bool(a.abs().max() <= bound) and bool(a.abs().max() > 0.95 * bound)
    assert_equal(inside, True, f"that the largest of a is just within {bound}")
    spread = torch.tensor(bound / 3**0.5)
    assert_close(a.std(), spread, rtol=0.05, atol=0, what="the standard deviation of a")


def check_output(part: ModuleType) -> None:
    """base(x) and the addition, for several shapes, with and without bias"""
    for inputs, outputs, rank, bias in ((6, 9, 2, True), (9, 6, 4, False), (5, 5, 8, True)):
        base, (a, b) = frozen(inputs, outputs, bias=bias), matrices(inputs, outputs, rank)
        x = torch.randn(2, 3, inputs, dtype=torch.float64)
        offset = base.bias.double() if bias else 0
        expected = x @ whole(base, a, b, 0.75).T + offset
        got = drawn(part.LoraLinear(base, rank, 0.75), a, b)(x)
        what = f"the output for rank {rank} between {inputs} and {outputs}"
        assert_close(got.detach(), expected, what=what, **FLOAT64)


def check_gradients(part: ModuleType) -> None:
    """Gradients of a, b and x; the base has none, and only a and b are trained"""
    base, (a, b) = frozen(6, 5), matrices(6, 5, 3)
    x, weight = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    variables = [v.clone().requires_grad_() for v in (a, b, x)]
    y = variables[2] @ whole(base, variables[0], variables[1], 1.5).T
    expected = torch.autograd.grad((y.square() * weight).sum(), variables)
    base.bias.zero_()
    layer = drawn(part.LoraLinear(base, 3, 1.5), a, b)
    own = [layer.a, layer.b, x.clone().requires_grad_()]
    got = torch.autograd.grad((layer(own[2]).square() * weight).sum(), own)
    for name, found, want in zip(("a", "b", "x"), got, expected, strict=True):
        assert_close(found, want, what=f"the gradient of {name}", **FLOAT64)
    trained = sorted(name for name, p in layer.named_parameters() if p.requires_grad)
    assert_equal(trained, ["a", "b"], "the parameters that are trained")


def check_base_is_frozen(part: ModuleType) -> None:
    """A base that was trained is frozen, and never changed"""
    base = nn.Linear(4, 3)
    before = base.weight.detach().clone()
    layer = part.LoraLinear(base, 2, 1.0)
    with torch.no_grad():
        layer.b.normal_()
    layer(torch.randn(5, 4)).square().sum().backward()
    assert_equal([p.requires_grad for p in base.parameters()], [False, False], "what of it trains")
    assert_equal(base.weight.grad is None, True, "that its weight has no gradient")
    assert_close(base.weight.detach(), before, rtol=0, atol=0, what="its weight")


def check_dropout(part: ModuleType) -> None:
    """Dropout is of the addition's input, in training alone; the base sees all of x"""
    base = frozen(64, 64, bias=False)
    base.weight.zero_()
    x = torch.rand(50, 64, dtype=torch.float64) + 1
    turn = torch.linalg.qr(torch.randn(64, 64, dtype=torch.float64))[
        0
    ]  # and back, by its transpose
    layer = drawn(part.LoraLinear(base, 64, 1.0, dropout=0.25), turn, turn.T)
    assert_close(layer.eval()(x).detach(), x, what="the output without training", **FLOAT64)
    ratio = layer.train()(x).detach() / x
    kept = (ratio > 0.5).double()
    assert_close(ratio, kept / 0.75, what="what is left of x, over x", **FLOAT64)
    share = torch.tensor(0.75, dtype=torch.float64)
    assert_close(kept.mean(), share, rtol=0, atol=0.03, what="the share that is left")
    base.weight.copy_(torch.eye(64))
    low = float((layer(x).detach() / x).min())
    if not low > 0.99:
        raise CheckFailure("the base's input is dropped too: expected the addition's alone")


def check_merged(part: ModuleType) -> None:
    """merged: the one matrix that computes the same, and the bias; the base stays as it was"""
    base, (a, b) = frozen(6, 9), matrices(6, 9, 2)
    expected = whole(base, a, b, 0.5)
    offset, before = base.bias.double(), base.weight.clone()
    layer = part.LoraLinear(base, 2, 0.5)
    with torch.no_grad():
        layer.a.copy_(a)
        layer.b.copy_(b)
    weight, bias = layer.merged()
    assert_close(weight.detach(), expected.float(), rtol=1e-5, atol=1e-6, what="the merged weight")
    assert_close(bias.detach().double(), offset, what="the bias", **FLOAT64)
    assert_close(base.weight, before, rtol=0, atol=0, what="the base's weight")
    assert_equal(part.LoraLinear(frozen(6, 9, bias=False), 2, 1.0).merged()[1], None, "no bias")


def check_narrow_base(part: ModuleType) -> None:
    """A bfloat16 base: a and b are float32, the output bfloat16, merging rounds once"""
    base, x = frozen(16, 8).bfloat16(), torch.randn(5, 16).bfloat16()
    a, b = torch.randn(2, 16), torch.randn(8, 2) / 100
    exact = base.weight.float() + 0.5 * b @ a
    expected = F.linear(x.float(), exact, base.bias.float())
    layer = part.LoraLinear(base, 2, 0.5)
    assert_equal([str(p.dtype) for p in (layer.a, layer.b)], ["torch.float32"] * 2, "the dtypes")
    with torch.no_grad():
        layer.a.copy_(a)
        layer.b.copy_(b)
    got = layer(x).detach()
    assert_close(got, expected.bfloat16(), rtol=0.03, atol=0.03, what="the output")
    merged = layer.merged()[0].detach()
    assert_close(merged, exact.bfloat16(), rtol=2**-8, atol=1e-6, what="the merged weight")


def check_bad_rank(part: ModuleType) -> None:
    """A rank that is not positive raises ValueError"""
    for rank in (0, -4):
        call = partial(part.LoraLinear, frozen(4, 4), rank, 1.0)
        assert_raises(ValueError, call, f"the rank is {rank}", str(rank))


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` tokens of 576 features, at rank 16."""
    layer, x = part.LoraLinear(frozen(576, 576), 16, 2.0), torch.randn(size, 576)
    return torch.no_grad()(lambda: layer(x))


SIZE = 256
