"""Supervised fine-tuning: rows of packed conversations, and the loss of the assistant's tokens."""

from collections.abc import Sequence
from inspect import signature
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.linear import Linear
from groundup.training.gradient_accumulation import IGNORED
from groundup.training.packing import pack
from groundup.training.rows import in_shuffled_order
from groundup.tuning.chunked_cross_entropy import chunked_cross_entropy_sum
from groundup.tuning.loss_mask import MaskedSequence
from groundup.tuning.sequence_packing import (
    PackedModel,
    hidden_of_packed,
    lengths_of,
    positions_of,
)

__all__ = ["SupervisedRows", "read_at_once", "supervised_loss_sum"]


class SupervisedRows:
    """Masked sequences in rows, as `groundup.training.rows.Rows`.

    The inputs are (N, 2, T): ids, and their positions, which begin anew with each sequence. A token
    has a target where the next one of its sequence counts; the last of a sequence has none, and is
    left out.
    """

    def __init__(self, sequences: Sequence[MaskedSequence], context: int, seed: int) -> None:
        """Pack sequences into rows of ``context`` tokens, whose order follows from the seed.

        Raises:
            GroundupError: there is no sequence.
            ValueError: one has more than ``context + 1`` tokens, or none that counts.
        """
        if not sequences:
            raise GroundupError("there is no example to learn from: give more rows of data")
        for number, sequence in enumerate(sequences):
            if not any(sequence.counts[1:]):
                raise ValueError(f"sequence {number} has no token that counts")
        self.seed = seed
        rows = pack([len(s.ids) - 1 for s in sequences], context)
        self.inputs = torch.zeros(len(rows), 2, context, dtype=torch.int64)
        self.targets = torch.full((len(rows), context), IGNORED)
        for row, members in enumerate(rows):
            packed = [sequences[member] for member in members]
            ids = torch.tensor([token for s in packed for token in s.ids[:-1]])
            following = torch.tensor([token for s in packed for token in s.ids[1:]])
            counted = torch.tensor([counts for s in packed for counts in s.counts[1:]])
            self.inputs[row, 0, : len(ids)] = ids
            self.inputs[row, 1] = positions_of([len(s.ids) - 1 for s in packed], context)
            self.targets[row, : len(ids)] = following.where(counted, torch.tensor(IGNORED))

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, samples: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """As `groundup.training.rows.Rows.take`."""
        places = in_shuffled_order(samples, len(self), self.seed)
        return self.inputs[places], self.targets[places]


def supervised_loss_sum(
    model: nn.Module, inputs: Tensor, targets: Tensor, bfloat16: bool
) -> Tensor:
    """The sum of the cross-entropies of all targets that are not `IGNORED`, in nats.

    Scores are computed where a target counts alone: over a vocabulary of 49,152 they are a fifth of
    a small model's work, and most of a batch's memory.

    Args:
        model: has ``hidden`` and ``logits``, as `groundup.models.language_model.LanguageModel`.
        inputs: ids and positions (B, 2, T), as `SupervisedRows` gives them.
        targets: (B, T).
        bfloat16: products are in bfloat16 (autocast).
    """
    reader = cast(PackedModel, model)
    ids, positions = inputs.unbind(1)
    wanted = targets[positions >= 0]  # (N,)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=bfloat16):
        hidden = hidden_of_packed(reader, ids, positions)  # (N, dim)
        hidden, wanted = hidden[wanted != IGNORED], wanted[wanted != IGNORED]
        output = getattr(model, "lm_head", None)
        if isinstance(output, Linear) and not output.weight.requires_grad:
            dtype = torch.bfloat16 if bfloat16 else output.dtype
            return chunked_cross_entropy_sum(hidden, output.weight.to(dtype), wanted)
        logits = reader.logits(hidden[None])[0]
    return F.cross_entropy(logits.float(), wanted, reduction="sum")


def read_at_once(model: PackedModel, positions: Tensor) -> tuple[int, int]:
    """The most tokens that `supervised_loss_sum` reads of one row, and those of the longest text.

    ``positions`` (N, T) of N rows. A model that takes no positions reads a row's texts as a batch.
    """
    together = "positions" in signature(model.hidden).parameters
    read = longest = 0
    for row in positions:
        lengths = lengths_of(row[row >= 0])
        longest = max(longest, *lengths)
        read = max(read, sum(lengths) if together else len(lengths) * max(lengths))
    return read, longest
