"""The log-probabilities that a model gives the tokens of answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.models.language_model import LanguageModel

__all__ = ["AnswerBatch", "answer_batch", "answer_log_probs"]

Ids = Sequence[int]


@dataclass(frozen=True)
class AnswerBatch:
    """Answers behind their prompts, in rows that are filled up at the right."""

    ids: Tensor  # (B, T), int64
    mask: Tensor  # (B, T - 1), bool: whether the token after this one is the answer's


def answer_batch(
    answers: Sequence[tuple[Ids, Ids]], device: torch.device | str = "cpu"
) -> AnswerBatch:
    """Pairs of a prompt's ids and its answer's, neither of them empty, as one batch.

    What fills a row up stands behind the answer, where causal attention does not see it.

    Raises:
        ValueError: there is no pair, or a prompt or an answer is empty.
    """
    if not answers or not all(prompt and answer for prompt, answer in answers):
        raise ValueError("a batch needs prompts and answers of one token at least")
    T = max(len(prompt) + len(answer) for prompt, answer in answers)
    ids = torch.zeros(len(answers), T, dtype=torch.int64)
    mask = torch.zeros(len(answers), T - 1, dtype=torch.bool)
    for row, (prompt, answer) in enumerate(answers):
        end = len(prompt) + len(answer)
        ids[row, :end] = torch.tensor([*prompt, *answer])
        mask[row, len(prompt) - 1 : end - 1] = True
    return AnswerBatch(ids.to(device), mask.to(device))


def answer_log_probs(model: LanguageModel, batch: AnswerBatch) -> Tensor:
    """The natural logarithm of each token's probability; (B, T - 1), 0 outside of the answers.

    Scores over the vocabulary, most of the memory, are computed for the answers alone.
    """
    hidden = model.hidden(batch.ids[:, :-1])[batch.mask]  # (answers' tokens, C)
    logits = model.logits(hidden)
    wide = torch.promote_types(logits.dtype, torch.float32)
    log_probs = -F.cross_entropy(logits.to(wide), batch.ids[:, 1:][batch.mask], reduction="none")
    return log_probs.new_zeros(batch.mask.shape).masked_scatter(batch.mask, log_probs)
