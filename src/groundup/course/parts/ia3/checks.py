"""Checks of `groundup.tuning.ia3`. Oracle: the scaled matrix, in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import groundup.tuning.adapted_linear  # noqa: F401 (imported once, before processes are forked)
from groundup.course.grader.compare import assert_close, assert_equal

FLOAT64 = {"rtol": 1e-10, "atol": 1e-12}


def frozen(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


def given(layer: Any, scale: Tensor) -> Any:
    """The layer with these factors, in float64."""
    layer.double()
    with torch.no_grad():
        layer.scale.copy_(scale)
    return layer


def matrix(base: nn.Linear, scale: Tensor, inputs: bool) -> tuple[Tensor, Tensor]:
    """Weight and bias with the factors in them, by a diagonal matrix."""
    weight, diagonal = base.weight.double(), torch.diag(scale.double())
    bias = torch.zeros(base.out_features) if base.bias is None else base.bias
    if inputs:
        return weight @ diagonal, bias.double()
    return diagonal @ weight, diagonal @ bias.double()


def check_begins_as_the_base(part: ModuleType) -> None:
    """At first all factors are one, and the output is the base's"""
    base, x = frozen(6, 4), torch.randn(2, 5, 6)
    expected = base(x)
    for inputs, size in ((False, 4), (True, 6)):
        layer = part.Ia3Linear(base, inputs=inputs)
        assert_close(layer.scale.detach(), torch.ones(size), rtol=0, atol=0, what="the factors")
        assert_close(layer(x).detach(), expected, rtol=1e-6, atol=1e-6, what="the output at first")


def check_outputs(part: ModuleType) -> None:
    """Outputs are scaled one by one, the bias with them"""
    for bias in (True, False):
        base, scale = frozen(6, 4, bias=bias), torch.randn(4, dtype=torch.float64)
        weight, offset = matrix(base, scale, False)
        x = torch.randn(2, 5, 6, dtype=torch.float64)
        expected = x @ weight.T + offset
        got = given(part.Ia3Linear(base, inputs=False), scale)(x)
        assert_close(got.detach(), expected, what="the output", **FLOAT64)


def check_inputs(part: ModuleType) -> None:
    """Inputs are scaled one by one, and the bias is not"""
    for bias in (True, False):
        base, scale = frozen(6, 4, bias=bias), torch.randn(6, dtype=torch.float64)
        weight, offset = matrix(base, scale, True)
        x = torch.randn(2, 5, 6, dtype=torch.float64)
        expected = x @ weight.T + offset
        got = given(part.Ia3Linear(base, inputs=True), scale)(x)
        assert_close(got.detach(), expected, what="the output", **FLOAT64)


def check_gradients(part: ModuleType) -> None:
    """Gradients of the factors and of x; the base, trained before, is frozen"""
    for inputs, size in ((False, 5), (True, 5)):
        base, scale = nn.Linear(5, 5), torch.randn(size, dtype=torch.float64)
        x, weight = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
        factors, given_x = scale.clone().requires_grad_(), x.clone().requires_grad_()
        w, offset = base.weight.detach().double(), base.bias.detach().double()
        y = given_x * factors @ w.T + offset if inputs else (given_x @ w.T + offset) * factors
        expected = torch.autograd.grad((y.square() * weight).sum(), (factors, given_x))
        layer = given(part.Ia3Linear(base, inputs=inputs), scale)
        own = (layer.scale, x.clone().requires_grad_())
        got = torch.autograd.grad((layer(own[1]).square() * weight).sum(), own)
        for name, grad, want in zip(("the factors", "x"), got, expected, strict=True):
            assert_close(grad, want, what=f"the gradient of {name}", **FLOAT64)
        trained = [name for name, p in layer.named_parameters() if p.requires_grad]
        assert_equal(trained, ["scale"], "the parameters that are trained")


def check_merged(part: ModuleType) -> None:
    """merged: the one matrix and bias that compute the same; the base stays"""
    for inputs, size in ((False, 4), (True, 6)):
        for bias in (True, False):
            base, scale = frozen(6, 4, bias=bias), torch.randn(size)
            weight, offset = matrix(base, scale, inputs)
            before = base.weight.clone()
            layer = part.Ia3Linear(base, inputs=inputs)
            with torch.no_grad():
                layer.scale.copy_(scale)
            found, own = layer.merged()
            what = f"the merged weight, {'inputs' if inputs else 'outputs'} scaled"
            assert_close(found.detach(), weight.float(), rtol=1e-6, atol=1e-7, what=what)
            if bias:
                assert_close(own.detach(), offset.float(), rtol=1e-6, atol=1e-7, what="the bias")
            else:
                assert_equal(own, None, "the bias of a layer without one")
            assert_close(base.weight, before, rtol=0, atol=0, what="the base's weight")


def check_narrow_base(part: ModuleType) -> None:
    """A bfloat16 base: the factors are float32, and what comes out bfloat16"""
    for inputs, size in ((False, 4), (True, 6)):
        base, scale = frozen(6, 4).bfloat16(), torch.rand(size) + 0.5
        weight, offset = matrix(base, scale, inputs)
        x = torch.randn(5, 6).bfloat16()
        expected = (x.double() @ weight.T + offset).bfloat16()
        layer = part.Ia3Linear(base, inputs=inputs)
        assert_equal(str(layer.scale.dtype), "torch.float32", "the dtype of the factors")
        with torch.no_grad():
            layer.scale.copy_(scale)
        assert_close(layer(x).detach(), expected, rtol=0.03, atol=0.02, what="the output")
        found, own = layer.merged()
        assert_close(
            found.detach(), weight.bfloat16(), rtol=2**-7, atol=0, what="merged, the weight"
        )
        assert_close(own.detach(), offset.bfloat16(), rtol=2**-7, atol=0, what="merged, the bias")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` tokens of 576 features."""
    layer, x = part.Ia3Linear(frozen(576, 576), inputs=False), torch.randn(size, 576)
    return torch.no_grad()(lambda: layer(x))


SIZE = 256
