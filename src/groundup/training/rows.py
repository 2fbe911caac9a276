"""Rows of tokens that a model is trained on, chosen by the number of the sample."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.errors import GroundupError
from groundup.training.data_order import shuffled
from groundup.training.gradient_accumulation import IGNORED
from groundup.training.packing import pack
from groundup.training.token_shards import TokenShards

__all__ = ["PackedRows", "Rows", "StreamRows", "in_shuffled_order"]


class Rows(Protocol):
    """Inputs and targets by the number of the sample: a pure function, so training can resume."""

    def __len__(self) -> int:
        """Samples of one epoch."""

    def take(self, samples: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Samples (N,), counted over all epochs, to ids and targets, both (N, T), int64."""


class StreamRows:
    """A stream of tokens cut into rows, whose order is shuffled anew in each epoch.

    The cuts move from epoch to epoch, so that a token is not always the first of its row. The
    targets are the ids that follow.
    """

    def __init__(self, tokens: TokenShards, context: int, seed: int) -> None:
        """Rows of ``context`` ids.

        Raises:
            GroundupError: there are too few tokens for a row.
        """
        self.tokens, self.context, self.seed = tokens, context, seed
        self.rows = (len(tokens) - context) // context  # the cuts may move by context - 1
        if self.rows < 1:
            raise GroundupError(
                f"the corpus has {len(tokens):,} tokens, and rows of {context} need at least "
                f"{2 * context:,}: give it more text, or a shorter --context"
            )

    def __len__(self) -> int:
        return self.rows

    def take(self, samples: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """As `Rows.take`."""
        found = np.empty((len(samples), self.context + 1), np.int64)
        for i, start in enumerate(self.starts(samples)):
            found[i] = self.tokens.read(int(start), self.context + 1)
        both = torch.from_numpy(found)
        return both[:, :-1], both[:, 1:]

    def starts(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where in the stream each sample begins."""
        starts = self.context * in_shuffled_order(samples, self.rows, self.seed)
        epochs = samples // self.rows
        for epoch in np.unique(epochs):
            move = shuffled(np.zeros(1, np.int64), self.context, self.seed + int(epoch))
            starts[epochs == epoch] += move
        return starts


class PackedRows:
    """Documents that are not cut, several in a row; the rest of a row is padding without a loss."""

    def __init__(self, documents: Sequence[Sequence[int]], context: int, seed: int) -> None:
        """Pack documents into rows of ``context`` ids; longer ones are left out.

        Raises:
            GroundupError: no document fits.
        """
        fitting = [document for document in documents if 1 < len(document) <= context + 1]
        if not fitting:
            raise GroundupError(f"none of {len(documents):,} documents has 2 to {context + 1} "
                                "tokens: give shorter ones, or a longer --context")  # fmt: skip
        self.seed = seed
        rows = pack([len(document) for document in fitting], context + 1)
        self.ids = torch.zeros(len(rows), context, dtype=torch.int64)
        self.targets = torch.full((len(rows), context), IGNORED)
        for row, members in enumerate(rows):
            ids = torch.tensor([token for member in members for token in fitting[member]])
            self.ids[row, : len(ids) - 1] = ids[:-1]
            self.targets[row, : len(ids) - 1] = ids[1:]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, samples: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """As `Rows.take`."""
        places = in_shuffled_order(samples, len(self), self.seed)
        return self.ids[places], self.targets[places]


def in_shuffled_order(samples: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """The row of each sample, counted over epochs of ``size`` rows, each in an order of its own."""
    epochs, places = np.divmod(samples, size)
    for epoch in np.unique(epochs):
        places[epochs == epoch] = shuffled(places[epochs == epoch], size, seed + int(epoch))
    return places
