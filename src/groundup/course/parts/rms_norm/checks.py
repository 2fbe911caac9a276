"""Checks of `groundup.models.rms_norm`. Oracles: NumPy in float64, torch's fused operation."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises, unchanged

FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}


def inputs(*shape: int) -> Tensor:
    """Values whose mean is far from zero, so that subtracting it shows."""
    return torch.randn(shape) + 1


def oracle(x: Tensor, weight: Tensor, eps: float = 1e-6) -> Tensor:
    exact = x.double().numpy()
    root = np.sqrt(np.mean(exact**2, axis=-1, keepdims=True) + eps)
    return torch.from_numpy(exact / root * weight.double().numpy())


def layer_with(part: ModuleType, weight: Tensor) -> nn.Module:
    layer: nn.Module = part.RMSNorm(len(weight)).to(weight.dtype)
    layer.load_state_dict({"weight": weight})
    return layer


def check_weight(part: ModuleType) -> None:
    """The only parameter is weight, and starts at ones"""
    expected = torch.ones(5)
    layer = part.RMSNorm(5)
    assert_equal(list(layer.state_dict()), ["weight"], "the list of names in the state_dict")
    names = [name for name, _ in layer.named_parameters()]
    assert_equal(names, ["weight"], "the list of the layer's parameters")
    assert_close(layer.weight, expected, what="the new layer's weight", rtol=0, atol=0)


def check_values(part: ModuleType) -> None:
    """Values in float32, for several numbers of features"""
    cases = [(inputs(4, C), inputs(C)) for C in (1, 2, 16, 576)]
    expected = [oracle(*case).float() for case in cases]
    for (x, weight), want in zip(cases, expected, strict=True):
        what = f"the output for dim={len(weight)}"
        assert_close(layer_with(part, weight)(x), want, what=what, **FLOAT32)


def check_last_axis(part: ModuleType) -> None:
    """Any leading shape: each vector of the last axis on its own"""
    # Vectors of very different lengths: a mean over more than one vector cannot pass.
    rows = inputs(6, 6) * 10.0 ** torch.arange(6).float()[:, None]
    cases = [rows, rows[2].clone(), rows.repeat(2, 3, 1, 1), inputs(2, 6, 3).transpose(1, 2)]
    weight = inputs(6)
    expected = [oracle(x, weight).float() for x in cases]
    layer = layer_with(part, weight)
    for x, want in zip(cases, expected, strict=True):
        what = f"the output for x of shape {tuple(x.shape)} and strides {x.stride()}"
        assert_close(layer(x), want, what=what, **FLOAT32)


def check_eps(part: ModuleType) -> None:
    """eps is added to the mean square, as small vectors show; zeros stay zeros"""
    x = torch.stack([inputs(8) * scale for scale in (1e-8, 1e-4, 1e-3, 1e-2, 1.0)])
    ones, zeros = torch.ones(8), torch.zeros(2, 8)
    sizes = (1e-6, 1e-5, 1e-2, 0.0)
    expected = [oracle(x, ones, eps).float() for eps in sizes]
    what = "the output for the default eps"
    assert_close(part.RMSNorm(8)(x), expected[0], what=what, rtol=1e-5, atol=0)
    for eps, want in zip(sizes, expected, strict=True):
        what = f"the output for eps={eps}"
        assert_close(part.RMSNorm(8, eps)(x), want, what=what, rtol=1e-5, atol=0)
    assert_close(part.RMSNorm(8)(zeros), zeros, what="the output for zeros", rtol=0, atol=0)


def check_float16(part: ModuleType) -> None:
    """float16: no overflow and no underflow of the squares"""
    weight = inputs(64).half()
    cases = {
        "values up to 60,000": ((torch.rand(4, 64) - 0.5) * 120_000).half(),
        "values of about 0.001": (1e-3 * inputs(4, 64)).half(),
    }
    expected = [oracle(x, weight).half() for x in cases.values()]
    layer = layer_with(part, weight)
    for (name, x), want in zip(cases.items(), expected, strict=True):
        what = f"the output for float16 {name}"
        assert_close(layer(x), want, what=what, rtol=2e-3, atol=1e-6)


def check_bfloat16(part: ModuleType) -> None:
    """bfloat16: nothing but the result is rounded to it"""
    x = inputs(64, 576).bfloat16()
    exact = oracle(x, torch.ones(576))
    rounded = exact.bfloat16()
    got = part.RMSNorm(576).bfloat16()(x)
    assert_close(got, rounded, rtol=0.02, atol=0)
    # A bfloat16 has 8 significant bits, so rounding once is off by at most 2 ** -8 of the value.
    what = "the bfloat16 output, which should be the exact result rounded once,"
    assert_close(got.double(), exact, what=what, rtol=1.01 * 2**-8, atol=0)


def check_float64(part: ModuleType) -> None:
    """float64: computed in float64"""
    x, weight = inputs(3, 4, 16).double(), inputs(16).double()
    expected = oracle(x, weight)
    assert_close(layer_with(part, weight)(x), expected, what="the output", **FLOAT64)


def check_gradients(part: ModuleType) -> None:
    """Gradients of x and of the weight, in float64"""
    x, weight = inputs(3, 4, 8).double(), inputs(8).double().requires_grad_()
    x[1, 2] = 0  # eps keeps the slope at zeros finite
    x.requires_grad_()
    sizes = torch.randn(3, 4, 8, dtype=torch.float64)
    out = F.rms_norm(x, (8,), weight, eps=1e-6)
    expected = torch.autograd.grad((out * sizes).sum(), (x, weight))
    layer = layer_with(part, weight.detach())
    own = (x, layer.get_parameter("weight"))
    got = torch.autograd.grad((layer(x) * sizes).sum(), own, materialize_grads=True)
    for name, actual, want in zip(("x", "the weight"), got, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_input_unchanged(part: ModuleType) -> None:
    """x and the weight are not changed"""
    cases = [(inputs(3, 8).to(dtype), inputs(8).to(dtype)) for dtype in (torch.float32, torch.half)]
    for x, weight in cases:
        layer = layer_with(part, weight)
        with unchanged(x=x, weight=layer.get_parameter("weight")):
            layer(x)


def check_new_values_in_the_same_tensor(part: ModuleType) -> None:
    """The same tensors with new values give a new result"""
    x, weight = inputs(3, 8), inputs(8)
    x_after, weight_after = inputs(3, 8), inputs(8)
    cases = ((x, weight), (x_after, weight), (x_after, weight_after))
    expected = [oracle(*case).float() for case in cases]
    layer = layer_with(part, weight)
    assert_close(layer(x), expected[0], what="the first output", **FLOAT32)
    x.copy_(x_after)
    assert_close(layer(x), expected[1], what="after x changed, the output", **FLOAT32)
    layer.load_state_dict({"weight": weight_after})
    assert_close(layer(x), expected[2], what="after the weight changed, the output", **FLOAT32)


def check_bad_input(part: ModuleType) -> None:
    """Sizes that do not fit and a negative eps raise ValueError"""
    longer, shorter, one = torch.ones(2, 9), torch.ones(2, 7), torch.ones(8, 1)
    layer, narrow = part.RMSNorm(8), part.RMSNorm(1)
    assert_raises(ValueError, lambda: part.RMSNorm(0), "dim is 0")
    assert_raises(ValueError, lambda: part.RMSNorm(-8), "dim is -8")
    assert_raises(ValueError, lambda: part.RMSNorm(8, -1e-6), "eps is -1e-6")
    assert_raises(ValueError, lambda: layer(longer), "dim is 8 and x has shape (2, 9)")
    assert_raises(ValueError, lambda: layer(shorter), "dim is 8 and x has shape (2, 7)")
    assert_raises(ValueError, lambda: layer(one), "dim is 8 and x has shape (8, 1)")
    assert_raises(ValueError, lambda: narrow(longer), "dim is 1 and x has shape (2, 9)")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a prompt of ``size`` tokens, 576 features each as in SmolLM2."""
    x = torch.randn(size, 576)
    layer = part.RMSNorm(576)
    return torch.no_grad()(lambda: layer(x))


SIZE = 512
