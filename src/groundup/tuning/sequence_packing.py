"""Several texts in one row that cannot see one another, each read as if it were alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from typing import Protocol

import torch
from torch import Tensor, nn

from groundup.models.language_model import Attend

__all__ = ["PackedModel", "hidden_of_packed", "lengths_of", "positions_of"]

PADDING = -1  # the position of what belongs to no text


class PackedModel(Protocol):
    """What is needed of a model: its modules, the last layer's output, and scores of that."""

    def modules(self) -> Iterator[nn.Module]:
        """Of which those that attend have an ``attend``, as `Attend`."""

    def hidden(self, ids: Tensor) -> Tensor:
        """Token ids (B, T) to the last layer's output (B, T, C); it may take positions (T,) too."""

    def logits(self, hidden: Tensor) -> Tensor:
        """That output to scores (B, T, vocabulary)."""


def positions_of(lengths: Sequence[int], room: int) -> Tensor:
    """The positions (room,) of texts of these lengths in one row: each begins at 0.

    What is left of the row is `PADDING`.
    """
    parts = [torch.arange(n) for n in lengths]
    return torch.cat([*parts, torch.full((room - sum(lengths),), PADDING)])


def lengths_of(positions: Tensor) -> list[int]:
    """How long the texts are that stand at these positions (T,), which hold no padding."""
    starts = (positions == 0).nonzero()[:, 0].tolist()
    return [b - a for a, b in zip(starts, [*starts[1:], len(positions)], strict=True)]


def hidden_of_packed(model: PackedModel, ids: Tensor, positions: Tensor) -> Tensor:
    """The last layer's output for rows of packed texts.

    Each text's output is what the model gives for it alone: no text attends to another, and each
    is at positions from 0. Padding is not computed. A model whose ``hidden`` takes positions reads
    all texts as one row; its attention is computed text by text, so that it costs no more than
    that of the texts alone. Another reads them as a batch, filled up at their ends, which no
    causal model sees.

    Args:
        model: causal. Its attention must be its modules' ``attend``.
        ids, positions: (B, T), int64; positions as `positions_of` gives them.

    Returns:
        Shape (N, dim), of the N tokens that are not padding, in order.
    """
    real = positions != PADDING
    ids, positions = ids[real], positions[real]
    lengths = lengths_of(positions)
    if "positions" in signature(model.hidden).parameters:
        with _apart(model, lengths):
            found: Tensor = model.hidden(ids[None], positions=positions)[0]  # type: ignore[call-arg]
            return found
    batch = nn.utils.rnn.pad_sequence(ids.split(lengths), batch_first=True)  # (texts, longest)
    hidden = model.hidden(batch)
    return torch.cat([row[:length] for row, length in zip(hidden, lengths, strict=True)])


@contextmanager
def _apart(model: PackedModel, lengths: list[int]) -> Iterator[None]:
    """Within it, the modules' attention is that of the texts of these lengths, each alone."""
    found: dict[nn.Module, Attend] = {m: m.attend for m in model.modules() if hasattr(m, "attend")}  # type: ignore[misc]
    for module, attend in found.items():
        module.attend = _TextByText(attend, lengths)  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, attend in found.items():
            module.attend = attend  # type: ignore[assignment]


class _TextByText:
    """Attention within each text."""

    def __init__(self, attend: Attend, lengths: list[int]) -> None:
        self.attend, self.lengths = attend, lengths

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
        """As `Attend`, for queries, keys and values (B, H, T, D) of the texts, end to end."""
        texts = zip(*(x.split(self.lengths, dim=2) for x in (q, k, v)), strict=True)
        return torch.cat([self.attend(*text, causal=causal) for text in texts], dim=2)
