"""Checks of `groundup.tuning.kl_estimators`. Oracle: divergences that are known exactly."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_close, unchanged

FLOAT64 = {"rtol": 1e-11, "atol": 1e-14}
NAMES = ("k1", "k2", "k3")


def log_probs() -> tuple[Tensor, Tensor]:
    """Of the same samples, under two models that differ much in some of them."""
    log_p = -5 * torch.rand(4, 7, dtype=torch.float64)
    return log_p, log_p + torch.randn(4, 7, dtype=torch.float64)


def by_enumeration() -> tuple[Tensor, Tensor, Tensor, float]:
    """Each of six outcomes with p's weight, so that means are exact; and KL(p || q)."""
    p, q = torch.rand(2, 6, dtype=torch.float64) + 0.1
    p, q = p / p.sum(), q / q.sum()
    divergence = float((p.numpy() * np.log(p.numpy() / q.numpy())).sum())
    return p, p.log(), q.log(), divergence


def check_k1(part: ModuleType) -> None:
    """k1 is the log ratio of the samples' own model to the other"""
    log_p, log_q = log_probs()
    expected = torch.from_numpy(np.log(np.exp(log_p.numpy()) / np.exp(log_q.numpy())))
    assert_close(part.k1(log_p, log_q), expected, what="k1", **FLOAT64)


def check_k2(part: ModuleType) -> None:
    """k2 is half of its square"""
    log_p, log_q = log_probs()
    expected = torch.from_numpy(0.5 * np.log(np.exp(log_p.numpy() - log_q.numpy())) ** 2)
    assert_close(part.k2(log_p, log_q), expected, what="k2", **FLOAT64)


def check_k3(part: ModuleType) -> None:
    """k3 is the ratio less 1 less its logarithm"""
    log_p, log_q = log_probs()
    ratio = np.exp(log_q.numpy()) / np.exp(log_p.numpy())
    expected = torch.from_numpy(ratio - 1 - np.log(ratio))
    assert_close(part.k3(log_p, log_q), expected, what="k3", **FLOAT64)


def check_unbiased(part: ModuleType) -> None:
    """Over all outcomes, weighted by p, k1 and k3 have the divergence as their mean"""
    p, log_p, log_q, divergence = by_enumeration()
    expected = torch.tensor(divergence, dtype=torch.float64)
    for name in ("k1", "k3"):
        values = getattr(part, name)(log_p, log_q)
        assert_close((p * values).sum(), expected, what=f"the mean of {name}", **FLOAT64)


def check_never_negative(part: ModuleType) -> None:
    """k2 and k3 are never negative, and 0 where the models agree"""
    log_p, log_q = log_probs()
    for name in ("k2", "k3"):
        values = getattr(part, name)(log_p, log_q)
        assert_close(values.clamp_min(0), values.detach(), rtol=0, atol=0, what=name)
        same = getattr(part, name)(log_p, log_p)
        assert_close(same, torch.zeros_like(log_p), rtol=0, atol=0, what=f"{name} of equal models")


def check_small_differences(part: ModuleType) -> None:
    """k3 of models that nearly agree keeps its digits"""
    log_p = torch.zeros(3, dtype=torch.float64)
    d = torch.tensor([1e-6, -1e-6, 1e-5], dtype=torch.float64)
    expected = d**2 / 2 + d**3 / 6 + d**4 / 24
    assert_close(part.k3(log_p, d), expected, rtol=1e-3, atol=0, what="k3 of small differences")


def check_gradients(part: ModuleType) -> None:
    """Gradients go into the model that is trained"""
    log_p, log_q = log_probs()
    ratio = np.exp(log_q.numpy() - log_p.numpy())
    slopes = {
        "k1": np.ones_like(ratio),
        "k2": -np.log(ratio),
        "k3": 1 - ratio,
    }
    for name in NAMES:
        given = log_p.clone().requires_grad_()
        values = getattr(part, name)(given, log_q)
        if not isinstance(values, Tensor) or not values.requires_grad:
            raise CheckFailure(f"{name} does not depend on log_p: no gradient would go into it")
        (gradient,) = torch.autograd.grad(values.sum(), given)
        expected = torch.from_numpy(slopes[name])
        assert_close(gradient, expected, what=f"the gradient of {name}", **FLOAT64)


def check_inputs_unchanged(part: ModuleType) -> None:
    """The inputs stay as they are"""
    log_p, log_q = log_probs()
    with unchanged(log_p=log_p, log_q=log_q):
        for name in NAMES:
            getattr(part, name)(log_p, log_q)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: k3 of ``size`` tokens."""
    log_p, log_q = -torch.rand(2, size)
    return lambda: part.k3(log_p, log_q)


SIZE = 1_000_000
