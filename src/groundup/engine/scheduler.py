"""Continuous batching: which sequences the next step reads, and how many tokens of each."""

from collections import deque
from dataclasses import dataclass

from groundup.engine.block_allocator import BlockAllocator
from groundup.engine.prefix_cache import PrefixCache
from groundup.engine.sequence import Sequence

__all__ = ["Chunk", "Scheduler"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next ``count`` unread tokens of a sequence; its blocks have room for them."""

    sequence: Sequence
    count: int


class Scheduler:
    """Fills every step's batch anew, so that a sequence joins and leaves at any step.

    - A step reads at most ``token_budget`` tokens. Sequences that have begun come first, in the
      order in which they came; then those that wait, in theirs. A long prompt is read in pieces,
      so that it does not hold up the others.
    - A sequence that needs a block when none is free takes those of the one that came last
      (*preemption*). The preempted one goes back to the head of the queue and is read again from
      its tokens, as far as the prefix cache does not still hold them.
    - The sequence that came first is never preempted, so it ends, and then the next one does:
      none starves.

    It knows nothing of tensors.

    Source: Yu et al. 2022, "Orca", section 3 (iteration-level scheduling); Kwon et al. 2023,
    "PagedAttention", section 4.5 (preemption by recomputation); Agrawal et al. 2024,
    "Sarathi-Serve", section 4 (chunked prefill).
    """

    def __init__(
        self, blocks: int, block_size: int, *, token_budget: int, max_sequences: int
    ) -> None:
        """Make a scheduler over ``blocks`` free blocks of ``block_size`` positions.

        Args:
            token_budget: the most tokens that one step reads.
            max_sequences: the most sequences that have begun and not ended.

        Raises:
            ValueError: one of the sizes is not positive.
        """
        for name, size in (("token_budget", token_budget), ("max_sequences", max_sequences)):
            if size <= 0:
                raise ValueError(f"{name} must be positive, got {size}")
        self.allocator = BlockAllocator(blocks)
        self.prefix_cache = PrefixCache(self.allocator, block_size)
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # in the order in which they came
        self.preemptions = 0
        self._block_size = block_size
        self._token_budget = token_budget
        self._max_sequences = max_sequences

    def add(self, sequence: Sequence) -> None:
        """Put a sequence at the end of the queue.

        Raises:
            ValueError: it could never end, because all blocks together are too few for it.
        """
        positions = self.allocator.size * self._block_size
        if sequence.last_length > positions:
            raise ValueError(
                f"a sequence of up to {sequence.last_length} tokens does not fit the cache of "
                f"{positions}"
            )
        self.waiting.append(sequence)

    def schedule(self) -> list[Chunk]:
        """The next step's batch; empty only when there is no sequence.

        Each sequence occurs at most once, with at least one token. Its ``blocks`` have room for
        the chunk. After the model has read the batch, call `advance` for each chunk.
        """
        budget = self._token_budget
        batch: list[Chunk] = []
        preemptions = self.preemptions
        turn = 0
        while turn < len(self.running) and budget > 0:  # preemption shortens the list from its end
            sequence = self.running[turn]
            count = min(sequence.unread, budget)
            if self._make_room(sequence, count):
                batch.append(Chunk(sequence, count))
                budget -= count
            turn += 1
        if self.preemptions > preemptions:  # what was just taken away is not given back at once
            return batch
        while self.waiting and budget > 0 and len(self.running) < self._max_sequences:
            sequence = self.waiting[0]
            self._find_prefix(sequence)
            count = min(sequence.unread, budget)
            if self._missing(sequence, count) > self.allocator.free:
                self._free(sequence)
                break
            self.waiting.popleft()
            self.running.append(sequence)
            self._extend(sequence, count)
            batch.append(Chunk(sequence, count))
            budget -= count
        return batch

    def advance(self, chunk: Chunk) -> None:
        """Note that the model has read a chunk; full blocks can be shared from now on."""
        sequence, size = chunk.sequence, self._block_size
        first_full, last_full = sequence.read // size, (sequence.read + chunk.count) // size
        for index in range(first_full, last_full):
            tokens = sequence.tokens[index * size : (index + 1) * size]
            sequence.digest = self.prefix_cache.add(sequence.digest, sequence.blocks[index], tokens)
        sequence.read += chunk.count

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that has ended or was cancelled, and free its blocks at once."""
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self._free(sequence)

    def _find_prefix(self, sequence: Sequence) -> None:
        # The last token is always read: its output chooses the next one.
        sequence.blocks, sequence.digest = self.prefix_cache.match(sequence.tokens[:-1])
        sequence.read = len(sequence.blocks) * self._block_size
        if len(sequence.tokens) == sequence.prompt_length:
            sequence.cached = sequence.read

    def _make_room(self, sequence: Sequence, count: int) -> bool:
        """Give a running sequence the blocks for ``count`` tokens more, if need be by preemption.

        False: it was itself the last one, and was preempted.
        """
        while self._missing(sequence, count) > self.allocator.free:
            last = self.running.pop()
            self._free(last)
            self.waiting.appendleft(last)
            self.preemptions += 1
            if last is sequence:
                return False
        self._extend(sequence, count)
        return True

    def _missing(self, sequence: Sequence, count: int) -> int:
        return -(-(sequence.read + count) // self._block_size) - len(sequence.blocks)

    def _extend(self, sequence: Sequence, count: int) -> None:
        for _ in range(self._missing(sequence, count)):
            sequence.blocks.append(self.prefix_cache.allocate())

    def _free(self, sequence: Sequence) -> None:
        # From the end: what begins a sequence is shared more often, and should stay longer.
        for block in reversed(sequence.blocks):
            self.allocator.release(block)
        sequence.blocks, sequence.read, sequence.digest = [], 0, b""
