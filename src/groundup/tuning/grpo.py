"""GRPO: policy gradients with advantages relative to a group of answers."""

from typing import Literal

import torch
from torch import Tensor

from groundup.tuning.kl_estimators import k3

__all__ = ["group_advantages", "grpo_loss"]


def group_advantages(rewards: Tensor, *, scale: bool = True) -> Tensor:
    """How much better each answer was than its group.

        advantage = (reward - mean) / (std + 1e-4)

    A group holds the answers to one prompt, so its mean stands in for the value that PPO learns a
    model for. Where all rewards of a group are equal, its advantages are 0 exactly: nothing is
    learned from it.

    Args:
        rewards: shape (groups, G), at least two answers to a group, floating.
        scale: divide by the standard deviation (of a sample, with G - 1); False leaves the
            difference, so that groups of nearly equal rewards do not weigh as much as others.

    Returns:
        The same shape.

    Raises:
        ValueError: rewards are not of that shape.

    Source: Shao et al. 2024, "DeepSeekMath", section 4.1.2; ``scale=False``: Liu et al. 2025,
    "Understanding R1-Zero-like training", section 3.2.
    """
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise ValueError(
            f"rewards of shape {tuple(rewards.shape)}: expected (groups, G) with G of at least 2"
        )
    advantages = rewards - rewards.mean(1, keepdim=True)
    if scale:
        advantages = advantages / (rewards.std(1, keepdim=True) + 1e-4)
    # A mean is rounded, so that equal rewards would leave a trace, which the division enlarges.
    equal = rewards.amax(1, keepdim=True) == rewards.amin(1, keepdim=True)
    return advantages.masked_fill(equal, 0)


def grpo_loss(
    log_probs: Tensor,
    old_log_probs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    clip: float = 0.2,
    reference: Tensor | None = None,
    beta: float = 0.0,
    average: Literal["sequence", "token"] = "sequence",
) -> Tensor:
    """The clipped policy loss, and a penalty for moving away from a reference.

        ratio     = exp(log_probs - old_log_probs)
        of a token = -min(ratio * advantage, clamp(ratio, 1 - clip, 1 + clip) * advantage)
                     + beta * k3(log_probs, reference)

    Args:
        log_probs: of the answers' tokens under the policy that is trained; shape (B, T).
        old_log_probs: under the policy that wrote them; no gradient goes into it.
        advantages: one for each answer; shape (B,).
        mask: bool (B, T), which of the places are an answer's tokens. Others count for nothing,
            whatever stands there.
        clip: how far the ratio may move before it is no longer rewarded, from 0.
        reference: log-probabilities under the reference, (B, T); needed where beta is not 0.
        beta: the weight of the penalty, from 0.
        average: "sequence" takes the mean of each answer's tokens, then of the answers, as the
            paper does: a token of a long answer weighs less. "token" takes the mean of all tokens.

    Returns:
        A scalar. An answer without tokens counts as 0.

    Raises:
        ValueError: clip or beta is negative, beta has no reference, average is another, or mask has
            no place.

    Source: Shao et al. 2024, "DeepSeekMath", equation 3; the clipped ratio: Schulman et al. 2017,
    "Proximal policy optimization algorithms", equation 7; "token": Yu et al. 2025, "DAPO",
    equation 8.
    """
    if clip < 0 or beta < 0:
        raise ValueError(f"clip {clip} and beta {beta} must not be negative")
    if beta and reference is None:
        raise ValueError(f"beta is {beta}, and there is no reference: give its log-probabilities")
    if average not in ("sequence", "token"):
        raise ValueError(f"average is {average!r}: expected 'sequence' or 'token'")
    if not mask.any():
        raise ValueError("the mask has no place: there is no token to learn from")
    # What stands outside of the answers may be infinite; 0 times infinity would be a NaN.
    log_probs = log_probs.masked_fill(~mask, 0)
    ratio = (log_probs - old_log_probs.detach().masked_fill(~mask, 0)).exp()
    advantage = advantages[:, None]
    clipped = ratio.clamp(1 - clip, 1 + clip)
    losses = -torch.minimum(ratio * advantage, clipped * advantage)  # (B, T)
    if beta and reference is not None:
        losses = losses + beta * k3(log_probs, reference.masked_fill(~mask, 0))
    losses = losses.masked_fill(~mask, 0)
    if average == "token":
        return losses.sum() / mask.sum()
    return (losses.sum(1) / mask.sum(1).clamp_min(1)).mean()
