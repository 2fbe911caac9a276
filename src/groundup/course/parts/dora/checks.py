"""Checks of `groundup.tuning.dora`. Oracle: the whole matrix, row by row, in float64."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import groundup.tuning.lora  # noqa: F401 (imported once, before processes are forked)
from groundup.course.grader.compare import assert_close, assert_equal, assert_raises

FLOAT64 = {"rtol": 1e-8, "atol": 1e-10}
Values = tuple[Tensor, Tensor, Tensor]  # a, b, magnitude


def frozen(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


def values(inputs: int, outputs: int, rank: int) -> Values:
    shapes = ((rank, inputs), (outputs, rank), (outputs,))
    a, b, magnitude = (torch.randn(*shape, dtype=torch.float64) for shape in shapes)
    return a, b, magnitude.abs() + 0.5


def given(layer: Any, found: Values) -> Any:
    """The layer with these values, in float64."""
    layer.double()
    with torch.no_grad():
        for parameter, value in zip((layer.a, layer.b, layer.magnitude), found, strict=True):
            parameter.copy_(value)
    return layer


def directions(base: nn.Linear, a: Tensor, b: Tensor, scaling: float) -> Tensor:
    """V, each of whose rows LoRA has turned."""
    return base.weight.double() + scaling * b @ a


def norms(turned: Tensor) -> Tensor:
    return torch.stack([torch.sqrt((row * row).sum()) for row in turned])


def check_begins_as_the_base(part: ModuleType) -> None:
    """At first the output is the base's; the magnitudes are the rows' lengths"""
    base, x = frozen(12, 7), torch.randn(2, 5, 12)
    expected, lengths = base(x), norms(base.weight.double()).float()
    layer = part.DoraLinear(base, 3, 2.0)
    assert_close(layer(x).detach(), expected, rtol=1e-5, atol=1e-6, what="the output at first")
    assert_close(layer.magnitude.detach(), lengths, rtol=1e-5, atol=0, what="the magnitudes")
    trained = sorted(name for name, p in layer.named_parameters() if p.requires_grad)
    assert_equal(trained, ["a", "b", "magnitude"], "the parameters that are trained")


def check_row_norms(part: ModuleType) -> None:
    """row_norms: the lengths of V's rows"""
    for inputs, outputs, rank in ((6, 9, 2), (9, 6, 4), (5, 5, 8)):
        base, found = frozen(inputs, outputs), values(inputs, outputs, rank)
        expected = norms(directions(base, *found[:2], 0.75)).float()
        layer = given(part.DoraLinear(base, rank, 0.75), found)
        what = f"the lengths at rank {rank}"
        got = layer.row_norms()
        assert_close(got.float(), expected, rtol=1e-5, atol=1e-6, what=what)
        assert_equal(got.requires_grad, False, "whether the lengths have a gradient")


def check_output(part: ModuleType) -> None:
    """Each row has V's direction and its own length; the bias is added as it is"""
    for inputs, outputs, rank, bias in ((6, 9, 2, True), (9, 6, 4, False)):
        base, found = frozen(inputs, outputs, bias=bias), values(inputs, outputs, rank)
        x = torch.randn(2, 3, inputs, dtype=torch.float64)
        turned = directions(base, *found[:2], 0.75)
        matrix = found[2][:, None] * turned / norms(turned)[:, None]
        expected = x @ matrix.T + (base.bias.double() if bias else 0)
        got = given(part.DoraLinear(base, rank, 0.75), found)(x)
        # The lengths may be float32.
        assert_close(got.detach(), expected, rtol=1e-5, atol=1e-6, what=f"the output, rank {rank}")


def check_gradients(part: ModuleType) -> None:
    """Gradients of a, b, the magnitude and x, where the lengths of V count as constants"""
    base, found = frozen(6, 5), values(6, 5, 3)
    x, weight = torch.randn(4, 6, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    a, b, magnitude, given_x = (v.clone().requires_grad_() for v in (*found, x))
    turned = directions(base, a, b, 1.5)
    matrix = magnitude[:, None] * turned / norms(turned).detach()[:, None]
    y = given_x @ matrix.T + base.bias.double()
    expected = torch.autograd.grad((y.square() * weight).sum(), (a, b, magnitude, given_x))
    layer = given(part.DoraLinear(base, 3, 1.5), found)
    own = [layer.a, layer.b, layer.magnitude, x.clone().requires_grad_()]
    got = torch.autograd.grad((layer(own[3]).square() * weight).sum(), own)
    for name, grad, want in zip(("a", "b", "the magnitude", "x"), got, expected, strict=True):
        assert_close(grad, want, rtol=1e-5, atol=1e-5, what=f"the gradient of {name}")


def check_dropout(part: ModuleType) -> None:
    """Dropout is of the addition's input alone, and never in the lengths"""
    base, found = frozen(8, 8, bias=False), values(8, 8, 3)
    x = torch.randn(400, 8, dtype=torch.float64)
    turned = directions(base, *found[:2], 1.0)
    gain = found[2] / norms(turned)
    expected = x @ (gain[:, None] * turned).T
    plain = x @ (gain[:, None] * base.weight.double()).T
    layer = given(part.DoraLinear(base, 3, 1.0, dropout=0.5), found)
    got = layer.eval()(x).detach()
    assert_close(got, expected, rtol=1e-5, atol=1e-6, what="the output without training")
    layer.train()
    mean = torch.stack([layer(x).detach() for _ in range(100)]).mean(0)
    difference = (mean - expected).square().mean() / (expected - plain).square().mean()
    nothing = torch.zeros((), dtype=torch.float64)
    assert_close(difference, nothing, rtol=0, atol=0.05, what="the mean output's error in training")
    layer.a.data.zero_()  # nothing is added, so nothing can be dropped
    layer.magnitude.data.copy_(norms(base.weight.double()))
    want = x @ base.weight.double().T
    assert_close(layer(x).detach(), want, rtol=1e-5, atol=1e-6, what="the base's part in training")


def check_merged(part: ModuleType) -> None:
    """merged: the one matrix that computes the same, and the bias"""
    base, found = frozen(6, 9), values(6, 9, 2)
    turned = directions(base, *found[:2], 0.5)
    expected = (found[2][:, None] * turned / norms(turned)[:, None]).float()
    before, offset = base.weight.clone(), base.bias.clone()
    layer = part.DoraLinear(base, 2, 0.5)
    with torch.no_grad():
        for parameter, value in zip((layer.a, layer.b, layer.magnitude), found, strict=True):
            parameter.copy_(value)
    weight, bias = layer.merged()
    assert_close(weight.detach(), expected, rtol=1e-5, atol=1e-6, what="the merged weight")
    assert_close(bias.detach(), offset, rtol=0, atol=0, what="the bias")
    assert_close(base.weight, before, rtol=0, atol=0, what="the base's weight")


def check_narrow_base(part: ModuleType) -> None:
    """A bfloat16 base: what is trained is float32, and the output bfloat16"""
    base, x = frozen(16, 8).bfloat16(), torch.randn(5, 16).bfloat16()
    expected = x.double() @ base.weight.double().T + base.bias.double()
    lengths = norms(base.weight.double()).float()
    layer = part.DoraLinear(base, 2, 0.5)
    kinds = [str(p.dtype) for p in (layer.a, layer.b, layer.magnitude)]
    assert_equal(kinds, ["torch.float32"] * 3, "the dtypes of what is trained")
    assert_close(layer.magnitude.detach(), lengths, rtol=1e-5, atol=0, what="the magnitudes")
    got = layer(x).detach()
    assert_close(got, expected.bfloat16(), rtol=0.03, atol=0.03, what="the output")
    assert_equal(str(layer.merged()[0].dtype), "torch.bfloat16", "the merged weight's dtype")


def check_bad_rank(part: ModuleType) -> None:
    """A rank that is not positive raises ValueError"""
    for rank in (0, -4):
        call = partial(part.DoraLinear, frozen(4, 4), rank, 1.0)
        assert_raises(ValueError, call, f"the rank is {rank}", str(rank))


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` tokens of 576 features, at rank 16."""
    layer, x = part.DoraLinear(frozen(576, 576), 16, 2.0), torch.randn(size, 576)
    return torch.no_grad()(lambda: layer(x))


SIZE = 256
