"""Checks of `groundup.models.mixture_of_experts`. Oracle: token by token in NumPy, float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)

FLOAT32 = {"rtol": 1e-4, "atol": 1e-6}
FLOAT64 = {"rtol": 1e-6, "atol": 1e-7}  # the router's softmax is float32's
C, HIDDEN, E = 6, 10, 4


def weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    state = {"gate.weight": torch.randn(E, C, dtype=dtype)}
    for e in range(E):
        for name, shape in (
            ("gate_proj", (HIDDEN, C)), ("up_proj", (HIDDEN, C)), ("down_proj", (C, HIDDEN))
        ):  # fmt: skip
            state[f"experts.{e}.{name}.weight"] = torch.randn(shape, dtype=dtype) / 2
    return state


def layer_with(part: ModuleType, state: dict[str, Tensor], k: int) -> Any:
    layer = part.MixtureOfExperts(C, HIDDEN, E, k).to(state["gate.weight"].dtype)
    layer.load_state_dict(state)
    return layer


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    e: NDArray[np.float64] = np.exp(scores - scores.max(-1, keepdims=True))
    total: NDArray[np.float64] = e.sum(-1, keepdims=True)
    return np.asarray(e / total, np.float64)


def oracle(x: Tensor, state: dict[str, Tensor], k: int) -> Tensor:
    w = {name: weight.double().numpy() for name, weight in state.items()}
    rows = x.double().numpy().reshape(-1, C)
    out = np.zeros_like(rows)
    for n, row in enumerate(rows):
        p = softmax(w["gate.weight"] @ row)
        chosen = np.argsort(-p)[:k]
        for e in chosen:
            gate = w[f"experts.{e}.gate_proj.weight"] @ row
            up = w[f"experts.{e}.up_proj.weight"] @ row
            hidden = gate / (1 + np.exp(-gate)) * up
            out[n] += p[e] / p[chosen].sum() * (w[f"experts.{e}.down_proj.weight"] @ hidden)
    return torch.from_numpy(out.reshape(x.shape))


def check_parameters(part: ModuleType) -> None:
    """A router without bias and E experts, under the names that the assignment gives"""
    want = {name: tuple(weight.shape) for name, weight in sorted(weights().items())}
    layer = part.MixtureOfExperts(C, HIDDEN, E, 2)
    found = {name: tuple(weight.shape) for name, weight in sorted(layer.state_dict().items())}
    assert_equal(found, want, "the layer's state")


def check_values(part: ModuleType) -> None:
    """Each token is the weighted sum over its k likeliest experts"""
    x, state = torch.randn(2, 9, C), weights()
    expected = {k: oracle(x, state, k).float() for k in (1, 2, 3, 4)}
    for k, want in expected.items():
        got = layer_with(part, state, k)(x)
        assert_close(got, want, what=f"the output for k={k}", **FLOAT32)


def check_last_axis(part: ModuleType) -> None:
    """Any leading shape, also of no tokens at all"""
    state = weights()
    cases = [torch.randn(shape) for shape in ((C,), (1, C), (2, 1, 3, C), (0, C))]
    cases.append(torch.randn(2, C, 3).transpose(1, 2))
    expected = [oracle(x, state, 2).float() for x in cases]
    layer = layer_with(part, state, 2)
    for x, want in zip(cases, expected, strict=True):
        assert_close(layer(x), want, what=f"the output for x of shape {tuple(x.shape)}", **FLOAT32)


def check_unvisited_experts(part: ModuleType) -> None:
    """An expert reads only the tokens that chose it, and none where none did"""
    x, state = torch.randn(12, C), weights()
    x[:, 0] = 3.0
    state["gate.weight"][1], state["gate.weight"][1, 0] = 0, -100.0  # chosen by nobody
    chosen = (x @ state["gate.weight"].T).topk(2).indices
    want = [int((chosen == e).sum()) for e in range(E)]
    layer = layer_with(part, state, 2)
    read = [0] * E

    def count(number: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            read[number] += inputs[0].reshape(-1, C).shape[0]

        return hook

    for e, expert in enumerate(layer.experts):
        expert.register_forward_pre_hook(count(e))
    layer(x)
    assert_equal(read, want, "how many tokens each expert read")


def check_gradients(part: ModuleType) -> None:
    """Gradients of x, of the router and of the experts that were chosen"""
    x, state = torch.randn(2, 7, C).double(), weights(torch.float64)
    sizes = torch.randn(2, 7, C).double()
    leaves = {name: w.clone().requires_grad_() for name, w in {"x": x, **state}.items()}
    p = (leaves["x"] @ leaves["gate.weight"].T).softmax(-1)
    kept = torch.zeros_like(p).scatter(-1, p.topk(2).indices, 1.0) * p
    out = torch.zeros_like(x)
    for e in range(E):
        gate, up, down = (
            leaves[f"experts.{e}.{name}.weight"] for name in ("gate_proj", "up_proj", "down_proj")
        )
        answer = (F.silu(leaves["x"] @ gate.T) * (leaves["x"] @ up.T)) @ down.T
        out = out + (kept / kept.sum(-1, keepdim=True))[..., e, None] * answer
    expected = torch.autograd.grad((out * sizes).sum(), list(leaves.values()))
    layer = layer_with(part, state, 2)
    x.requires_grad_()
    own = [x, *(layer.get_parameter(name) for name in state)]
    got = torch.autograd.grad((layer(x) * sizes).sum(), own, materialize_grads=True)
    for name, actual, want in zip(leaves, got, expected, strict=True):
        assert_close(actual, want, rtol=1e-4, atol=1e-5, what=f"the gradient of {name}")


def check_dtypes(part: ModuleType) -> None:
    """The output has the dtype of x; large scores of the router do not overflow"""
    x, state = torch.randn(5, C), weights()
    state["gate.weight"] *= 200
    expected = oracle(x, state, 2).float()
    wide, want = weights(torch.float64), None
    want = oracle(x.double(), wide, 2)
    got = layer_with(part, state, 2)(x)
    assert_close(got, expected, what="with scores of some hundreds, the output", **FLOAT32)
    got = layer_with(part, wide, 2)(x.double())
    assert_close(got, want, what="the output in float64", **FLOAT64)


def check_input_unchanged(part: ModuleType) -> None:
    """x is not changed"""
    x = torch.randn(5, C)
    layer = part.MixtureOfExperts(C, HIDDEN, E, 2)
    with torch.no_grad(), unchanged(x=x):
        layer(x)


def balance(scores: Tensor, k: int) -> Tensor:
    """The loss, counted one by one."""
    p = softmax(scores.double().numpy())
    visits = np.zeros(p.shape[1])
    for row in p:
        for e in np.argsort(-row)[:k]:
            visits[e] += 1 / len(p)
    return torch.tensor(p.shape[1] * float((visits * p.mean(0)).sum()))


def check_load_balancing_loss(part: ModuleType) -> None:
    """The balancing loss of random, crowded and even routers"""
    crowded = torch.randn(30, 5)
    crowded[:, 3] += 6
    even = 9 * torch.eye(6).repeat(4, 1)
    cases = {"random": torch.randn(40, 7), "crowded": crowded, "even": even}
    expected = {(name, k): balance(x, k) for name, x in cases.items() for k in (1, 2)}
    for (name, k), want in expected.items():
        got = part.load_balancing_loss(cases[name], k)
        assert_close(got, want, what=f"the loss of {name} scores, k={k},", rtol=1e-5, atol=1e-6)


def check_gradient_of_the_loss(part: ModuleType) -> None:
    """The loss pushes the probabilities of crowded experts down, through the mean alone"""
    scores = torch.randn(30, 5)
    scores[:, 3] += 2
    leaf = scores.clone().requires_grad_()
    p = leaf.softmax(-1)
    visits = F.one_hot(p.topk(2).indices, 5).sum((0, 1)) / 30
    want = torch.autograd.grad(5 * (visits * p.mean(0)).sum(), leaf)[0]
    scores.requires_grad_()
    got = torch.autograd.grad(part.load_balancing_loss(scores, 2), scores)[0]
    assert_close(got, want, rtol=1e-4, atol=1e-7, what="the gradient of the router's scores")


def check_recorded_routing(part: ModuleType) -> None:
    """recorded_routing takes up every pass of every layer, with gradients, and then no more"""
    x, states = torch.randn(2, 3, C), [weights(), weights()]
    first = x.reshape(-1, C) @ states[0]["gate.weight"].T
    model = nn.Sequential(*(layer_with(part, state, 2) for state in states))
    model[1].requires_grad_(False)
    with part.recorded_routing(model) as routing:
        between = model[0](x)
        model[1](between)
        model[0](x)
    model(x)
    assert_equal(len(routing), 3, "how many passes were recorded")
    second = between.detach().reshape(-1, C) @ states[1]["gate.weight"].T
    for number, want in enumerate((first, second, first)):
        what = f"the scores of pass {number + 1}"
        assert_close(routing[number].reshape(-1, E), want, what=what, **FLOAT32)
    if not routing[0].requires_grad:
        raise CheckFailure("the recorded scores have no gradient: record them as they are")
    try:
        with part.recorded_routing(model) as routing:
            raise KeyError
    except KeyError:
        model(x)
        assert_equal(len(routing), 0, "passes recorded after an error ended the block")


def check_bad_input(part: ModuleType) -> None:
    """Sizes that do not fit raise ValueError"""
    for sizes in ((0, 8, 4, 2), (8, 0, 4, 2), (8, 8, 4, 0), (8, 8, 4, 5), (8, 8, 0, 1)):
        call = lambda sizes=sizes: part.MixtureOfExperts(*sizes)  # noqa: E731
        assert_raises(ValueError, call, f"the sizes are {sizes}")
    layer = part.MixtureOfExperts(C, HIDDEN, E, 2)
    assert_raises(ValueError, lambda: layer(torch.ones(2, 2 * C)), "x has 12 features instead of 6")
    for shape, k in (((3, 4), 0), ((3, 4), 5), ((2, 3, 4), 2)):
        scores = torch.ones(shape)
        loss = lambda s=scores, k=k: part.load_balancing_loss(s, k)  # noqa: E731
        assert_raises(ValueError, loss, f"the scores are of shape {shape} and k is {k}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` tokens, eight experts of which each visits two."""
    x, layer = torch.randn(size, 256), part.MixtureOfExperts(256, 512, 8, 2)
    return torch.no_grad()(lambda: layer(x))


SIZE = 128
