"""Checks of `groundup.tuning.nf4_linear`. Oracle: the restored matrix, multiplied in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import groundup.models.linear  # noqa: F401 (imported once, before processes are forked)
from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)
from groundup.quantization.nf4 import Nf4

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def case(inputs: int, outputs: int, *, bias: bool = True) -> tuple[nn.Linear, Tensor]:
    """A layer, and its matrix after four bits, float64."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    return layer, Nf4.of(layer.weight.detach()).dequantize().double()


def check_output(part: ModuleType) -> None:
    """The product with the matrix as four bits give it back, and the bias as it was"""
    for inputs, outputs, bias in ((64, 20, True), (30, 70, False), (7, 5, True)):
        layer, matrix = case(inputs, outputs, bias=bias)
        x = torch.randn(2, 3, inputs)
        offset = layer.bias.detach().double() if bias else 0
        expected = (x.double() @ matrix.T + offset).float()
        got = part.Nf4Linear(layer)(x)
        what = f"the output between {inputs} and {outputs}"
        assert_close(got.detach(), expected, what=what, **CLOSE)


def check_weight(part: ModuleType) -> None:
    """weight: the matrix, made anew; the sizes and the dtype are the layer's"""
    for dtype in (torch.float32, torch.bfloat16):
        layer = nn.Linear(40, 30).to(dtype)
        expected = Nf4.of(layer.weight.detach()).dequantize()
        made = part.Nf4Linear(layer)
        assert_close(made.weight.detach(), expected, rtol=0, atol=0, what="the weight")
        assert_equal((made.in_features, made.out_features), (40, 30), "the numbers of features")
        assert_equal(made.dtype, dtype, "the dtype")


def check_four_bits_are_kept(part: ModuleType) -> None:
    """Nothing of the matrix's size is kept: four bits a weight, with scales in eight"""
    layer, _ = case(256, 128)
    made = part.Nf4Linear(layer)
    assert_equal(round(made.matrix.bits, 2), 4.13, "bits of a weight")
    kept = [v for v in held(made) if v.numel() >= 256 * 128]
    assert_equal([tuple(v.shape) for v in kept], [], "the shapes of what is kept as a whole")


def held(module: Any) -> list[Tensor]:
    """The tensors that a module has as parameters, buffers or attributes."""
    own = [*module.parameters(), *module.buffers()]
    return own + [v for v in vars(module).values() if isinstance(v, Tensor)]


def check_gradient_of_x(part: ModuleType) -> None:
    """The gradient of x goes through the matrix"""
    layer, matrix = case(24, 10)
    x, dy = torch.randn(2, 5, 24), torch.randn(2, 5, 10)
    expected = (dy.double() @ matrix).float()
    x.requires_grad_()
    (got,) = torch.autograd.grad((part.Nf4Linear(layer)(x) * dy).sum(), x)
    assert_close(got, expected, what="the gradient of x", **CLOSE)


def check_graph_keeps_no_matrix(part: ModuleType) -> None:
    """Between forward and backward the graph keeps nothing of the matrix's size"""
    layer, _ = case(64, 96)
    x = torch.randn(2, 64, requires_grad=True)
    kept: list[tuple[int, ...]] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    made = part.Nf4Linear(layer)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = made(x)
    large = [shape for shape in kept if torch.Size(shape).numel() >= 64 * 96]
    assert_equal(large, [], "the shapes of what the graph keeps")
    if not y.requires_grad:
        raise CheckFailure("the output has no graph: expected a gradient for x")


def check_training_leaves_it_unchanged(part: ModuleType) -> None:
    """An adapter beside it learns, and the four bits stay as they are"""
    layer, _ = case(32, 8)
    a, b = torch.randn(4, 32) / 32**0.5, torch.zeros(8, 4)
    x, target = torch.randn(40, 32), torch.randn(40, 8)
    made = part.Nf4Linear(layer)
    before, losses = made.matrix.packed.clone(), []
    a.requires_grad_()
    b.requires_grad_()
    with unchanged(packed=made.matrix.packed):
        for _ in range(40):
            loss = (made(x) + (x @ a.T) @ b.T - target).square().mean()
            losses.append(loss.item())
            for parameter, gradient in zip((a, b), torch.autograd.grad(loss, (a, b)), strict=True):
                parameter.data -= 0.3 * gradient
    assert_close(made.matrix.packed, before, rtol=0, atol=0, what="the packed weight")
    assert_equal(losses[-1] < 0.9 * losses[0], True, "that the loss fell by a tenth at least")


def check_narrow_dtypes(part: ModuleType) -> None:
    """The product is in x's dtype, whatever the matrix's; so is the gradient"""
    for dtype, of in ((torch.bfloat16, torch.float32), (torch.float32, torch.bfloat16)):
        layer = nn.Linear(32, 12, bias=False).to(of)
        matrix = Nf4.of(layer.weight.detach()).dequantize().double()
        x = torch.randn(4, 32).to(dtype)
        expected = (x.double() @ matrix.T).to(dtype)
        slope = (torch.ones(4, 12).double() @ matrix).to(dtype)
        x.requires_grad_()
        got = part.Nf4Linear(layer)(x)
        assert_close(got.detach(), expected, rtol=0.02, atol=0.02, what=f"the output for {dtype}")
        (gradient,) = torch.autograd.grad(got.sum(), x)
        assert_close(gradient, slope, rtol=0.02, atol=0.02, what=f"the gradient for {dtype}")


def check_bad_weight(part: ModuleType) -> None:
    """NaN or infinity in the weight raises ValueError"""
    for bad in (float("nan"), float("inf")):
        layer, _ = case(8, 4)
        layer.weight.data[1, 2] = bad
        assert_raises(ValueError, lambda layer=layer: part.Nf4Linear(layer), f"it holds {bad}")  # type: ignore[misc]


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` tokens of 576 features."""
    layer, x = part.Nf4Linear(nn.Linear(576, 576)), torch.randn(size, 576)
    return torch.no_grad()(lambda: layer(x))


SIZE = 128
