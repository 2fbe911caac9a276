"""DPO: a preference loss on the log ratios of policy and reference."""

import torch.nn.functional as F
from torch import Tensor

__all__ = ["dpo_loss", "implicit_reward", "ipo_loss"]


def implicit_reward(policy: Tensor, reference: Tensor, *, beta: float = 0.1) -> Tensor:
    """The reward for which the policy would be the best one, up to a constant of the prompt.

        reward = beta * (log policy(answer) - log reference(answer))

    Args:
        policy, reference: log-probabilities of whole answers, sums over their tokens; shape (B,).
        beta: the price of moving away from the reference, positive.

    Returns:
        Shape (B,).

    Raises:
        ValueError: beta is not positive.

    Source: Rafailov et al. 2023, "Direct preference optimization", section 4, equation 5.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    return beta * (policy - reference)


def dpo_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> Tensor:
    """The mean negative log-likelihood of the preferences, under the rewards of `implicit_reward`.

        margin = reward of the chosen - reward of the rejected
        loss   = -(1 - label_smoothing) * log sigmoid(margin)
                 - label_smoothing * log sigmoid(-margin)

    With label smoothing it is conservative DPO: so many of the labels are taken to be wrong, and
    the best margin is finite. Margins of any size give a finite loss.

    Args:
        chosen, rejected: log-probabilities of whole answers under the policy, sums over their
            tokens; shape (B,).
        reference_chosen, reference_rejected: the same under the reference.
        beta: as `implicit_reward` has it.
        label_smoothing: from 0, and less than 0.5.

    Returns:
        A scalar; log 2 while the policy is the reference.

    Raises:
        ValueError: beta is not positive, or label_smoothing is not in its range.

    Source: Rafailov et al. 2023, equation 7; Mitchell 2023, "A note on DPO with noisy preferences
    and relationship to IPO", equation 3.
    """
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must be from 0 and less than 0.5, got {label_smoothing}")
    margin = implicit_reward(chosen, reference_chosen, beta=beta) - implicit_reward(
        rejected, reference_rejected, beta=beta
    )
    wrong = label_smoothing
    losses = -(1 - wrong) * F.logsigmoid(margin) - wrong * F.logsigmoid(-margin)
    return losses.mean()


def ipo_loss(
    chosen: Tensor,
    rejected: Tensor,
    reference_chosen: Tensor,
    reference_rejected: Tensor,
    *,
    beta: float = 0.1,
) -> Tensor:
    """The mean squared distance of the log ratios' difference from what beta asks for.

        difference = (chosen - reference_chosen) - (rejected - reference_rejected)
        loss       = (difference - 1 / (2 * beta)) ** 2

    Args:
        chosen, rejected, reference_chosen, reference_rejected: as `dpo_loss` has them, but *means*
            over the answers' tokens: a sum grows with the length, and the target does not.
        beta: positive; called tau in the paper.

    Returns:
        A scalar; 1 / (4 * beta ** 2) while the policy is the reference.

    Raises:
        ValueError: beta is not positive.

    Source: Azar et al. 2023, "A general theoretical paradigm to understand learning from human
    preferences", section 5.2, equation 17; means, as the authors told the writers of TRL.
    """
    if not beta > 0:
        raise ValueError(f"beta must be positive, got {beta}")
    difference = (chosen - reference_chosen) - (rejected - reference_rejected)
    return (difference - 1 / (2 * beta)).square().mean()
