"""The engine's last steps, and what its cache holds now: for those who look into it at work.

Numbers only: no token and no text of a request is told.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from time import perf_counter, time
from typing import NamedTuple

from groundup.engine.scheduler import Chunk, Scheduler
from groundup.engine.sequence import Sequence

__all__ = ["EngineView", "SequenceRead", "SequenceView", "StepLog", "StepView"]

STEPS = (
    100  # that are kept; to look at those of 256 sequences takes 0.05 s, of a few next to nothing
)


@dataclass(frozen=True, slots=True)
class SequenceRead:
    """What a step read of one sequence."""

    sequence: int  # the request's key
    tokens: int
    of_prompt: int  # so many of them; the others are of the answer, drafted ones among them
    found: int  # prompt tokens that the prefix cache had, in the step in which the sequence began


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of the model."""

    number: int  # the first one is 1
    began: float  # seconds since 1970
    seconds: float
    reads: list[SequenceRead]
    preempted: list[int]  # sequences that lost their blocks to it
    waiting: int  # sequences that had no place in it
    held: int  # blocks that sequences had in it
    known: int  # blocks that the prefix cache could find, held or free


@dataclass(frozen=True, slots=True)
class SequenceView:
    """A request on its way."""

    sequence: int  # the request's key
    running: bool  # else it waits
    prompt: int  # tokens
    tokens: int  # of prompt and answer so far
    read: int  # tokens whose keys and values are in the blocks
    found: int  # those of the prompt that the prefix cache had when it began
    blocks: list[int]  # numbers, in the order of the positions; others may hold them too


@dataclass(frozen=True, slots=True)
class EngineView:
    """An engine between two steps."""

    blocks: int
    block_size: int  # tokens
    cached: list[int]  # free blocks whose content the prefix cache can still find
    sequences: list[SequenceView]
    steps: list[StepView]  # the last ones, the newest at the end


class _Step(NamedTuple):
    start: float
    reads: list[tuple[int, int, int, int]]  # as `SequenceRead`
    preempted: list[int]
    waiting: int
    held: int
    known: int


class StepLog:
    """A ring of the last steps. To keep one costs microseconds; to look makes the readable form."""

    def __init__(self, scheduler: Scheduler, block_size: int) -> None:
        self._scheduler = scheduler
        self._block_size = block_size
        self._clock = time() - perf_counter()
        self._number = 0
        self._preemptions = 0
        self._begun: _Step
        self._steps: deque[tuple[int, float, _Step]] = deque(maxlen=STEPS)  # number, seconds

    def begin(self, start: float, batch: list[Chunk], keys: Mapping[Sequence, int]) -> None:
        """Note what a step is going to read.

        Args:
            start: when the step began, by `time.perf_counter`.
            batch: what it reads; the sequences are as they were before.
            keys: of all requests.
        """
        scheduler = self._scheduler
        preempted: list[int] = []
        if lost := scheduler.preemptions - self._preemptions:
            self._preemptions = scheduler.preemptions
            preempted = [keys[sequence] for sequence in islice(scheduler.waiting, lost)]
        reads = []
        for chunk in batch:
            sequence = chunk.sequence
            before, prompt = sequence.read, sequence.prompt_length
            of_prompt = min(chunk.count, prompt - before) if before < prompt else 0
            begins = of_prompt and before == sequence.cached and len(sequence.tokens) == prompt
            found = sequence.cached if begins else 0
            reads.append((keys[sequence], chunk.count, of_prompt, found))
        allocator = scheduler.allocator
        held, known = allocator.size - allocator.free, len(scheduler.prefix_cache)
        self._begun = _Step(start, reads, preempted, len(scheduler.waiting), held, known)

    def end(self) -> None:
        """The step that began has ended."""
        self._number += 1
        self._steps.append((self._number, perf_counter() - self._begun.start, self._begun))

    def clear(self) -> None:
        """Forget all steps: they were to warm up."""
        self._steps.clear()
        self._number = 0

    def view(self, keys: Mapping[Sequence, int]) -> EngineView:
        """What there is to see between two steps. It takes a time that grows with the blocks."""
        allocator, known = self._scheduler.allocator, self._scheduler.prefix_cache
        return EngineView(
            allocator.size,
            self._block_size,
            [b for b in range(allocator.size) if not allocator.holders(b) and b in known],
            [
                *views(self._scheduler.running, keys, running=True),
                *views(self._scheduler.waiting, keys, running=False),
            ],
            [
                StepView(
                    number,
                    self._clock + step.start,
                    seconds,
                    [SequenceRead(*read) for read in step.reads],
                    step.preempted,
                    step.waiting,
                    step.held,
                    step.known,
                )
                for number, seconds, step in self._steps
            ],
        )


def views(
    sequences: Iterable[Sequence], keys: Mapping[Sequence, int], *, running: bool
) -> list[SequenceView]:
    return [
        SequenceView(
            keys[s], running, s.prompt_length, len(s.tokens), s.read, s.cached, list(s.blocks)
        )
        for s in sequences
    ]
