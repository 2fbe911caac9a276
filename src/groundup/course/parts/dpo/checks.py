"""Checks of `groundup.tuning.dpo`. Oracle: the formulas in NumPy, in float64."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_raises, unchanged

FLOAT64 = {"rtol": 1e-11, "atol": 1e-13}
SETTINGS = ((0.1, 0.0), (0.1, 0.2), (0.7, 0.0), (2.5, 0.4))


def answers(pairs: int = 6) -> list[Tensor]:
    """Log-probabilities of chosen and rejected answers under the policy, then the reference."""
    policy = -40 * torch.rand(2, pairs, dtype=torch.float64) - 1
    return [*policy, *(policy + 4 * torch.randn(2, pairs, dtype=torch.float64))]


def arrays(tensors: list[Tensor]) -> list[NDArray[Any]]:
    return [tensor.numpy() for tensor in tensors]


def margins(values: list[NDArray[Any]], beta: float) -> NDArray[Any]:
    chosen, rejected, reference_chosen, reference_rejected = values
    margin: NDArray[Any] = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return margin


def scalar(value: float) -> Tensor:
    return torch.tensor(float(value), dtype=torch.float64)


def check_implicit_reward(part: ModuleType) -> None:
    """The implicit reward is beta times the log ratio"""
    policy, _, reference, _ = answers()
    for beta in (0.1, 3.0):
        expected = torch.from_numpy(
            beta * np.log(np.exp(policy.numpy()) / np.exp(reference.numpy()))
        )
        got = part.implicit_reward(policy, reference, beta=beta)
        assert_close(got, expected, what=f"the reward for beta={beta}", **FLOAT64)


def check_values(part: ModuleType) -> None:
    """The loss equals the formula, with and without label smoothing"""
    for beta, wrong in SETTINGS:
        given = answers()
        margin = margins(arrays(given), beta)
        losses = (1 - wrong) * np.logaddexp(0, -margin) + wrong * np.logaddexp(0, margin)
        expected = scalar(losses.mean())
        got = part.dpo_loss(*given, beta=beta, label_smoothing=wrong)
        assert_close(got, expected, what=f"the loss for beta={beta}, smoothing {wrong}", **FLOAT64)


def check_defaults(part: ModuleType) -> None:
    """By default beta is 0.1, and no label is taken to be wrong"""
    given = answers()
    expected = scalar(np.logaddexp(0, -margins(arrays(given), 0.1)).mean())
    assert_close(part.dpo_loss(*given), expected, what="the loss", **FLOAT64)


def check_gradients(part: ModuleType) -> None:
    """Gradients: large where the order is wrong, small where it is right"""
    for beta, wrong in SETTINGS:
        given = answers()
        margin = margins(arrays(given), beta)
        slope = (1 - wrong) / (1 + np.exp(margin)) - wrong / (1 + np.exp(-margin))
        expected = torch.from_numpy(beta * slope / len(margin))
        chosen, rejected = (answer.requires_grad_() for answer in given[:2])
        part.dpo_loss(chosen, rejected, *given[2:], beta=beta, label_smoothing=wrong).backward()
        for answer, sign, name in ((chosen, -1, "chosen"), (rejected, 1, "rejected")):
            gradient = torch.zeros_like(expected) if answer.grad is None else answer.grad
            what = f"the gradient of the {name} answers for beta={beta}, smoothing {wrong}"
            assert_close(gradient, sign * expected, what=what, **FLOAT64)


def check_log_2(part: ModuleType) -> None:
    """While the policy is the reference the loss is log 2"""
    policy = answers()[:2]
    for beta, wrong in SETTINGS:
        got = part.dpo_loss(*policy, *policy, beta=beta, label_smoothing=wrong)
        assert_close(got, scalar(np.log(2)), what=f"the loss for beta={beta}", **FLOAT64)


def check_best_margin(part: ModuleType) -> None:
    """With label smoothing the loss has its minimum at a finite margin"""
    wrong, beta = 0.2, 0.5
    best = np.log((1 - wrong) / wrong) / beta
    zero = torch.zeros(1, dtype=torch.float64)
    chosen = torch.full((1,), best, dtype=torch.float64, requires_grad=True)
    part.dpo_loss(chosen, zero, zero, zero, beta=beta, label_smoothing=wrong).backward()
    gradient = zero if chosen.grad is None else chosen.grad
    assert_close(gradient, zero, what="the gradient at the margin log(0.8 / 0.2)", **FLOAT64)


def check_far_margins(part: ModuleType) -> None:
    """Margins of any size give finite losses"""
    zero, far = torch.zeros(1), torch.tensor([-1e5])
    lost, won = torch.tensor(1e4), torch.tensor(0.0)
    got = part.dpo_loss(far, zero, zero, zero)
    assert_close(got, lost, rtol=1e-6, atol=0, what="the loss where the margin is -10,000")
    got = part.dpo_loss(zero, far, zero, zero)
    assert_close(got, won, rtol=1e-6, atol=1e-30, what="the loss where the margin is 10,000")


def check_ipo(part: ModuleType) -> None:
    """IPO's loss and gradient equal the formula"""
    for beta in (0.1, 0.8):
        given = answers()
        off = margins(arrays(given), 1.0) - 1 / (2 * beta)
        loss, gradient = scalar((off**2).mean()), torch.from_numpy(2 * off / len(off))
        chosen = given[0].requires_grad_()
        got = part.ipo_loss(chosen, *given[1:], beta=beta)
        assert_close(got, loss, what=f"IPO's loss for beta={beta}", **FLOAT64)
        got.backward()
        found = torch.zeros_like(gradient) if chosen.grad is None else chosen.grad
        assert_close(found, gradient, what=f"IPO's gradient for beta={beta}", **FLOAT64)


def check_inputs_unchanged(part: ModuleType) -> None:
    """The inputs stay as they are"""
    names = ("chosen", "rejected", "reference_chosen", "reference_rejected")
    given = dict(zip(names, answers(), strict=True))
    with unchanged(**given):
        part.dpo_loss(**given)
        part.ipo_loss(**given)


def check_bad_input(part: ModuleType) -> None:
    """A beta that is not positive, and a smoothing of half or more, raise ValueError"""
    one = torch.zeros(1)
    for beta in (0.0, -0.1, float("nan")):
        for loss in (part.dpo_loss, part.ipo_loss):
            assert_raises(
                ValueError,
                partial(loss, *[one] * 4, beta=beta),
                f"beta is {beta}",
                "beta",
            )
        assert_raises(
            ValueError, partial(part.implicit_reward, one, one, beta=beta), f"beta is {beta}"
        )
    for smoothing in (0.5, 1.0, -0.1):
        assert_raises(
            ValueError,
            partial(part.dpo_loss, *[one] * 4, label_smoothing=smoothing),
            f"label_smoothing is {smoothing}",
            "label_smoothing",
        )


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a batch of ``size`` pairs."""
    given = answers(size)
    return lambda: part.dpo_loss(*given)


SIZE = 10_000
