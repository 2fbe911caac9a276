"""Checks of `groundup.engine.block_allocator`. Oracle: numbers, and a list as the queue."""

import random
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises


class Plain:
    """The same in the plainest words, and slow."""

    def __init__(self, blocks: int) -> None:
        self.holders = [0] * blocks
        self.queue = list(range(blocks))

    def allocate(self) -> int:
        block = self.queue.pop(0)
        self.holders[block] = 1
        return block

    def hold(self, block: int) -> None:
        self.holders[block] += 1
        self.queue = [other for other in self.queue if other != block]

    def release(self, block: int) -> None:
        self.holders[block] -= 1
        if self.holders[block] == 0:
            self.queue.append(block)


def counts(allocator: Any, blocks: int) -> list[int]:
    return [allocator.holders(block) for block in range(blocks)]


def all_of(allocator: Any) -> list[int]:
    """Every free block, in the order in which they are given out."""
    return [allocator.allocate() for _ in range(allocator.free)]


def check_new(part: ModuleType) -> None:
    """A new allocator has all its blocks free, and gives them out in the order of their numbers"""
    for blocks in (1, 2, 7):
        allocator = part.BlockAllocator(blocks)
        assert_equal(allocator.size, blocks, "the size of a new allocator")
        assert_equal(allocator.free, blocks, "free of a new allocator")
        assert_equal(counts(allocator, blocks), [0] * blocks, "the holders of new blocks")
        for number in range(blocks):
            assert_equal(allocator.allocate(), number, "the block given out")
            assert_equal(allocator.holders(number), 1, f"the holders of block {number}, given out,")
            assert_equal(
                allocator.free, blocks - number - 1, f"free after {number + 1} of {blocks}"
            )
        assert_equal(allocator.size, blocks, "the size when all are held")


def check_full(part: ModuleType) -> None:
    """Without a free block, allocate raises ValueError, and later gives what was released"""
    allocator = part.BlockAllocator(3)
    all_of(allocator)
    for _ in range(2):
        assert_raises(ValueError, allocator.allocate, "all three blocks are held")
    assert_equal(counts(allocator, 3), [1, 1, 1], "the holders after allocate raised")
    assert_equal(allocator.free, 0, "free after allocate raised")
    allocator.release(1)
    assert_equal(allocator.free, 1, "free after one release")
    assert_equal(allocator.allocate(), 1, "the block given out when only block 1 is free")
    assert_raises(ValueError, allocator.allocate, "all three blocks are held again")


def check_longest_free_first(part: ModuleType) -> None:
    """Blocks are given out in the order in which they became free"""
    allocator = part.BlockAllocator(6)
    all_of(allocator)
    for block in (4, 1, 5, 0):
        allocator.release(block)
    assert_equal(all_of(allocator), [4, 1, 5, 0], "blocks released as 4, 1, 5, 0, given out")
    half = part.BlockAllocator(5)
    for _ in range(3):
        half.allocate()
    half.release(1)  # behind 3 and 4, which have been free from the start
    half.release(0)
    assert_equal(all_of(half), [3, 4, 1, 0], "blocks 3 and 4, never used, and 1 and 0, released,")


def check_shared(part: ModuleType) -> None:
    """A block is free only when its last holder has released it"""
    allocator = part.BlockAllocator(4)
    block = allocator.allocate()
    allocator.hold(block)
    allocator.hold(block)
    for left in (3, 2, 1):
        assert_equal(allocator.holders(block), left, "the holders of a block held three times")
        assert_equal(allocator.free, 3, f"free while a block has {left} holders")
        allocator.release(block)
    assert_equal(allocator.holders(block), 0, "the holders after as many releases")
    assert_equal(allocator.free, 4, "free after as many releases")
    assert_equal(all_of(allocator), [1, 2, 3, 0], "the blocks given out, 0 released last,")


def check_hold_a_free_block(part: ModuleType) -> None:
    """A free block that is held is saved: it is not given out, and when released comes last"""
    allocator = part.BlockAllocator(4)
    allocator.hold(2)
    assert_equal(allocator.holders(2), 1, "the holders of a free block that was held")
    assert_equal(allocator.free, 3, "free after a free block was held")
    assert_equal([allocator.allocate(), allocator.allocate()], [0, 1], "the blocks given out")
    allocator.release(2)
    assert_equal(all_of(allocator), [3, 2], "the blocks given out when 2 was released after all")
    allocator.release(0)
    allocator.hold(0)
    assert_raises(ValueError, allocator.allocate, "the only free block was held")


def check_released_twice(part: ModuleType) -> None:
    """A release of what nobody holds raises ValueError and changes nothing"""
    allocator = part.BlockAllocator(3)
    assert_raises(ValueError, partial(allocator.release, 1), "a new block is released")
    block = allocator.allocate()
    allocator.release(block)
    for _ in range(2):
        assert_raises(ValueError, partial(allocator.release, block), "it was released before")
    assert_equal(counts(allocator, 3), [0, 0, 0], "the holders after releases that raised")
    assert_equal(allocator.free, 3, "free after releases that raised")
    assert_equal(all_of(allocator), [1, 2, 0], "the blocks given out after releases that raised")


def check_bad_sizes(part: ModuleType) -> None:
    """Without blocks there is no allocator: ValueError"""
    for blocks in (0, -1):
        assert_raises(ValueError, partial(part.BlockAllocator, blocks), f"blocks is {blocks}")


def check_random_calls(part: ModuleType) -> None:
    """Thousands of random calls, against plain lists"""
    rng = random.Random(0)
    for blocks in (1, 2, 5, 20):
        plain = Plain(blocks)
        steps: list[tuple[str, int, list[int]]] = []
        for _ in range(800):
            held = [block for block in range(blocks) if plain.holders[block]]
            act = rng.choice(("allocate", "hold", "release", "release"))
            if act == "allocate" and plain.queue:
                block = plain.allocate()
            elif act == "hold":
                block = rng.randrange(blocks)
                plain.hold(block)
            elif act == "release" and held:
                block = rng.choice(held)
                plain.release(block)
            else:
                continue
            steps.append((act, block, list(plain.holders)))
        allocator = part.BlockAllocator(blocks)
        for number, (act, block, holders) in enumerate(steps):
            when = f"of {blocks} blocks, call {number},"
            if act == "allocate":
                assert_equal(allocator.allocate(), block, f"{when} the block given out")
            else:
                getattr(allocator, act)(block)
            assert_equal(counts(allocator, blocks), holders, f"{when} {act}: the holders")
            assert_equal(allocator.free, holders.count(0), f"{when} {act}: free")
        assert_equal(all_of(allocator), plain.queue, f"of {blocks} blocks, those left, in order,")


def check_never_given_twice(part: ModuleType) -> None:
    """No block has two owners that did not share it, and none is lost"""
    rng = random.Random(1)
    allocator = part.BlockAllocator(12)
    owners: list[list[int]] = [[] for _ in range(5)]
    for turn in range(2000):
        owner = rng.choice(owners)
        if owner and rng.random() < 0.45:
            for block in owner:
                allocator.release(block)
            owner.clear()
        elif allocator.free:
            block = allocator.allocate()
            if any(block in other for other in owners):
                raise CheckFailure(f"turn {turn}: block {block} is given out while it is held")
            owner.append(block)
        held = sum(map(len, owners))
        assert_equal(allocator.free, 12 - held, f"turn {turn}: free while {held} of 12 are held")
    for owner in owners:
        for block in owner:
            allocator.release(block)
    assert_equal(sorted(all_of(allocator)), list(range(12)), "the blocks after all were released")


def check_many_blocks(part: ModuleType) -> None:
    """Of 50,000 blocks, each is held, released and given out in little time"""
    blocks = 50_000
    allocator = part.BlockAllocator(blocks)
    order = list(range(blocks))
    random.Random(2).shuffle(order)
    for block in order:  # found anywhere in the queue, without a search
        allocator.hold(block)
        if allocator.free != blocks - 1:
            raise CheckFailure(f"free is {allocator.free} while one of {blocks:,} blocks is held")
        allocator.release(block)
    assert_equal(all_of(allocator), order, "the blocks given out, released in a random order")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: each of ``size`` blocks given out, shared, and released twice."""
    allocator = part.BlockAllocator(size)

    def traffic() -> None:
        held = [allocator.allocate() for _ in range(size)]
        for block in held:
            allocator.hold(block)
        for block in held + held:
            allocator.release(block)

    return traffic


SIZE = 10_000
