"""Pairs of answers in rows, and the losses by which DPO and a reward model learn from them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.language_model import LanguageModel
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.training.rows import in_shuffled_order
from groundup.training.trainer import LossSum
from groundup.tuning.answer_log_probs import AnswerBatch, answer_batch, answer_log_probs
from groundup.tuning.data_file import Example, Turns
from groundup.tuning.dpo import dpo_loss, implicit_reward, ipo_loss
from groundup.tuning.reward_model import RewardModel, bradley_terry_loss

__all__ = [
    "Pair",
    "PreferenceRows",
    "dpo_loss_sum",
    "dpo_margins",
    "encode_pairs",
    "reference_log_probs",
    "reward_loss_sum",
    "reward_margins",
    "share_of_wins",
]

Ids = list[int]


@dataclass(frozen=True)
class Pair:
    """Two answers, each behind its prompt: ids."""

    chosen: tuple[Ids, Ids]
    rejected: tuple[Ids, Ids]


def encode_pairs(
    examples: Iterable[Example], tokenizer: Tokenizer, context: int
) -> tuple[list[Pair], list[int]]:
    """The pairs of examples, of which only the last answer is compared; and rows left out.

    A pair of which one conversation has more than ``context`` tokens is left out: what remains of
    an answer that is cut off is not what was preferred.

    Raises:
        GroundupError: an example is no preference, does not end with an answer, or cannot be
            rendered; names the row.
    """
    pairs, left_out = [], []
    for example in examples:
        if not example.rejected:
            raise GroundupError(
                f"row {example.row} has no rejected answer: preferences are rows with prompt, "
                "chosen and rejected"
            )
        try:
            pair = Pair(_answer(example.messages, tokenizer), _answer(example.rejected, tokenizer))
        except GroundupError as error:
            raise GroundupError(f"row {example.row}: {error}") from None
        if max(len(p) + len(a) for p, a in (pair.chosen, pair.rejected)) > context:
            left_out.append(example.row)
        else:
            pairs.append(pair)
    return pairs, left_out


def _answer(messages: Turns, tokenizer: Tokenizer) -> tuple[Ids, Ids]:
    if messages[-1]["role"] != "assistant":
        raise GroundupError("a preference ends with an answer, which is what is compared")
    prompt, answer = tokenizer.encode_answer(messages)
    ends = [place for place, token in enumerate(answer, start=1) if token in tokenizer.eos_ids]
    return prompt, answer[: ends[-1]] if ends else answer  # a line end behind it is not the model's


class PreferenceRows:
    """Pairs as `groundup.training.rows.Rows`: each is one target, whose value is its number.

    Inputs are (N, 2, 2, T): of the chosen and of the rejected answer the ids, behind the prompt,
    and which of them are the answer's.
    """

    def __init__(self, pairs: Sequence[Pair], seed: int, *, first: int = 0) -> None:
        """Rows whose order follows from the seed; the first pair has the number ``first``.

        Raises:
            GroundupError: there is no pair.
        """
        if not pairs:
            raise GroundupError("there is no pair to learn from: give more rows, or shorter ones")
        self.seed, self.first = seed, first
        batch = answer_batch([answer for pair in pairs for answer in (pair.chosen, pair.rejected)])
        mask = torch.nn.functional.pad(batch.mask.long(), (1, 0))
        self.inputs = torch.stack((batch.ids, mask), dim=1).unflatten(0, (len(pairs), 2))

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, samples: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """As `groundup.training.rows.Rows.take`."""
        places = in_shuffled_order(samples, len(self), self.seed)
        return self.inputs[places], torch.from_numpy(places) + self.first

    def in_order(self, size: int) -> Iterable[tuple[Tensor, Tensor]]:
        """All pairs once, so many at a time."""
        numbers = torch.arange(self.first, self.first + len(self))
        return zip(self.inputs.split(size), numbers.split(size), strict=True)


def _both(inputs: Tensor) -> AnswerBatch:
    """Chosen and rejected answers in turn, in rows no longer than the longest of them."""
    ids, mask = inputs.flatten(0, 1).unbind(1)  # (2 N, T)
    end = int(mask.any(0).nonzero().max()) + 1
    return AnswerBatch(ids[:, :end], mask[:, 1:end].bool())


def _log_probs(model: nn.Module, batch: AnswerBatch, bfloat16: bool) -> Tensor:
    """Of whole answers: (N, 2), chosen and rejected."""
    with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=bfloat16):
        found = answer_log_probs(cast(LanguageModel, model), batch)
    return found.sum(1).view(-1, 2)


@torch.no_grad()
def reference_log_probs(
    model: nn.Module,
    rows: Sequence[PreferenceRows],
    *,
    micro_batch: int,
    bfloat16: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Tensor:
    """The log-probabilities of all answers under the model that stays, computed once: (pairs, 2).

    Args:
        model: the reference: the policy before it has learned, or with its adapter switched off.
        rows: whose numbers follow one another.
        micro_batch: pairs at a time.
        bfloat16: as the policy's products are computed.
        progress: is told how many pairs are done, of how many.
    """
    found: list[Tensor] = []
    total = sum(map(len, rows))
    for part in rows:
        for inputs, _ in part.in_order(micro_batch):
            found.append(_log_probs(model, _both(inputs), bfloat16))
            progress(sum(map(len, found)), total)
    return torch.cat(found)


def dpo_loss_sum(
    reference: Tensor,
    *,
    kind: Literal["sigmoid", "ipo"] = "sigmoid",
    beta: float = 0.1,
    label_smoothing: float = 0.0,
) -> LossSum:
    """DPO's loss, or IPO's, as `groundup.training.trainer.train` takes it, summed over pairs.

    ``reference`` is what `reference_log_probs` gave.

    Raises:
        ValueError: IPO has no label smoothing.
    """
    if kind == "ipo" and label_smoothing:
        raise ValueError(f"label_smoothing is {label_smoothing}: IPO has none")

    def loss(model: nn.Module, inputs: Tensor, targets: Tensor, bfloat16: bool) -> Tensor:
        batch = _both(inputs)
        policy, before = _log_probs(model, batch, bfloat16), reference[targets]
        if kind == "ipo":
            lengths = batch.mask.sum(1).view(-1, 2)
            policy, before = policy / lengths, before / lengths
            found = ipo_loss(*policy.unbind(1), *before.unbind(1), beta=beta)
        else:
            found = dpo_loss(
                *policy.unbind(1), *before.unbind(1), beta=beta, label_smoothing=label_smoothing
            )
        return found * len(targets)

    return loss


def reward_loss_sum(model: nn.Module, inputs: Tensor, targets: Tensor, bfloat16: bool) -> Tensor:
    """The reward model's loss, as `groundup.training.trainer.train` takes it, summed over pairs."""
    scores = _scores(model, inputs, bfloat16)
    return bradley_terry_loss(*scores.unbind(1)) * len(targets)


def _scores(model: nn.Module, inputs: Tensor, bfloat16: bool) -> Tensor:
    """(N, 2), chosen and rejected."""
    batch = _both(inputs)
    places = torch.arange(2, batch.mask.shape[1] + 2, device=batch.ids.device)
    lengths = (batch.mask * places).amax(1)
    with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=bfloat16):
        scores: Tensor = cast(RewardModel, model)(batch.ids, lengths)
    return scores.view(-1, 2).float()


Margins = Callable[[Tensor, Tensor], Tensor]


def dpo_margins(
    model: nn.Module, reference: Tensor, *, beta: float = 0.1, bfloat16: bool = False
) -> Margins:
    """From inputs and targets to the implicit rewards' differences, (N,)."""

    def margins(inputs: Tensor, targets: Tensor) -> Tensor:
        policy = _log_probs(model, _both(inputs), bfloat16)
        chosen, rejected = implicit_reward(policy, reference[targets], beta=beta).unbind(1)
        return chosen - rejected

    return margins


def reward_margins(model: RewardModel, *, bfloat16: bool = False) -> Margins:
    """From inputs and targets to the scores' differences, (N,)."""

    def margins(inputs: Tensor, targets: Tensor) -> Tensor:
        chosen, rejected = _scores(model, inputs, bfloat16).unbind(1)
        return chosen - rejected

    return margins


@torch.no_grad()
def share_of_wins(
    margins: Margins, rows: PreferenceRows, *, micro_batch: int
) -> NDArray[np.float64]:
    """For each pair, in order: 1 where the chosen answer wins, 0 where not, a half for a draw."""
    found = torch.cat([margins(*part) for part in rows.in_order(micro_batch)])
    return ((found > 0).double() + (found == 0).double() / 2).cpu().numpy()
