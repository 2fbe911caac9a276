"""A reward model: one number for an answer, learned from preferences."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.models.gpt2 import GPT2
from groundup.models.linear import Linear
from groundup.models.llama import Llama

__all__ = ["RewardModel", "bradley_terry_loss"]


class RewardModel(nn.Module):
    """A language model whose output layer is replaced by a single row, ``score``.

    Causal attention lets only the last token see all of an answer, so its output is what is scored.

    Source: Ouyang et al. 2022, "Training language models to follow instructions with human
    feedback", section 3.5.
    """

    def __init__(self, model: Llama | GPT2) -> None:
        """Put a head on a model, which is taken over; its parameters are made trainable.

        The head, ``score``, starts at 0: no answer is better than another. It has no bias, which no
        preference would depend on. An output layer that is not tied to the embeddings is not used,
        and is frozen.
        """
        super().__init__()
        self.model = model.requires_grad_(True)
        if isinstance(model, Llama) and not model.config.tied_embeddings:
            self.model.lm_head.requires_grad_(False)
        dim = model.config.dim
        self.score = Linear(dim, 1, bias=False, device=model.device, dtype=model.dtype)
        nn.init.zeros_(self.score.weight)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Score conversations.

        Args:
            ids: prompts with their answers, shape (B, T), filled up at the right.
            lengths: how many ids of each row are the conversation's, shape (B,), from 1 to T.

        Returns:
            Shape (B,).

        Raises:
            ValueError: a length is not from 1 to T.
        """
        B, T = ids.shape
        if lengths.shape != (B,) or lengths.min() < 1 or lengths.max() > T:
            raise ValueError(f"lengths {lengths.tolist()}: expected {B} from 1 to {T}")
        hidden = self.model.hidden(ids)  # (B, T, C)
        last = hidden[torch.arange(B, device=ids.device), lengths - 1]
        scores: Tensor = self.score(last)[:, 0]
        return scores


def bradley_terry_loss(chosen: Tensor, rejected: Tensor) -> Tensor:
    """The mean negative log-likelihood that the chosen answers win against the rejected.

        P(chosen wins) = sigmoid(chosen - rejected)

    Args:
        chosen, rejected: scores of answers to the same prompts, shape (B,).

    Returns:
        A scalar, finite for scores of any finite size; log 2 where all scores are equal.

    Raises:
        ValueError: the shapes differ.

    Source: Bradley and Terry 1952, "Rank analysis of incomplete block designs"; Ouyang et al. 2022,
    equation 1.
    """
    if chosen.shape != rejected.shape:
        raise ValueError(
            f"{tuple(chosen.shape)} chosen and {tuple(rejected.shape)} rejected scores: expected "
            "pairs"
        )
    return -F.logsigmoid(chosen - rejected).mean()
