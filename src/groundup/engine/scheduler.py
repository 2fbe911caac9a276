"""Continuous batching: which sequences the next step reads, and how many tokens of each."""

from collections import deque
from dataclasses import dataclass

from groundup.engine.block_allocator import BlockAllocator
from groundup.engine.prefix_cache import PrefixCache
from groundup.engine.sequence import Sequence

__all__ = ["Chunk", "Scheduler"]


@dataclass(slots=True)  # not frozen, for the reason that `Token` is not
class Chunk:
    """The next ``count`` unread tokens of a sequence; its blocks have room for them."""

    sequence: Sequence
    count: int
    outputs: int = 1  # of its last tokens, for how many the engine wants what may come next


class Scheduler:
    """Fills every step's batch anew, so that a sequence joins and leaves at any step.

    - A step reads at most ``token_budget`` tokens. The sequences that are *running* come first, in
      the order in which they came; then those that are *waiting*, in theirs. Each reads as many of
      its unread tokens as the budget still has, so a long prompt is read in pieces, and does not
      hold up the others.
    - A sequence takes the blocks that its next chunk needs, and no more. One that waits begins when
      there are fewer than ``max_sequences`` running and so many blocks are free; none behind it
      begins before it. It takes from the prefix cache what is known of its beginning, except its
      last token, which is always read: its output chooses the next one. The chain of digests
      begins with the sequence's ``root``.
    - If a running sequence needs more blocks than are free, the one that came last is *preempted*,
      itself perhaps, and so on until there are enough. The preempted one gives up all its blocks,
      goes to the head of the queue, and later begins again from its tokens, as far as the prefix
      cache does not still know them. A step that preempts lets none begin.
    - The sequence that came first is never preempted, so it ends, and then the next one does:
      none starves.
    - A sequence that gives up its blocks releases the last one first, as the first are shared more
      often, and should stay longer.

    It knows nothing of tensors. The engine calls `schedule`, lets the model read the batch, and
    calls `advance` for each chunk; then each sequence that was read to its end gets its next token
    appended to ``tokens``, or is removed. Blocks are given out through the prefix cache alone.

    Between `schedule` and `advance` the engine may let a chunk go on with tokens that it guesses,
    and give the sequence blocks for them. Of those that were wrong nothing is left but the blocks:
    a sequence may have more than its next chunk needs, and uses them before it takes others.

    Attributes, which are read and not set from outside:

    - ``allocator``: the `BlockAllocator`, whose blocks only sequences that run hold.
    - ``prefix_cache``: the `PrefixCache` over it.
    - ``waiting``: a deque of sequences, the next one first. They have no blocks, ``read`` is 0 and
      ``digest`` is ``b""``.
    - ``running``: a list of those that have begun, in the order in which they came.
    - ``preemptions``: how many there were.

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
            ValueError: it has no tokens; or its ``last_length`` is more than all blocks together
                have positions, so that it might never end.
        """
        if not sequence.tokens:
            raise ValueError("a sequence needs at least one token to begin with")
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
        the chunk. Where one begins for the first time, its ``cached`` and ``begun`` are set; where
        it begins, ``blocks``, ``read`` and ``digest`` are those of what the prefix cache knows.
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
            missing = self._missing(sequence, count)
            if missing > self.allocator.free:
                self._free(sequence)
                break
            if not sequence.begun:
                sequence.begun, sequence.cached = True, sequence.read
            self.waiting.popleft()
            self.running.append(sequence)
            self._extend(sequence, missing)
            batch.append(Chunk(sequence, count))
            budget -= count
        return batch

    def advance(self, chunk: Chunk) -> None:
        """Note that the model has read a chunk; full blocks can be shared from now on.

        The sequence's ``read`` moves on by the chunk. Each block that it has filled is made known
        to the prefix cache, with ``digest`` as that of the last full one; a block that is not full
        is not.
        """
        sequence, size = chunk.sequence, self._block_size
        first_full, last_full = sequence.read // size, (sequence.read + chunk.count) // size
        for index in range(first_full, last_full):
            tokens = sequence.tokens[index * size : (index + 1) * size]
            sequence.digest = self.prefix_cache.add(sequence.digest, sequence.blocks[index], tokens)
        sequence.read += chunk.count

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that has ended or was cancelled, and free its blocks at once.

        Not between `schedule` and `advance`: the model is writing in its blocks.

        Raises:
            ValueError: it is neither running nor waiting.
        """
        if sequence in self.running:
            self.running.remove(sequence)
        else:
            self.waiting.remove(sequence)
        self._free(sequence)

    def _find_prefix(self, sequence: Sequence) -> None:
        sequence.blocks, sequence.digest = self.prefix_cache.match(
            sequence.tokens[:-1], sequence.root
        )
        sequence.read = len(sequence.blocks) * self._block_size

    def _make_room(self, sequence: Sequence, count: int) -> bool:
        """Give a running sequence the blocks for ``count`` tokens more, if need be by preemption.

        False: it was itself the last one, and was preempted.
        """
        missing = self._missing(sequence, count)
        while missing > self.allocator.free:
            last = self.running.pop()
            self._free(last)
            self.waiting.appendleft(last)
            self.preemptions += 1
            if last is sequence:
                return False
        self._extend(sequence, missing)
        return True

    def _missing(self, sequence: Sequence, count: int) -> int:
        return -(-(sequence.read + count) // self._block_size) - len(sequence.blocks)

    def _extend(self, sequence: Sequence, missing: int) -> None:
        for _ in range(missing):
            sequence.blocks.append(self.prefix_cache.allocate())

    def _free(self, sequence: Sequence) -> None:
        for block in reversed(sequence.blocks):
            self.allocator.release(block)
        sequence.blocks, sequence.read, sequence.digest = [], 0, b""
