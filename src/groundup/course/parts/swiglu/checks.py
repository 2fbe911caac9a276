"""Checks of `groundup.models.swiglu`. Oracles: NumPy in float64, torch's fused SiLU."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)

FLOAT32 = {"rtol": 1e-4, "atol": 1e-6}
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}

Weights = dict[str, Tensor]


def weights_of(C: int, hidden: int, dtype: torch.dtype = torch.float32) -> Weights:
    """Large enough that gates lie on both sides of the SiLU's bend."""
    return {
        "gate_proj.weight": (2 * torch.randn(hidden, C) / C**0.5).to(dtype),
        "up_proj.weight": (torch.randn(hidden, C) / C**0.5).to(dtype),
        "down_proj.weight": (torch.randn(C, hidden) / hidden**0.5).to(dtype),
    }


def oracle(x: Tensor, weights: Weights) -> Tensor:
    exact = x.double().numpy()
    gate, up, down = (weight.double().numpy() for weight in weights.values())
    z = exact @ gate.T
    sigmoid = (1 + np.tanh(z / 2)) / 2
    return torch.from_numpy((z * sigmoid * (exact @ up.T)) @ down.T)


def layer_with(part: ModuleType, weights: Weights) -> nn.Module:
    C, hidden = weights["down_proj.weight"].shape
    layer: nn.Module = part.SwiGLU(C, hidden).to(weights["down_proj.weight"].dtype)
    layer.load_state_dict(weights)
    return layer


def check_weights(part: ModuleType) -> None:
    """Three weights without biases, under the names of stored models"""
    expected = {name: tuple(weight.shape) for name, weight in weights_of(4, 10).items()}
    layer = part.SwiGLU(4, 10)
    stored = {name: tuple(tensor.shape) for name, tensor in layer.state_dict().items()}
    what = "the table of names and shapes"
    assert_equal(sorted(stored), sorted(expected), "the sorted list of names in the state_dict")
    assert_equal(stored, expected, f"{what} in the state_dict")
    own = {name: tuple(parameter.shape) for name, parameter in layer.named_parameters()}
    assert_equal(own, expected, f"{what} of the layer's parameters")


def check_untrained(part: ModuleType) -> None:
    """A new layer has random weights, different in each projection and each layer"""
    sizes = [(name, weight.numel()) for name, weight in weights_of(6, 6).items()]
    layers = {"the first layer": part.SwiGLU(6, 6), "the second layer": part.SwiGLU(6, 6)}
    seen: dict[float, str] = {}
    for owner, layer in layers.items():
        stored = layer.state_dict()
        for name, size in sizes:
            values = stored[name].double().flatten().tolist()
            if len(set(values)) < size:
                raise CheckFailure(f"{name} of {owner} has equal values: it should be random")
            if values[0] in seen:
                raise CheckFailure(f"{name} of {owner} starts like {seen[values[0]]}: each needs "
                                   f"random values of its own")  # fmt: skip
            seen[values[0]] = f"{name} of {owner}"


def check_values(part: ModuleType) -> None:
    """Values in float32, for several sizes"""
    sizes = [(1, 1), (4, 4), (8, 20), (20, 8), (64, 172)]
    cases = [(torch.randn(5, C), weights_of(C, hidden)) for C, hidden in sizes]
    expected = [oracle(*case).float() for case in cases]
    for (x, weights), (C, hidden), want in zip(cases, sizes, expected, strict=True):
        what = f"the output for dim={C}, hidden_dim={hidden}"
        assert_close(layer_with(part, weights)(x), want, what=what, **FLOAT32)


def check_last_axis(part: ModuleType) -> None:
    """Any leading shape: each vector of the last axis on its own"""
    cases = [torch.randn(shape) for shape in ((6,), (1, 6), (2, 5, 6), (2, 1, 3, 6), (6, 6))]
    cases += [cases[-1].T, torch.randn(2, 6, 3).transpose(1, 2)]
    weights = weights_of(6, 16)
    expected = [oracle(x, weights).float() for x in cases]
    layer = layer_with(part, weights)
    for x, want in zip(cases, expected, strict=True):
        what = f"the output for x of shape {tuple(x.shape)} and strides {x.stride()}"
        assert_close(layer(x), want, what=what, **FLOAT32)


def check_large_gates(part: ModuleType) -> None:
    """Gates far from zero neither overflow nor turn into NaN"""
    x, weights = torch.randn(4, 8), weights_of(8, 20)
    weights["gate_proj.weight"] *= 100
    expected = oracle(x, weights).float()
    assert_close(layer_with(part, weights)(x), expected, rtol=1e-4, atol=1e-4)


def check_float64(part: ModuleType) -> None:
    """float64: computed in float64"""
    x, weights = torch.randn(3, 4, 8).double(), weights_of(8, 20, torch.float64)
    expected = oracle(x, weights)
    assert_close(layer_with(part, weights)(x), expected, what="the output", **FLOAT64)


def check_bfloat16(part: ModuleType) -> None:
    """bfloat16 weights: the output has the dtype of x, bfloat16 or float32"""
    weights = weights_of(64, 172, torch.bfloat16)
    cases = [torch.randn(3, 64).to(dtype) for dtype in (torch.bfloat16, torch.float32)]
    expected = [oracle(x, weights).to(x.dtype) for x in cases]
    layer = layer_with(part, weights)
    for x, want in zip(cases, expected, strict=True):
        what = f"the output for {x.dtype} x and bfloat16 weights"
        assert_close(layer(x), want, what=what, rtol=0.03, atol=0.03)


def check_gradients(part: ModuleType) -> None:
    """Gradients of x and of the three weights, in float64"""
    x, weights = torch.randn(2, 5, 6).double(), weights_of(6, 16, torch.float64)
    sizes = torch.randn(2, 5, 6, dtype=torch.float64)
    leaves = [tensor.clone().requires_grad_() for tensor in (x, *weights.values())]
    x_leaf, gate, up, down = leaves
    out = (F.silu(x_leaf @ gate.T) * (x_leaf @ up.T)) @ down.T
    expected = torch.autograd.grad((out * sizes).sum(), leaves)
    layer = layer_with(part, weights)
    x.requires_grad_()
    own = [x, *(layer.get_parameter(name) for name in weights)]
    got = torch.autograd.grad((layer(x) * sizes).sum(), own, materialize_grads=True)
    for name, actual, want in zip(("x", *weights), got, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_input_unchanged(part: ModuleType) -> None:
    """x and the weights are not changed"""
    x, weights = torch.randn(3, 6), weights_of(6, 16)
    layer = layer_with(part, weights)
    inner = {name.partition(".")[0]: layer.get_parameter(name) for name in weights}
    with unchanged(x=x, **inner):
        layer(x)


def check_new_values_in_the_same_tensor(part: ModuleType) -> None:
    """The same tensors with new values give a new result"""
    x, weights = torch.randn(3, 6), weights_of(6, 16)
    x_after, weights_after = torch.randn(3, 6), weights_of(6, 16)
    cases = ((x, weights), (x_after, weights), (x_after, weights_after))
    expected = [oracle(*case).float() for case in cases]
    layer = layer_with(part, weights)
    assert_close(layer(x), expected[0], what="the first output", **FLOAT32)
    x.copy_(x_after)
    assert_close(layer(x), expected[1], what="after x changed, the output", **FLOAT32)
    layer.load_state_dict(weights_after)
    assert_close(layer(x), expected[2], what="after the weights changed, the output", **FLOAT32)


def check_bad_sizes(part: ModuleType) -> None:
    """Sizes that are not positive raise ValueError"""
    for dim, hidden in ((0, 8), (8, 0), (-8, 8), (8, -8), (-8, -8)):
        call = lambda dim=dim, hidden=hidden: part.SwiGLU(dim, hidden)  # noqa: E731
        assert_raises(ValueError, call, f"dim is {dim} and hidden_dim is {hidden}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a prompt of ``size`` tokens in a layer of SmolLM2's shape."""
    x = torch.randn(size, 576)
    layer = part.SwiGLU(576, 1536)
    return torch.no_grad()(lambda: layer(x))


SIZE = 32
