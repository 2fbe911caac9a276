"""Checks of `groundup.engine.scheduler`. Oracle: a memory of tuples, batches known beforehand.

What a real model would write at a position depends on all tokens up to it, and on the adapter for
which the root stands. So here just these are written: a sequence that finds another's tokens, or
another root, in its blocks has been given the wrong ones.
"""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.engine.sequence import Sequence

Batch = list[tuple[str, int]]  # names, and how many tokens of each


def up(n: int, size: int) -> int:
    """Blocks for n positions."""
    return -(-n // size)


def prompt(seed: int, length: int) -> list[int]:
    """Tokens that no prompt of another seed begins with."""
    return [seed, *(seed * n % 7 for n in range(1, length))]


class Engine:
    """Drives a scheduler as an engine does, and looks at each step whether all is well."""

    def __init__(
        self, part: ModuleType, blocks: int, size: int, *, budget: int, most: int = 100
    ) -> None:
        make: Any = part.Scheduler
        self.scheduler = make(blocks, size, token_budget=budget, max_sequences=most)
        self.blocks, self.size, self.budget, self.most = blocks, size, budget, most
        self.names: dict[int, str] = {}  # by the sequence's identity
        self.alive: dict[str, Sequence] = {}  # in the order in which they came
        self.memory: dict[tuple[int, int], tuple[bytes, list[int]]] = {}  # by block and place
        self.steps = 0

    def add(self, name: str, tokens: list[int], answer: int, root: bytes = b"") -> Sequence:
        """A sequence that ends with so many tokens more."""
        sequence = Sequence(list(tokens), len(tokens), len(tokens) + answer, root=root)
        self.scheduler.add(sequence)
        self.names[id(sequence)] = name
        self.alive[name] = sequence
        return sequence

    def cancel(self, name: str) -> None:
        self.scheduler.remove(self.alive.pop(name))
        self.look_at_blocks(f"after {name} was removed")

    def schedule(self) -> tuple[list[Any], Batch]:
        """The next batch, as it is and by names."""
        self.steps += 1
        running, preemptions = len(self.scheduler.running), self.scheduler.preemptions
        batch = self.scheduler.schedule()
        if not isinstance(batch, list):
            raise CheckFailure(f"schedule returns {type(batch).__name__}, not a list of chunks")
        named = [(self.names[id(chunk.sequence)], chunk.count) for chunk in batch]
        when = f"in step {self.steps}, where the batch is {named},"
        self.look_at_batch(when, batch, named)
        if fallen := self.scheduler.preemptions - preemptions:
            if len(self.scheduler.running) != running - fallen:
                now = len(self.scheduler.running)
                raise CheckFailure(
                    f"{when} {fallen} of {running} are preempted, and {now} run: none may begin"
                )
        elif self.scheduler.waiting and len(self.scheduler.running) < self.most:
            first = self.scheduler.waiting[0]
            fits = up(len(first.tokens), self.size) <= self.scheduler.allocator.free
            if fits and sum(count for _, count in named) < self.budget:
                raise CheckFailure(f"{when} {self.names[id(first)]} waits, though there is room")
        self.look_at_blocks(when)
        return batch, named

    def step(self) -> Batch:
        """A whole step: the batch is read, each that was read to its end grows or is removed."""
        batch, named = self.schedule()
        for chunk in batch:
            self.read(chunk.sequence, chunk.count)
        for chunk in batch:
            before = chunk.sequence.read
            self.scheduler.advance(chunk)
            name = self.names[id(chunk.sequence)]
            what = f"read of {name} after advance, in step {self.steps},"
            assert_equal(chunk.sequence.read, before + chunk.count, what)
        for chunk in batch:
            sequence = chunk.sequence
            if sequence.unread == 0:
                sequence.tokens.append(len(sequence.tokens) % 3)
                if len(sequence.tokens) == sequence.last_length:
                    self.cancel(self.names[id(sequence)])
        self.look_at_blocks(f"after step {self.steps}")
        return named

    def run(self) -> list[Batch]:
        """All steps until no sequence is left."""
        # The one that came first reads a token in every step, then the next one does.
        longest = sum(sequence.last_length for sequence in self.alive.values())
        batches = []
        while self.alive:
            batches.append(self.step())
            if len(batches) > longest:
                raise CheckFailure(f"after {longest} steps {list(self.alive)} have not ended")
        assert_equal(self.scheduler.schedule(), [], "the batch when there is no sequence")
        assert_equal(self.scheduler.allocator.free, self.blocks, "free when all have ended")
        return batches

    def read(self, sequence: Sequence, count: int) -> None:
        """As a model does: read what is held, and write what is new."""
        places = [(block, i) for block in sequence.blocks for i in range(self.size)]
        name, tokens = self.names[id(sequence)], sequence.tokens
        for position in range(sequence.read):
            if self.memory.get(places[position]) != (sequence.root, tokens[: position + 1]):
                raise CheckFailure(
                    f"in step {self.steps}, position {position} of {name} is not what stands in "
                    f"block {places[position][0]}: it has other tokens, or another root, or they "
                    "were not read yet"
                )
        for position in range(sequence.read, sequence.read + count):
            self.memory[places[position]] = sequence.root, tokens[: position + 1]

    def look_at_batch(self, when: str, batch: list[Any], named: Batch) -> None:
        total = sum(count for _, count in named)
        if total > self.budget:
            raise CheckFailure(f"{when} {total} tokens are read: the budget is {self.budget}")
        if len(self.scheduler.running) > self.most:
            raise CheckFailure(f"{when} {len(self.scheduler.running)} run: {self.most} may")
        if self.alive and not batch:
            raise CheckFailure(f"{when} nothing is read, though {list(self.alive)} are there")
        if len(dict(named)) < len(named):
            raise CheckFailure(f"{when} a sequence occurs twice")
        for chunk, (name, count) in zip(batch, named, strict=True):
            sequence = chunk.sequence
            if not 1 <= count <= sequence.unread:
                raise CheckFailure(f"{when} {name} has {sequence.unread} tokens to be read")
            have, need = len(sequence.blocks), up(sequence.read + count, self.size)
            if have != need:
                at = f"{sequence.read} + {count} positions of {name}"
                raise CheckFailure(f"{when} there are {have} blocks for {at}: expected {need}")
        order = [self.names[id(s)] for s in (*self.scheduler.running, *self.scheduler.waiting)]
        assert_equal(order, list(self.alive), f"{when} those that run, and then those that wait,")

    def look_at_blocks(self, when: str) -> None:
        """Every block has as many holders as there are sequences that have it."""
        held = Counter(block for s in self.alive.values() for block in s.blocks)
        for block in range(self.blocks):
            got = self.scheduler.allocator.holders(block)
            if got != held[block]:
                owners = [name for name, s in self.alive.items() if block in s.blocks]
                raise CheckFailure(f"{when} block {block} of {owners} has {got} holders")
        for sequence in self.scheduler.waiting:
            state = (sequence.blocks, sequence.read, sequence.digest)
            name = self.names[id(sequence)]
            assert_equal(state, ([], 0, b""), f"{when} blocks, read and digest of {name}, waiting,")


def check_one_sequence(part: ModuleType) -> None:
    """A prompt is read in pieces of the budget, and then each new token"""
    for length, answer, pieces in (
        (1, 2, [1, 1]),
        (5, 3, [5, 1, 1]),
        (6, 1, [6]),
        (7, 2, [6, 1, 1]),
        (20, 3, [6, 6, 6, 2, 1, 1]),
    ):
        engine = Engine(part, 8, 4, budget=6)
        engine.add("A", prompt(1, length), answer)
        what = f"the batches of a prompt of {length} tokens, budget 6,"
        assert_equal(engine.run(), [[("A", count)] for count in pieces], what)


def check_batch_is_filled(part: ModuleType) -> None:
    """Those that run come first, then those that wait, as far as the budget goes"""
    engine = Engine(part, 50, 4, budget=10)
    for seed, (name, length, answer) in enumerate(
        (("A", 4, 4), ("B", 13, 3), ("C", 2, 2), ("D", 9, 1), ("E", 1, 1))
    ):
        engine.add(name, prompt(seed, length), answer)
    expected: list[Batch] = [
        [("A", 4), ("B", 6)],
        [("A", 1), ("B", 7), ("C", 2)],
        [("A", 1), ("B", 1), ("C", 1), ("D", 7)],
        [("A", 1), ("B", 1), ("D", 2), ("E", 1)],
    ]
    assert_equal(engine.run(), expected, "the batches with a budget of 10")
    assert_equal(engine.scheduler.preemptions, 0, "the preemptions with blocks for all")


def check_joining_and_leaving(part: ModuleType) -> None:
    """A place that is given up is taken in the next step, by the one that waits longest"""
    engine = Engine(part, 50, 4, budget=100, most=2)
    for seed, (name, answer) in enumerate((("A", 2), ("B", 4), ("C", 1), ("D", 2))):
        engine.add(name, prompt(seed, 3), answer)
    batches = [engine.step() for _ in range(2)]
    engine.add("E", prompt(5, 3), 2)
    batches += engine.run()
    expected: list[Batch] = [
        [("A", 3), ("B", 3)],
        [("A", 1), ("B", 1)],
        [("B", 1), ("C", 3)],
        [("B", 1), ("D", 3)],
        [("D", 1), ("E", 3)],
        [("E", 1)],
    ]
    assert_equal(batches, expected, "the batches of at most two sequences")


def check_random_batches(part: ModuleType) -> None:
    """Random traffic with blocks for all: the batches follow from budget and places alone"""
    rng = random.Random(0)
    for _ in range(12):
        budget, most = rng.choice((1, 3, 8, 40)), rng.choice((1, 2, 5, 20))
        lengths = [(rng.randint(1, 30), rng.randint(1, 6)) for _ in range(rng.randint(1, 9))]
        unread = {str(i): length for i, (length, _) in enumerate(lengths)}
        answers = {str(i): answer for i, (_, answer) in enumerate(lengths)}
        running: list[str] = []
        expected: list[Batch] = []
        while answers:
            left, batch = budget, []
            for name in answers:
                if left and (name in running or len(running) < most):
                    running += [name] * (name not in running)
                    batch.append((name, min(left, unread[name])))
                    left -= batch[-1][1]
            for name, count in batch:
                unread[name] -= count
                if unread[name] == 0:
                    unread[name], answers[name] = 1, answers[name] - 1
                    if answers[name] == 0:
                        del answers[name]
                        running.remove(name)
            expected.append(batch)
        engine = Engine(part, 120, 4, budget=budget, most=most)
        for seed, (length, answer) in enumerate(lengths):
            engine.add(str(seed), prompt(seed, length), answer)
        what = f"the batches of prompts and answers {lengths}, budget {budget}, {most} at once,"
        assert_equal(engine.run(), expected, what)


def check_known_beginning(part: ModuleType) -> None:
    """What the prefix cache knows of a prompt is not read again, except its last token"""
    text = prompt(3, 12)
    for tokens, cached in (
        ([*text, 9], 12),
        (text, 8),  # with its last token, the last block is read again
        (text[:11], 8),
        (text[:9], 8),
        (text[:8], 4),
        (text[:4], 0),
        (text[:1], 0),
        ([*text[:5], 9, 9, 9, 9, 9], 4),
        ([9, *text[1:]], 0),
    ):
        engine = Engine(part, 20, 4, budget=100)
        engine.add("A", text, 1)
        engine.run()
        b = engine.add("B", tokens, 2)
        what = f"the batch of {tokens}, where {text} was read before,"
        assert_equal(engine.step(), [("B", len(tokens) - cached)], what)
        assert_equal(b.cached, cached, f"cached of {tokens}, where {text} was read before,")
        assert_equal(engine.step(), [("B", 1)], "the batch after that")
        assert_equal(b.cached, cached, "cached at the end")


def check_shared_while_running(part: ModuleType) -> None:
    """Sequences that run share the blocks of their common beginning, and no others"""
    engine = Engine(part, 20, 4, budget=100)
    a = engine.add("A", prompt(2, 10), 9)
    engine.step()
    b = engine.add("B", [*prompt(2, 8), 6, 6], 9)
    c = engine.add("C", [*prompt(2, 4), 6, 6, 6, 6, 6], 9)
    d = engine.add("D", prompt(5, 9), 9)
    engine.step()
    assert_equal(b.blocks[:2], a.blocks[:2], "the blocks of B, whose first 8 tokens are A's,")
    assert_equal(c.blocks[:1], a.blocks[:1], "the block of C, whose first 4 tokens are A's,")
    own = [*a.blocks[2:], *b.blocks[2:], *c.blocks[1:], *d.blocks]
    if len(set(own)) < len(own) or set(own) & set(a.blocks[:2]):
        raise CheckFailure(f"blocks with other tokens are shared: {own} and {a.blocks[:2]}")
    engine.cancel("A")
    assert_equal([s.cached for s in (b, c, d)], [8, 4, 0], "cached of B, C and D")
    engine.run()


def check_equal_prompts_at_once(part: ModuleType) -> None:
    """What no step has read yet is not shared: equal prompts that begin together"""
    engine = Engine(part, 20, 4, budget=100)
    a, b = (engine.add(name, prompt(1, 9), 6) for name in "AB")
    assert_equal(engine.step(), [("A", 9), ("B", 9)], "the batch of two equal prompts")
    if set(a.blocks) & set(b.blocks):
        raise CheckFailure(f"A has the blocks {a.blocks} and B {b.blocks}, both still to be read")
    c = engine.add("C", prompt(1, 9), 6)
    assert_equal(engine.step(), [("A", 1), ("B", 1), ("C", 1)], "the batch with a third one")
    assert_equal(c.blocks[:2], a.blocks[:2], "the blocks of the third, those that A read,")
    engine.cancel("A")
    d = engine.add("D", prompt(1, 9), 6)
    engine.step()
    assert_equal(d.blocks[:2], c.blocks[:2], "the blocks of a fourth, A being removed,")
    engine.run()


def check_only_full_blocks(part: ModuleType) -> None:
    """Blocks are known as soon as they are full, whatever the pieces in which they were read"""
    text = prompt(4, 23)
    for budget in (1, 2, 3, 5, 6, 7, 12, 100):
        engine = Engine(part, 20, 4, budget=budget, most=2)
        engine.add("A", text, 1)
        batches = up(23, budget)
        for number in range(1, batches):
            engine.step()
            found, _ = engine.scheduler.prefix_cache.match(text)
            for block in reversed(found):
                engine.scheduler.allocator.release(block)
            read = number * budget
            what = f"the known blocks of 4 after {read} tokens in pieces of {budget}"
            assert_equal(len(found), read // 4, what)
        engine.run()
        b = engine.add("B", text, 1)
        engine.run()
        assert_equal(b.cached, 20, f"cached of the same text, read in pieces of {budget},")


def check_answers_are_known(part: ModuleType) -> None:
    """A conversation goes on: the answer's blocks are found as well as the prompt's"""
    engine = Engine(part, 30, 4, budget=100)
    a = engine.add("A", prompt(2, 6), 8)
    engine.run()
    b = engine.add("B", [*a.tokens, 5, 5, 5], 3)
    assert_equal(engine.step(), [("B", 5)], "the batch of 17 tokens, the first 13 of them read,")
    assert_equal(b.cached, 12, "cached of the second turn")
    engine.run()
    c = engine.add("C", [*b.tokens, 5, 5], 1)
    engine.run()
    assert_equal(c.cached, 16, "cached of the third turn, the first 19 of 22 tokens being read,")
    d = engine.add("D", [*b.tokens[12:], 5, 5], 1)
    engine.run()
    assert_equal(d.cached, 0, "cached of a prompt that has the end of the third alone")


def check_roots(part: ModuleType) -> None:
    """Sequences share blocks only behind the same root, also after preemption"""
    text, roots = prompt(3, 9), [b"A" * 16, b"", b"B" * 16]
    engine = Engine(part, 40, 2, budget=100)
    for turn, cached in ((1, 0), (2, 8)):
        for root in roots:
            sequence = engine.add(f"{root!r} {turn}", text, 2, root)
            engine.step()
            what = f"cached of turn {turn} of one text behind the root {root!r}, others known,"
            assert_equal(sequence.cached, cached, what)
        engine.run()
    engine = Engine(part, 5, 2, budget=8)
    engine.add("A", [1, 2, 3], 5, roots[0])
    engine.add("B", [1, 2, 3], 5, roots[2])
    engine.run()
    assert_equal(engine.scheduler.preemptions, 1, "the preemptions with 5 blocks of 2")


def check_preemption(part: ModuleType) -> None:
    """Without a free block the one that came last gives up its own, waits, and begins again"""
    expected: list[Batch] = [
        [("A", 3), ("B", 3)],
        [("A", 1), ("B", 1)],
        [("A", 1)],  # for the third block B is preempted
        [("A", 1)],
        [("A", 1)],
        [("B", 5)],  # nothing is left of what it had read
        [("B", 1)],
        [("B", 1)],
    ]
    engine = Engine(part, 4, 2, budget=8)
    engine.add("A", [1, 2, 3], 5)
    b = engine.add("B", [4, 5, 6], 5)
    batches = [engine.step() for _ in range(3)]
    assert_equal(engine.scheduler.preemptions, 1, "the preemptions")
    assert_equal(len(b.tokens), 5, "the tokens of the preempted sequence, which it keeps,")
    batches += engine.run()
    assert_equal(batches, expected, "the batches of two sequences with 4 blocks of 2")
    assert_equal(engine.scheduler.preemptions, 1, "the preemptions at the end")


def check_preempts_itself(part: ModuleType) -> None:
    """The one that came last, itself in need of a block, gives up its own"""
    expected: list[Batch] = [
        [("A", 3), ("B", 4)],
        [("A", 1)],  # B needs a third block
        [("A", 1)],
        [("B", 3)],  # its first block was still known
        [("B", 1)],
    ]
    engine = Engine(part, 4, 2, budget=8)
    engine.add("A", [1, 2, 3], 3)
    b = engine.add("B", [4, 5, 6, 7], 3)
    assert_equal(engine.run(), expected, "the batches of two sequences with 4 blocks of 2")
    assert_equal(engine.scheduler.preemptions, 1, "the preemptions")
    assert_equal(b.cached, 0, "cached of B, which began with nothing known,")


def check_preempts_the_last(part: ModuleType) -> None:
    """As many as necessary are preempted, the last ones, and they come back before all others"""
    engine = Engine(part, 10, 2, budget=30, most=4)
    for seed, name in enumerate("ABCDE"):
        engine.add(name, prompt(seed, 4), 5)
    first: Batch = [("A", 4), ("B", 4), ("C", 4), ("D", 4)]
    assert_equal(engine.step(), first, "the first batch, of 4 at once,")
    # Each needs a third block, and two are free: C takes those of D.
    assert_equal(engine.step(), [("A", 1), ("B", 1), ("C", 1)], "the second batch")
    waiting = [engine.names[id(s)] for s in engine.scheduler.waiting]
    assert_equal(waiting, ["D", "E"], "those that wait, D being preempted,")
    assert_equal(engine.scheduler.preemptions, 1, "the preemptions")
    engine.run()
    engine = Engine(part, 8, 2, budget=30)
    for name, tokens in (("A", [1, 1, 1, 1]), ("B", [2, 1, 1]), ("C", [3, 1, 1]), ("D", [4, 1, 1])):
        engine.add(name, tokens, 4)
    engine.step()
    # Only A needs a block, and D alone has enough.
    assert_equal(engine.step(), [("A", 1), ("B", 1), ("C", 1)], "the batch where A needs a block")
    engine.run()


def check_found_after_preemption(part: ModuleType) -> None:
    """A preempted sequence finds again what is still known, and cached is not counted anew"""
    engine = Engine(part, 5, 2, budget=4)
    engine.add("A", [1, 2, 3, 1], 3)
    b = engine.add("B", [4, 5, 6, 7, 8, 9], 2)
    expected: list[Batch] = [
        [("A", 4)],
        [("A", 1), ("B", 3)],
        [("A", 1)],  # B would need a third block; it is preempted while it reads its prompt
        [("B", 4)],
        [("B", 1)],
    ]
    batches = engine.run()
    assert_equal(batches, expected, "the batches with 5 blocks of 2, budget 4")
    assert_equal(b.cached, 0, "cached of B, which found its own block when it began again,")
    engine = Engine(part, 8, 1, budget=4)
    engine.add("A", [1], 5)
    engine.add("B", [2], 5)
    expected = [*[[("A", 1), ("B", 1)]] * 4, [("A", 1)], [("B", 2)]]
    what = "the batches with 8 blocks of 1, where A takes one of B's four blocks,"
    assert_equal(engine.run(), expected, what)


def check_none_overtakes(part: ModuleType) -> None:
    """While the first that waits finds too few blocks, none behind it begins"""
    engine = Engine(part, 6, 2, budget=30)
    engine.add("A", prompt(1, 6), 3)
    engine.add("B", prompt(2, 8), 1)
    engine.add("C", prompt(3, 1), 1)
    expected: list[Batch] = [[("A", 6)], [("A", 1)], [("A", 1)], [("B", 8), ("C", 1)]]
    assert_equal(engine.run(), expected, "the batches of A, B that does not fit, and C that would")


def check_nothing_is_kept_by_those_that_wait(part: ModuleType) -> None:
    """A sequence that finds its beginning, but too few blocks, holds none of them"""
    engine = Engine(part, 6, 2, budget=30)
    engine.add("0", prompt(1, 4), 1)
    engine.run()
    engine.add("A", prompt(2, 5), 4)
    engine.step()
    b = engine.add("B", [*prompt(1, 4), 5, 5, 5], 2)  # two blocks are known, and one is free
    for _ in range(2):
        assert_equal(engine.step(), [("A", 1)], "the batch while B does not fit")
        assert_equal((b.begun, b.cached), (False, 0), "begun and cached of B, which waits,")
    engine.run()
    assert_equal(b.begun, True, "begun of B at the end")


def check_first_blocks_stay_longest(part: ModuleType) -> None:
    """Of the blocks given up, the last are given out anew before the first"""
    text = prompt(1, 9)
    for other, cached in ((1, 8), (3, 6), (5, 4), (7, 2), (9, 0)):
        engine = Engine(part, 5, 2, budget=30)
        engine.add("A", text, 1)
        engine.run()
        engine.add("B", prompt(2, other), 1)
        engine.run()
        c = engine.add("C", text, 1)
        engine.run()
        what = f"cached of 9 tokens, when {up(other, 2)} of their 5 blocks were given out anew,"
        assert_equal(c.cached, cached, what)


def check_cancelled(part: ModuleType) -> None:
    """A sequence can be removed while it waits, reads its prompt, answers, or was preempted"""
    engine = Engine(part, 8, 2, budget=6, most=2)
    for seed, name in enumerate("ABCD"):
        engine.add(name, prompt(seed, 5), 4)
    engine.cancel("C")
    assert_equal(engine.step(), [("A", 5), ("B", 1)], "the first batch")
    engine.cancel("B")
    assert_equal(engine.step(), [("A", 1), ("D", 5)], "the batch after B, half read, was removed")
    engine.cancel("A")
    assert_equal(engine.step(), [("D", 1)], "the batch after A was removed")
    engine.cancel("D")
    assert_equal(engine.scheduler.schedule(), [], "the batch when all were removed")
    assert_equal(engine.scheduler.allocator.free, 8, "free when all were removed")
    engine = Engine(part, 4, 2, budget=8)
    engine.add("A", [1, 2, 3], 5)
    engine.add("B", [4, 5, 6], 5)
    for _ in range(3):
        engine.step()
    engine.cancel("B")  # preempted
    engine.run()
    stranger = Sequence([1], 1, 2)
    call = partial(engine.scheduler.remove, stranger)
    assert_raises(ValueError, call, "a sequence is removed that was never added")
    a = engine.add("A", [1, 2, 3], 5)
    twin = Sequence([1, 2, 3], 3, 8)
    assert_raises(
        ValueError, partial(engine.scheduler.remove, twin), "another, equal one was added"
    )
    engine.step()
    engine.cancel("A")
    assert_raises(ValueError, partial(engine.scheduler.remove, a), "a sequence is removed twice")
    assert_equal(engine.scheduler.allocator.free, 4, "free after removals that raised")


def check_blocks_left_over(part: ModuleType) -> None:
    """Blocks that a sequence was given for wrong guesses are used before others are taken"""
    engine = Engine(part, 8, 2, budget=8)
    a = engine.add("A", [1, 2, 3], 8)
    engine.step()
    for _ in range(2):
        a.blocks.append(engine.scheduler.prefix_cache.allocate())
    for length in range(4, 9):  # 4 blocks are enough for 8 positions
        [chunk] = engine.scheduler.schedule()
        assert_equal(len(a.blocks), 4, f"how many of its 4 blocks A has, with {length} tokens,")
        engine.scheduler.advance(chunk)
        a.tokens.append(4)
    engine.scheduler.schedule()
    assert_equal(len(a.blocks), 5, "how many blocks A has for 9 tokens, when it had 4 for 8,")
    engine.cancel("A")
    assert_equal(engine.scheduler.allocator.free, 8, "free when A, which had more, was removed")


def check_bad_numbers(part: ModuleType) -> None:
    """Sizes must be positive, and a sequence not empty and not too long"""
    make = part.Scheduler
    sizes = {"blocks": 4, "block_size": 2, "token_budget": 8, "max_sequences": 2}
    for name in sizes:
        for size in (0, -1):
            call = partial(make, **(sizes | {name: size}))
            assert_raises(ValueError, call, f"{name} is {size}")
    engine = Engine(part, 4, 2, budget=8)
    engine.add("A", [1, 2, 3], 5)  # 8 positions in all
    for tokens, last_length in (([1, 2, 3], 9), ([], 4), (list(range(9)), 10)):
        call = partial(engine.scheduler.add, Sequence(tokens, len(tokens), last_length))
        when = f"a sequence of {len(tokens)} and up to {last_length} tokens comes to 8 positions"
        assert_raises(ValueError, call, when)
    assert_equal(len(engine.scheduler.waiting), 1, "how many wait after add raised")
    engine.run()


def check_random_traffic(part: ModuleType) -> None:
    """Random traffic with few blocks: nothing is mixed up, lost or left to wait for ever"""
    rng = random.Random(7)
    preemptions = 0
    for _ in range(25):
        size = rng.choice((1, 2, 3, 4))
        blocks = rng.randint(up(16, size), 2 * up(16, size))
        engine = Engine(part, blocks, size, budget=rng.choice((2, 5, 20)), most=rng.choice((2, 6)))
        texts = [[rng.randrange(2) for _ in range(12)] for _ in range(2)]
        for number in range(14):
            text = rng.choice(texts)[: rng.randint(1, 12)]
            engine.add(str(number), text, rng.randint(1, 4), rng.choice((b"", b"A" * 16)))
            if rng.random() < 0.2:
                engine.cancel(rng.choice(list(engine.alive)))
            for _ in range(rng.randint(0, 2)):
                engine.step()
        engine.run()
        preemptions += engine.scheduler.preemptions
    if not preemptions:
        raise CheckFailure("no sequence was preempted, though the blocks were few")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: as many steps of 64 sequences that generate."""
    make: Any = part.Scheduler

    def steps() -> None:
        blocks = 64 * (2 + size // 16)
        scheduler = make(blocks, 16, token_budget=64 * 16, max_sequences=64)
        for seed in range(64):
            scheduler.add(Sequence([seed] * 16, 16, 17 + size))
        for _ in range(size):
            for chunk in scheduler.schedule():
                scheduler.advance(chunk)
                chunk.sequence.tokens.append(chunk.count)

    return steps


SIZE = 100
