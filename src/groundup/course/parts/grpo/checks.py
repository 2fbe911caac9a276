"""Checks of `groundup.tuning.grpo`. Oracle: the formulas in NumPy, token by token, in float64."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_raises, unchanged

FLOAT64 = {"rtol": 1e-11, "atol": 1e-14}
LENGTHS = (5, 2, 1, 4)


def answers() -> dict[str, Tensor]:
    """Four answers of different lengths, with ratios on both sides of the clip."""
    B, T = len(LENGTHS), max(LENGTHS)
    log_probs = -3 * torch.rand(B, T, dtype=torch.float64)
    mask = torch.arange(T) < torch.tensor(LENGTHS)[:, None]
    return {
        "log_probs": log_probs,
        "old_log_probs": log_probs + 0.4 * torch.randn(B, T, dtype=torch.float64),
        "advantages": torch.tensor([1.5, -0.5, 0.75, -1.25], dtype=torch.float64),
        "mask": mask,
    }


def a_reference(given: dict[str, Tensor]) -> Tensor:
    return given["log_probs"] + 0.5 * torch.randn(given["mask"].shape, dtype=torch.float64)


def expected_loss(
    given: dict[str, Tensor], *, clip: float = 0.2, reference: Tensor | None = None,
    beta: float = 0.0, average: str = "sequence",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The loss, and its gradient in ``log_probs``, by loops over answers and tokens."""
    new, old = given["log_probs"].detach().numpy(), given["old_log_probs"].numpy()
    mask, advantages = given["mask"].numpy(), given["advantages"].numpy()
    counted = [int(row.sum()) for row in mask]
    loss, gradient = 0.0, np.zeros_like(new)
    for i, t in zip(*mask.nonzero(), strict=True):
        weight = 1 / sum(counted) if average == "token" else 1 / counted[i] / len(mask)
        ratio, A = np.exp(new[i, t] - old[i, t]), advantages[i]
        low, high = 1 - clip, 1 + clip
        held = (A > 0 and ratio > high) or (A < 0 and ratio < low)  # no more is gained there
        value = -(min(max(ratio, low), high) if held else ratio) * A
        slope = 0.0 if held else -ratio * A
        if reference is not None:
            d = reference.numpy()[i, t] - new[i, t]
            value += beta * (np.exp(d) - d - 1)
            slope += beta * (1 - np.exp(d))
        loss += weight * value
        gradient[i, t] = weight * slope
    return torch.tensor(loss, dtype=torch.float64), torch.from_numpy(gradient)


def compare(part: ModuleType, given: dict[str, Tensor], what: str, **settings: Any) -> None:
    loss, gradient = expected_loss(given, **settings)
    moved = given["log_probs"].clone().requires_grad_()
    got = part.grpo_loss(**{**given, "log_probs": moved}, **settings)
    assert_close(got, loss, what=f"the loss {what}", **FLOAT64)
    (found,) = torch.autograd.grad(got, moved)
    assert_close(found, gradient, what=f"the gradient {what}", **FLOAT64)


def check_advantages(part: ModuleType) -> None:
    """Advantages: rewards in standard deviations from their group's mean"""
    rewards = torch.rand(5, 4, dtype=torch.float64) * torch.tensor([[1.0], [9], [0.1], [1], [3]])
    array: NDArray[Any] = rewards.numpy()
    off = array - array.mean(1, keepdims=True)
    std = np.sqrt((off**2).sum(1, keepdims=True) / 3)
    got = part.group_advantages(rewards)
    assert_close(got, torch.from_numpy(off / (std + 1e-4)), what="the advantages", **FLOAT64)
    got = part.group_advantages(rewards, scale=False)
    assert_close(got, torch.from_numpy(off), what="the advantages with scale=False", **FLOAT64)


def check_equal_rewards(part: ModuleType) -> None:
    """A group of equal rewards has advantages of exactly 0; others beside it do not"""
    rewards = torch.tensor([[0.3] * 7, [1.0] + [0] * 6, [0.7] * 7])  # their means are rounded
    for scale in (True, False):
        got = part.group_advantages(rewards, scale=scale)
        zero = torch.zeros(2, 7)
        what = f"the advantages of groups of equal rewards with scale={scale}"
        assert_close(got[[0, 2]], zero, rtol=0, atol=0, what=what)
    expected = torch.tensor([6 / 7] + [-1 / 7] * 6) / (7**-0.5 + 1e-4)
    got = part.group_advantages(rewards)[1]
    assert_close(
        got, expected, rtol=1e-5, atol=0, what="the advantages of one reward of 1 among zeros"
    )


def check_unmoved_policy(part: ModuleType) -> None:
    """The policy that wrote the answers: the plain policy gradient"""
    given = answers()
    given["old_log_probs"] = given["log_probs"].clone()
    compare(part, given, "where the policy has not moved")


def check_clipping(part: ModuleType) -> None:
    """Ratios beyond the clip are no longer rewarded, but still corrected"""
    for clip in (0.2, 0.05, 1.0):
        compare(part, answers(), f"for clip={clip}", clip=clip)


def check_each_side(part: ModuleType) -> None:
    """The four corners: ratios above and below, advantages of both signs"""
    for advantage in (1.0, -1.0):
        for ratio in (0.5, 1.5):
            given = {
                "log_probs": torch.tensor([[np.log(ratio)]]),
                "old_log_probs": torch.zeros(1, 1, dtype=torch.float64),
                "advantages": torch.tensor([advantage], dtype=torch.float64),
                "mask": torch.ones(1, 1, dtype=torch.bool),
            }
            compare(part, given, f"of one token with advantage {advantage} and ratio {ratio}")


def check_penalty(part: ModuleType) -> None:
    """The penalty is beta times k3 to the reference"""
    for beta in (0.04, 1.5):
        given = answers()
        reference = a_reference(given)
        compare(part, given, f"for beta={beta}", reference=reference, beta=beta)


def check_average_over_tokens(part: ModuleType) -> None:
    """average="token": every token weighs the same"""
    given = answers()
    compare(part, given, 'for average="token"', average="token")
    reference = a_reference(given)
    settings = {"reference": reference, "beta": 0.1, "average": "token"}
    compare(part, given, 'for average="token" with a penalty', **settings)


def check_outside_of_answers(part: ModuleType) -> None:
    """What stands outside of the answers counts for nothing, infinities included"""
    given = answers()
    reference = a_reference(given)
    for average in ("sequence", "token"):
        settings: dict[str, Any] = {"beta": 0.1, "average": average}
        loss, gradient = expected_loss(given, reference=reference, **settings)
        spoilt = {k: v.masked_fill(~given["mask"], -torch.inf) for k, v in given.items()
                  if k.endswith("log_probs")}  # fmt: skip
        spoilt["log_probs"] = spoilt["log_probs"].requires_grad_()
        with_nothing = reference.masked_fill(~given["mask"], torch.inf)
        got = part.grpo_loss(**{**given, **spoilt}, reference=with_nothing, **settings)
        what = f'with infinities outside of the answers, average="{average}"'
        assert_close(got, loss, what=f"the loss {what}", **FLOAT64)
        (found,) = torch.autograd.grad(got, spoilt["log_probs"])
        assert_close(found, gradient, what=f"the gradient {what}", **FLOAT64)


def check_empty_answer(part: ModuleType) -> None:
    """An answer without tokens counts as 0"""
    given = answers()
    given["mask"][1] = False
    loss = float(expected_loss({k: v[[0, 2, 3]] for k, v in given.items()})[0])
    expected = torch.tensor(loss * 3 / 4, dtype=torch.float64)
    assert_close(part.grpo_loss(**given), expected, what="the loss", **FLOAT64)


def check_old_is_held(part: ModuleType) -> None:
    """No gradient goes into old_log_probs"""
    given = answers()
    moved = given["log_probs"].clone().requires_grad_()
    loss, gradient = expected_loss({**given, "old_log_probs": given["log_probs"]})
    got = part.grpo_loss(**{**given, "log_probs": moved, "old_log_probs": moved})
    assert_close(got, loss, what="the loss where old_log_probs are log_probs", **FLOAT64)
    (found,) = torch.autograd.grad(got, moved)
    assert_close(found, gradient, what="the gradient there", **FLOAT64)


def check_inputs_unchanged(part: ModuleType) -> None:
    """The inputs stay as they are"""
    given = answers()
    reference, rewards = a_reference(given), torch.rand(2, 3)
    with unchanged(**given, reference=reference, rewards=rewards):
        part.grpo_loss(**given, reference=reference, beta=0.1)
        part.group_advantages(rewards)


def check_bad_input(part: ModuleType) -> None:
    """Bad shapes and settings raise ValueError"""
    given = answers()

    def refused(when: str, **changes: Any) -> None:
        assert_raises(ValueError, lambda: part.grpo_loss(**{**given, **changes}), when)

    refused("clip is negative", clip=-0.1)
    refused("beta is negative", beta=-0.1, reference=given["log_probs"])
    refused("beta has no reference", beta=0.1)
    refused("average is 'mean'", average="mean")
    refused("the mask has no place", mask=torch.zeros_like(given["mask"]))
    for rewards in (torch.rand(4), torch.rand(3, 1), torch.rand(2, 2, 2)):
        assert_raises(
            ValueError,
            partial(part.group_advantages, rewards),
            f"the rewards have shape {tuple(rewards.shape)}",
        )


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` answers of 128 tokens."""
    log_probs, old, reference = -torch.rand(3, size, 128)
    advantages, mask = torch.randn(size), torch.ones(size, 128, dtype=torch.bool)
    return lambda: part.grpo_loss(log_probs, old, advantages, mask, reference=reference, beta=0.04)


SIZE = 512
