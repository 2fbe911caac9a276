"""Optimisers against torch's for 100 steps in float64, clipping, and resumption."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from groundup.errors import GroundupError
from groundup.scratch.adam import Adam
from groundup.scratch.adamw import AdamW
from groundup.scratch.gradient_clipping import clip_gradient_norm
from groundup.scratch.optimiser import Optimiser
from groundup.scratch.rms_prop import RMSProp
from groundup.scratch.sgd import SGD
from groundup.scratch.tensor import Array, Tensor

SHAPES = [(3, 4), (4,), ()]

PAIRS: dict[str, tuple[Callable[..., Optimiser], Callable[..., torch.optim.Optimizer]]] = {
    "SGD": (lambda p: SGD(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (
        lambda p: SGD(p, 0.05, momentum=0.9),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
    ),
    "Nesterov and L2": (
        lambda p: SGD(p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.8, nesterov=True, weight_decay=0.1),
    ),
    "RMSProp": (
        lambda p: RMSProp(p, 0.01, decay=0.9),
        lambda p: torch.optim.RMSprop(p, 0.01, alpha=0.9),
    ),
    "Adam": (lambda p: Adam(p, 0.01), lambda p: torch.optim.Adam(p, 0.01)),
    "Adam and L2": (
        lambda p: Adam(p, 0.01, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1),
        lambda p: torch.optim.Adam(p, 0.01, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1),
    ),
    "AdamW": (
        lambda p: AdamW(p, 0.01, weight_decay=0.1),
        lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    ),
}


def values(seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape)) for shape in SHAPES]


@pytest.mark.parametrize("name", PAIRS)
def test_100_steps_equal_those_of_torch(name: str) -> None:
    """Each with gradients of a curved loss at its own parameters, and a changing learning rate."""
    make, make_torch = PAIRS[name]
    mine = [Tensor(x.copy(), requires_grad=True) for x in values(0)]
    theirs = [torch.tensor(x, requires_grad=True) for x in values(0)]
    ours, other = make(mine), make_torch(theirs)
    base = ours.learning_rate
    for step in range(100):
        ours.learning_rate = base / (1 + step / 50)
        for group in other.param_groups:
            group["lr"] = base / (1 + step / 50)
        ours.zero_grad()
        other.zero_grad()
        noise = values(step + 1)
        for p, q, z in zip(mine, theirs, noise, strict=True):
            ((p * p * p * 0.1 + p * Tensor(z)) * p).sum().backward()
            ((q * q * q * 0.1 + q * torch.tensor(z)) * q).sum().backward()
        ours.step()
        other.step()
    for p, q, x in zip(mine, theirs, values(0), strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-10, atol=1e-13)
        assert abs(p.data - x).mean() > 0.01, "a parameter did not move"


def test_a_parameter_without_gradient_stays() -> None:
    for make, _ in PAIRS.values():
        moved, still = Tensor(np.ones(2), True), Tensor(np.ones(2), True)
        optimiser = make([moved, still])
        moved.grad = np.ones(2)
        optimiser.step()
        assert (still.data == 1).all()
        assert (moved.data < 1).all()


@pytest.mark.parametrize("name", PAIRS)
def test_steps_keep_float32_and_change_the_array_in_place(name: str) -> None:
    p = Tensor(np.ones(3, np.float32), requires_grad=True)
    array, p.grad = p.data, np.full(3, 0.5, np.float32)
    optimiser = PAIRS[name][0]([p])
    for _ in range(2):
        optimiser.step()
    assert p.data is array
    assert p.dtype == np.float32
    assert p.grad.tolist() == [0.5] * 3
    assert all(v.dtype == np.float32 for n, v in optimiser.state().items() if n != "steps")


@pytest.mark.parametrize("name", PAIRS)
def test_a_loaded_state_goes_on_as_if_nothing_had_happened(name: str) -> None:
    def step(optimiser: Optimiser, count: int) -> None:
        for seed in range(count):
            for p, g in zip(optimiser.parameters, values(seed + optimiser.steps), strict=True):
                p.grad = g
            optimiser.step()

    make = PAIRS[name][0]
    whole = make([Tensor(x, True) for x in values(0)])
    step(whole, 3)
    resumed = make([Tensor(p.data.copy(), True) for p in whole.parameters])
    resumed.load_state({name: array.copy() for name, array in whole.state().items()})
    step(whole, 3)
    step(resumed, 3)
    for p, q in zip(whole.parameters, resumed.parameters, strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_another_optimisers_state_is_refused() -> None:
    p = [Tensor(np.ones(2), True)]
    with pytest.raises(GroundupError, match="state of another optimiser"):
        Adam(p).load_state(SGD(p, 0.1).state())
    with pytest.raises(GroundupError, match="or of another network"):
        Adam(p).load_state(Adam([Tensor(np.ones(3), True)]).state())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD([], 0.1), "no parameters"),
        (lambda p: SGD(p, -0.1), "must not be negative, got -0.1"),
        (lambda p: SGD(p, float("nan")), "must not be negative, got nan"),
        (lambda p: SGD(p, 0.1, momentum=1.0), "expected momentum from 0 to less than 1"),
        (lambda p: SGD(p, 0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda p: SGD(p, 0.1, weight_decay=-1), "weight_decay of at least 0"),
        (lambda p: RMSProp(p, decay=1.0), "expected decay from 0 to less than 1"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), "expected betas from 0 to less than 1"),
        (lambda p: Adam(p, eps=0), "eps above 0"),
        (lambda p: AdamW(p, weight_decay=-1), "weight_decay of at least 0"),
        (lambda p: clip_gradient_norm(p, 0), "max_norm must be positive"),
    ],
)
def test_values_out_of_range_are_refused(make: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make([Tensor(np.ones(2), True)])


@pytest.mark.parametrize("limit", [0.1, 1.0, 100.0])
def test_clipping_equals_torchs(limit: float) -> None:
    mine = [Tensor(x, True) for x in values(0)]
    theirs = [torch.tensor(x, requires_grad=True) for x in values(0)]
    for p, q, g in zip(mine, theirs, values(1), strict=True):
        p.grad, q.grad = g.copy(), torch.tensor(g)
    mine.append(Tensor(np.ones(2), True))  # without a gradient
    norm = torch.nn.utils.clip_grad_norm_(theirs, limit)
    assert clip_gradient_norm(mine, limit) == pytest.approx(norm.item(), rel=1e-12)
    for p, q in itertools.zip_longest(mine[:-1], theirs):
        assert q.grad is not None
        assert p.grad is not None
        np.testing.assert_allclose(p.grad, q.grad.numpy(), rtol=2e-6)  # torch adds 1e-6 to the norm


def test_gradients_that_are_not_finite_are_left_to_be_seen() -> None:
    for bad in (np.inf, np.nan):
        p = Tensor(np.ones(2), True)
        p.grad = np.array([1.0, bad])
        assert not np.isfinite(clip_gradient_norm([p], 1.0))
        assert p.grad[0] == 1.0
