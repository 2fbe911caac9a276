"""The scheduler under random traffic, beside a plain model of what is known and who holds what."""

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence as Rows

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from groundup.engine.sampler import Sampler
from groundup.engine.scheduler import Chunk, Scheduler
from groundup.engine.sequence import Sequence
from groundup.engine.speculation import Draft, Speculation

Prefix = tuple[bytes | int, ...]  # the root, then tokens


class Guesses:
    """Drafts as many tokens as it may."""

    def draft(
        self, batch: Rows[Chunk], most: Rows[int], samplers: Rows[Sampler | None]
    ) -> list[Draft | None]:
        return [Draft([i % 2 for i in range(n)]) if n else None for n in most]

    def forget(self, sequence: Sequence) -> None:
        pass


class SchedulerMachine(RuleBasedStateMachine):
    """Sequences with common beginnings come, are read, grow, are preempted, cancelled, and end.

    What a block holds is written down as the root and all the tokens up to each of its positions,
    as keys and values depend on just these.
    """

    @initialize(
        size=st.integers(1, 4),
        blocks=st.integers(3, 14),
        budget=st.sampled_from([1, 2, 3, 5, 9, 50]),
        most=st.integers(1, 6),
        drafted=st.integers(0, 6),
    )
    def start(self, size: int, blocks: int, budget: int, most: int, drafted: int) -> None:
        self.size, self.blocks, self.budget, self.most = size, blocks, budget, most
        self.scheduler = Scheduler(blocks, size, token_budget=budget, max_sequences=most)
        self.speculation = None
        if drafted:
            self.speculation = Speculation(
                Guesses(), self.scheduler, size, most=drafted, step_tokens=budget
            )
        self.alive: list[Sequence] = []  # in the order in which they came
        self.deadline: dict[Sequence, int] = {}
        self.first_cached: dict[Sequence, int] = {}
        self.tokens: dict[Sequence, list[int]] = {}
        self.ended: list[Sequence] = []
        self.written: dict[tuple[int, int], Prefix] = {}  # by block and place in it
        self.known: dict[Prefix, int] = {}
        self.steps = 0

    # ---- what happens

    @rule(
        branch=st.integers(0, 1),
        length=st.integers(1, 14),
        end=st.lists(st.integers(0, 1), max_size=3),
        answer=st.integers(1, 12),
        root=st.sampled_from([b"", b"", b"A" * 16, b"B" * 16]),
    )
    def arrives(self, branch: int, length: int, end: list[int], answer: int, root: bytes) -> None:
        common = [branch, *[1, 0, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0]]
        self.put([*common[:length], *end], answer, root)

    @precondition(lambda self: self.ended)
    @rule(number=st.integers(0, 50), blocks=st.integers(1, 4), answer=st.integers(1, 4))
    def is_asked_again(self, number: int, blocks: int, answer: int) -> None:
        """Whole blocks of what was read before: all of the prompt may be known."""
        ended = self.ended[number % len(self.ended)]
        self.put(ended.tokens[: blocks * self.size], answer, ended.root)

    def put(self, tokens: list[int], answer: int, root: bytes) -> None:
        room = self.blocks * self.size
        sequence = Sequence(list(tokens), len(tokens), len(tokens) + answer, root=root)
        if sequence.last_length > room:
            with pytest.raises(ValueError, match="does not fit"):
                self.scheduler.add(sequence)
            return
        self.scheduler.add(sequence)
        self.alive.append(sequence)
        self.tokens[sequence] = list(sequence.tokens)
        # Whichever came first reads a token in each step, so this many steps are enough.
        self.deadline[sequence] = self.steps + sum(s.last_length for s in self.alive)

    @precondition(lambda self: self.alive)
    @rule(number=st.integers(0, 50))
    def is_cancelled(self, number: int) -> None:
        self.take_out(self.alive[number % len(self.alive)])
        self.look()

    @rule(times=st.sampled_from([1, 1, 2, 5, 10]))
    def steps_pass(self, times: int) -> None:
        for _ in range(times):
            self.step()

    def teardown(self) -> None:
        if not hasattr(self, "scheduler"):
            return
        while self.alive:
            self.step()
        assert self.scheduler.schedule() == []
        assert self.scheduler.allocator.free == self.blocks
        assert not self.scheduler.running
        assert not self.scheduler.waiting

    # ---- one step, and what holds in it

    def step(self) -> None:
        before = {s: list(s.blocks) for s in self.scheduler.running}
        positions = {s: s.read + min(s.unread, self.budget) for s in before}
        preemptions = self.scheduler.preemptions
        self.steps += 1
        batch = self.scheduler.schedule()
        self.look_at_batch(batch)
        for chunk in batch:
            self.look_at_blocks_of(chunk, before)
        fallen = self.scheduler.preemptions - preemptions
        assert fallen == sum(s in self.scheduler.waiting for s in before)
        if fallen:
            assert len(self.scheduler.running) == len(before) - fallen  # none begins
            # The first of those preempted could not have stayed.
            first = next(s for s in before if s in self.scheduler.waiting)
            if self.speculation is None:  # guesses may have left it more blocks than it needed
                assert self.scheduler.allocator.free < -(-positions[first] // self.size)
        elif self.scheduler.waiting and len(self.scheduler.running) < self.most:
            first = self.scheduler.waiting[0]
            if sum(chunk.count for chunk in batch) < self.budget:  # then blocks are too few for it
                assert self.scheduler.allocator.free < -(-len(first.tokens) // self.size)
        self.look()
        drafts: list[Draft | None] = [None] * len(batch)
        if self.speculation is not None:
            nobody: list[Sampler | None] = [None] * len(batch)
            batch, drafts = self.speculation.extend(batch, nobody, [()] * len(batch))
            assert sum(chunk.count for chunk in batch) <= self.budget
            for chunk in batch:  # blocks are given for drafts too
                self.known = {
                    p: b for p, b in self.known.items() if b not in self.new_blocks(chunk)
                }
        for chunk in batch:
            self.read(chunk)
        for place, (chunk, draft) in enumerate(zip(batch, drafts, strict=True)):
            if draft is not None and self.speculation is not None:
                accepted = (self.steps + chunk.sequence.read) % (len(draft.tokens) + 1)
                del chunk.sequence.tokens[-len(draft.tokens) :]
                chunk.sequence.tokens.extend(draft.tokens[:accepted])
                self.tokens[chunk.sequence].extend(draft.tokens[:accepted])
                batch[place] = self.speculation.settle(chunk, draft, accepted)
        for chunk in batch:
            sequence, before_it = chunk.sequence, chunk.sequence.read
            self.scheduler.advance(chunk)
            assert sequence.read == before_it + chunk.count
            # Of two blocks with the same content, the first stays known.
            for i in range(before_it // self.size, sequence.read // self.size):
                prefix: Prefix = (sequence.root, *sequence.tokens[: (i + 1) * self.size])
                self.known.setdefault(prefix, sequence.blocks[i])
        assert len(self.scheduler.prefix_cache) == len(self.known)
        for chunk in batch:
            if chunk.sequence.unread == 0:
                chunk.sequence.tokens.append((self.steps + len(chunk.sequence.tokens)) % 2)
                self.tokens[chunk.sequence].append(chunk.sequence.tokens[-1])
                if len(chunk.sequence.tokens) == chunk.sequence.last_length:
                    self.ended.append(chunk.sequence)
                    self.take_out(chunk.sequence)
        for sequence in self.alive:
            assert self.steps < self.deadline[sequence], "starved"
        self.look()

    def look_at_batch(self, batch: list[Chunk]) -> None:
        assert sum(chunk.count for chunk in batch) <= self.budget
        assert len(self.scheduler.running) <= self.most
        sequences = [chunk.sequence for chunk in batch]
        assert len(set(sequences)) == len(sequences)
        assert all(1 <= chunk.count <= chunk.sequence.unread for chunk in batch)
        # Nobody overtakes, the first gets on, and the last tokens of prompts are always read.
        assert [*self.scheduler.running, *self.scheduler.waiting] == self.alive
        assert sequences[:1] == self.alive[:1]
        assert sequences == self.scheduler.running[: len(sequences)]
        left = self.budget
        for chunk in batch:
            assert chunk.count == min(chunk.sequence.unread, left)
            left -= chunk.count

    def look_at_blocks_of(self, chunk: Chunk, before: dict[Sequence, list[int]]) -> None:
        """It kept what it had, or found all that is known; then it was given what it lacked."""
        sequence = chunk.sequence
        had = before.get(sequence)
        if had is None:
            had = []
            for end in range(self.size, len(sequence.tokens), self.size):
                block = self.known.get((sequence.root, *sequence.tokens[:end]))
                if block is None:
                    break
                had.append(block)
            assert sequence.read == len(had) * self.size
            if len(had) == (len(sequence.tokens) - 1) // self.size:
                assert 1 <= sequence.unread <= self.size  # all that can be known is known
            assert sequence.cached == self.first_cached.setdefault(sequence, sequence.read)
        assert sequence.blocks[: len(had)] == had
        given = sequence.blocks[len(had) :]
        needed = -(-(sequence.read + chunk.count) // self.size)
        assert len(sequence.blocks) == max(needed, len(had))
        self.known = {prefix: b for prefix, b in self.known.items() if b not in given}
        for block in given:
            assert self.scheduler.allocator.holders(block) == 1
            assert not any(block in s.blocks for s in self.alive if s is not sequence)

    def new_blocks(self, chunk: Chunk) -> list[int]:
        """Those behind the place where the chunk begins: nothing that is known is in them."""
        return chunk.sequence.blocks[-(-chunk.sequence.read // self.size) :]

    def read(self, chunk: Chunk) -> None:
        root, tokens, blocks = chunk.sequence.root, chunk.sequence.tokens, chunk.sequence.blocks
        for position in range(chunk.sequence.read + chunk.count):
            place = (blocks[position // self.size], position % self.size)
            if position >= chunk.sequence.read:
                self.written[place] = (root, *tokens[: position + 1])
            assert self.written[place] == (root, *tokens[: position + 1]), "another's keys"

    def look(self) -> None:
        """Between the steps, and before the batch is read."""
        holders = Counter(block for s in self.alive for block in s.blocks)
        counts = [self.scheduler.allocator.holders(block) for block in range(self.blocks)]
        assert counts == [holders[block] for block in range(self.blocks)]
        assert self.scheduler.allocator.free == counts.count(0)
        for sequence in self.alive:
            assert sequence.tokens == self.tokens[sequence]
            assert sequence.cached == self.first_cached.get(sequence, 0)
        for sequence in self.scheduler.waiting:
            assert (sequence.blocks, sequence.read, sequence.digest) == ([], 0, b"")
        of: dict[int, tuple[int, Prefix]] = {}
        for s in self.alive:
            for i, block in enumerate(s.blocks):
                prefix: Prefix = (s.root, *s.tokens[: (i + 1) * self.size])
                if holders[block] > 1:  # shared: full, at one place, behind one prefix
                    assert s.read >= (i + 1) * self.size
                    assert of.setdefault(block, (i, prefix)) == (i, prefix)

    def take_out(self, sequence: Sequence) -> None:
        self.scheduler.remove(sequence)
        if self.speculation is not None:
            self.speculation.forget(sequence)
        self.alive.remove(sequence)
        assert sequence.blocks == []


TestScheduler = SchedulerMachine.TestCase
TestScheduler.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_equal_prompts_share_after_the_first_was_read_and_not_before() -> None:
    scheduler = Scheduler(12, 2, token_budget=50, max_sequences=9)
    a, b, c, d = (Sequence([1, 2, 3, 4, 5], 5, 8) for _ in range(4))
    scheduler.add(a)
    scheduler.add(b)
    batch = scheduler.schedule()
    assert [(chunk.sequence, chunk.count) for chunk in batch] == [(a, 5), (b, 5)]
    assert not set(a.blocks) & set(b.blocks)
    for chunk in batch:
        scheduler.advance(chunk)
    scheduler.add(c)
    for sequence in (a, b):
        sequence.tokens.append(6)
    scheduler.schedule()
    assert (c.blocks[:2], c.cached, c.unread) == (a.blocks[:2], 4, 1)
    scheduler.remove(a)
    scheduler.remove(b)
    scheduler.add(d)
    scheduler.schedule()
    assert d.blocks[:2] == c.blocks[:2]


def test_a_preempted_prompt_finds_its_own_blocks_and_does_not_count_them_as_cached() -> None:
    scheduler = Scheduler(5, 2, token_budget=4, max_sequences=9)
    a, b = Sequence([1, 2, 3, 1], 4, 7), Sequence([4, 5, 6, 7, 8, 9], 6, 8)
    scheduler.add(a)
    scheduler.add(b)
    counts = []
    for _ in range(4):
        batch = scheduler.schedule()
        counts.append([chunk.count for chunk in batch])
        for chunk in batch:
            scheduler.advance(chunk)
        if a.unread == 0:
            a.tokens.append(0)
        if len(a.tokens) == 7 and a in scheduler.running:
            scheduler.remove(a)
    assert counts == [[4], [1, 3], [1], [4]]  # b has 6 tokens, and 2 of them were found
    assert (scheduler.preemptions, b.begun, b.cached) == (1, True, 0)


def test_a_sequence_without_tokens_is_refused() -> None:
    scheduler = Scheduler(5, 2, token_budget=4, max_sequences=9)
    with pytest.raises(ValueError, match="at least one token"):
        scheduler.add(Sequence([], 0, 4))
    assert scheduler.schedule() == []


@pytest.mark.parametrize("module", ["block_allocator", "prefix_cache", "scheduler"])
def test_scheduling_imports_no_tensors(module: str) -> None:
    program = (
        f"import sys, groundup.engine.{module}\n"
        "print(sorted({'torch', 'numpy', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
