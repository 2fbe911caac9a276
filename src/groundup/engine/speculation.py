"""Speculative decoding in a batch: what is drafted behind which chunks, and what is kept of it."""

from collections.abc import Collection
from collections.abc import Sequence as Rows
from dataclasses import dataclass, replace
from typing import Protocol

from torch import Tensor

from groundup.engine.prompt_lookup import PromptLookup
from groundup.engine.sampler import Sampler
from groundup.engine.scheduler import Chunk, Scheduler
from groundup.engine.sequence import Sequence

__all__ = ["Draft", "Drafter", "LookupDrafter", "Speculation"]


@dataclass(frozen=True, slots=True)
class Draft:
    """Tokens that may come next, 1 or more."""

    tokens: list[int]
    scores: Tensor | None = None  # (tokens, V): they were drawn from the softmax; None: certain

    def until(self, stop_ids: Collection[int]) -> "Draft | None":
        """Without what comes behind a stop id, and in a certain draft without the stop id too.

        Of a drawn one it is kept: the rule that accepts it counts on every token that is drawn.
        """
        for place, token in enumerate(self.tokens):
            if token in stop_ids:
                n = place if self.scores is None else place + 1
                return (
                    Draft(self.tokens[:n], None if self.scores is None else self.scores[:n])
                    if n
                    else None
                )
        return self


class Drafter(Protocol):
    """Proposes what comes next; `groundup.engine.draft_model` has one too."""

    def draft(
        self, batch: Rows[Chunk], most: Rows[int], samplers: Rows[Sampler | None]
    ) -> list[Draft | None]:
        """For each chunk at most so many tokens; None where it has none to propose."""

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended."""


class LookupDrafter:
    """`PromptLookup` for many sequences."""

    def __init__(self) -> None:
        self._lookups: dict[Sequence, PromptLookup] = {}

    def draft(
        self, batch: Rows[Chunk], most: Rows[int], samplers: Rows[Sampler | None]
    ) -> list[Draft | None]:
        """As `Drafter`."""
        drafts: list[Draft | None] = []
        for chunk, n in zip(batch, most, strict=True):
            tokens: list[int] = []
            if n:
                lookup = self._lookups.setdefault(chunk.sequence, PromptLookup())
                tokens = lookup.draft(chunk.sequence.tokens, n)
            drafts.append(Draft(tokens) if tokens else None)
        return drafts

    def forget(self, sequence: Sequence) -> None:
        """As `Drafter`."""
        self._lookups.pop(sequence, None)


class Speculation:
    """Lets the chunks of a batch that end their sequences go on with drafted tokens.

    Drafts take what the batch leaves: of the step's tokens up to ``step_tokens``, and of the free
    blocks. They preempt nobody. Between `extend` and `settle` a sequence's tokens end with its
    draft; the scheduler sees them only once they are final.

    A draft that stood whole makes the sequence's next one twice as long, up to ``most``; after
    another it is one longer than what stood.
    """

    def __init__(
        self,
        drafter: Drafter,
        scheduler: Scheduler,
        block_size: int,
        *,
        most: int,
        step_tokens: int,
    ) -> None:
        """Draft at most ``most`` tokens for a sequence, while steps have up to ``step_tokens``.

        Raises:
            ValueError: one of both is less than 1.
        """
        for name, number in (("most", most), ("step_tokens", step_tokens)):
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        self.drafts = 0  # since the start
        self.drafted_tokens = 0
        self.accepted_tokens = 0
        self._drafter, self._scheduler, self._block_size = drafter, scheduler, block_size
        self._most, self._step_tokens = most, step_tokens
        self._lengths: dict[Sequence, int] = {}  # of the next draft, where it is not `most`

    def extend(
        self, batch: list[Chunk], samplers: Rows[Sampler | None], stop_ids: Rows[Collection[int]]
    ) -> tuple[list[Chunk], list[Draft | None]]:
        """The batch with drafts: a chunk with one wants an output for each drafted token too.

        Of a draft, what comes behind a stop id is left out.
        """
        left = self._step_tokens - sum(chunk.count for chunk in batch)
        most = []
        for chunk in batch:
            most.append(self._make_room(chunk, left))
            left -= most[-1]
        drafts = self._drafter.draft(batch, most, samplers)
        for place, (draft, stops) in enumerate(zip(drafts, stop_ids, strict=True)):
            if draft is None:
                continue
            draft = drafts[place] = draft.until(stops)
            if draft is not None:
                chunk, n = batch[place], len(draft.tokens)
                chunk.sequence.tokens.extend(draft.tokens)
                batch[place] = replace(chunk, count=chunk.count + n, outputs=1 + n)
        return batch, drafts

    def settle(self, chunk: Chunk, draft: Draft, accepted: int) -> Chunk:
        """What was read of the chunk and stands, to be given to `Scheduler.advance`."""
        n = len(draft.tokens)
        self.drafts += 1
        self.drafted_tokens += n
        self.accepted_tokens += accepted
        length = self._lengths.get(chunk.sequence, self._most)
        longer = max(length, min(2 * n, self._most))
        self._lengths[chunk.sequence] = longer if accepted == n else accepted + 1
        return replace(chunk, count=chunk.count - n + accepted, outputs=1)

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended."""
        self._lengths.pop(sequence, None)
        self._drafter.forget(sequence)

    def _make_room(self, chunk: Chunk, left: int) -> int:
        """How many tokens can be drafted behind a chunk, whose sequence gets the blocks for them.

        With all of them accepted, one more is chosen, and may be the sequence's last.
        """
        sequence, end = chunk.sequence, chunk.sequence.read + chunk.count
        n = min(self._lengths.get(sequence, self._most), left, sequence.last_length - end - 1)
        if n < 1 or end < len(sequence.tokens):
            return 0
        allocator, cache = self._scheduler.allocator, self._scheduler.prefix_cache
        while len(sequence.blocks) * self._block_size < end + n and allocator.free:
            sequence.blocks.append(cache.allocate())
        return min(n, len(sequence.blocks) * self._block_size - end)
