"""Checks of `groundup.engine.prefix_cache`. Oracle: a dict from all tokens up to a block's end."""

import random
from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType
from typing import Any

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.engine.block_allocator import BlockAllocator

SIZE_OF_BLOCK = 4
TEXT = [7, 3, 7, 7, 1, 0, 2, 9, 5, 5, 5, 5, 8, 6]  # three blocks and two tokens


def new(part: ModuleType, blocks: int = 10, size: int = SIZE_OF_BLOCK) -> tuple[Any, Any]:
    """A cache and its allocator."""
    allocator = BlockAllocator(blocks)
    return part.PrefixCache(allocator, size), allocator


def pieces(tokens: Sequence[int], size: int = SIZE_OF_BLOCK) -> list[Sequence[int]]:
    """Its whole blocks."""
    return [tokens[start : start + size] for start in range(0, len(tokens) - size + 1, size)]


def fill(cache: Any, tokens: Sequence[int], size: int = SIZE_OF_BLOCK) -> tuple[list[int], bytes]:
    """Take a new block for every whole block of tokens and add it: the blocks, the last digest."""
    blocks, digest = [], b""
    for piece in pieces(tokens, size):
        blocks.append(cache.allocate())
        digest = cache.add(digest, blocks[-1], piece)
    return blocks, digest


def blocks_of(cache: Any, tokens: Sequence[int], what: str) -> list[int]:
    """What match finds."""
    found = cache.match(tokens)
    if not isinstance(found, tuple) or len(found) != 2:
        raise CheckFailure(f"{what}: match should return a pair, blocks and digest")
    blocks, digest = found
    if not isinstance(digest, bytes):
        raise CheckFailure(f"{what}: the digest is of type {type(digest).__name__}, not bytes")
    if bool(blocks) != bool(digest):
        raise CheckFailure(f"{what}: with the blocks {blocks} the digest is {digest!r}")
    assert isinstance(blocks, list)
    return blocks


def look(cache: Any, allocator: BlockAllocator, tokens: Sequence[int], what: str) -> list[int]:
    """What match finds, given back at once, from the last to the first."""
    blocks = blocks_of(cache, tokens, what)
    for block in reversed(blocks):
        allocator.release(block)
    return blocks


def check_empty(part: ModuleType) -> None:
    """A new cache knows nothing, and finds nothing"""
    for tokens in ([], [1], TEXT):
        cache, allocator = new(part)
        assert_equal(len(cache), 0, "the length of a new cache")
        assert_equal(cache.match(tokens), ([], b""), "what match finds in a new cache")
        assert_equal(allocator.free, 10, "free blocks after match found nothing")


def check_longest_beginning(part: ModuleType) -> None:
    """match finds the longest known beginning, in whole blocks, in order"""
    cases = [
        (TEXT, 3),
        (TEXT[:12], 3),
        (TEXT[:11], 2),
        (TEXT[:4], 1),
        (TEXT[:3], 0),
        ([], 0),
        ([*TEXT[:12], 1, 2, 3, 4], 3),
        ([*TEXT[:8], 5, 5, 5, 6], 2),
        ([*TEXT[:7], 0, *TEXT[8:]], 1),
        ([0, *TEXT[1:]], 0),
        (TEXT[4:], 0),
    ]
    cache, allocator = new(part)
    blocks, _ = fill(cache, TEXT)
    assert_equal(len(cache), 3, "the length after three blocks were added")
    for tokens, count in cases:
        found = look(cache, allocator, tokens, f"of {tokens}")
        assert_equal(found, blocks[:count], f"the blocks found for {tokens}, of {TEXT[:12]} known,")
    for size in (1, 2, 16):
        cache, allocator = new(part, 40, size)
        text = [n * n % 23 for n in range(35)]
        blocks, _ = fill(cache, text, size)
        for length in range(36):
            found = look(cache, allocator, text[:length], f"of {length} tokens")
            what = f"the blocks of {size} found for {length} tokens"
            assert_equal(found, blocks[: length // size], what)


def check_holds_what_it_finds(part: ModuleType) -> None:
    """match holds each block that it finds once more, and no other"""
    cache, allocator = new(part)
    blocks, _ = fill(cache, TEXT)
    for block in blocks:
        allocator.release(block)
    for times in (1, 2):
        assert_equal(blocks_of(cache, TEXT[:8], "of two blocks"), blocks[:2], "the blocks found")
        counts = [allocator.holders(block) for block in range(10)]
        what = f"the holders after {times} matches of two known blocks, beside one known and free"
        assert_equal(counts, [times, times, 0, *[0] * 7], what)
    cache.match([*TEXT[:4], 1, 1, 1, 1, *TEXT[8:]])
    assert_equal([allocator.holders(b) for b in blocks], [3, 2, 0], "the holders after a third")
    assert_equal(allocator.free, 8, "the free blocks")


def check_what_came_before(part: ModuleType) -> None:
    """The same tokens after another prefix, or at another place, are another block"""
    a, b, c = [1, 2, 3, 4], [5, 6, 7, 8], [9, 9, 9, 9]
    cache, allocator = new(part)
    ab, _ = fill(cache, a + b)
    for tokens, want in (
        (b, []),
        (c + b, []),
        (a + c + b, ab[:1]),
        (a + a, ab[:1]),
        (b + a, []),
        (a + b + b, ab),
    ):
        found = look(cache, allocator, tokens, f"of {tokens}")
        assert_equal(found, want, f"the blocks found for {tokens}, where {a + b} is known")
    cb, _ = fill(cache, c + b)
    aab, _ = fill(cache, a + a + b)
    assert_equal(len(cache), 6, "the blocks known of three prefixes")  # the first a stays
    for tokens, want in ((a + b, ab), (c + b, cb), (a + a + b, [ab[0], *aab[1:]])):
        found = look(cache, allocator, tokens, f"of {tokens}")
        assert_equal(found, want, f"the blocks found for {tokens}, of three known")


def check_digests(part: ModuleType) -> None:
    """Digests are equal exactly where all tokens are, and long enough to be trusted"""
    rng = random.Random(0)
    prefixes: dict[tuple[int, ...], set[bytes]] = {}
    texts = [[rng.randrange(2) for _ in range(12)] for _ in range(60)]
    cache, _ = new(part, blocks=300)
    for text in texts:
        digest = b""
        for number, piece in enumerate(pieces(text), start=1):
            digest = cache.add(digest, cache.allocate(), piece)
            prefixes.setdefault(tuple(text[: 4 * number]), set()).add(digest)
    for text in texts:
        for length in (4, 8, 12):
            found, digest = cache.match(text[:length])
            prefixes[tuple(text[:length])].add(digest)
            assert_equal(len(found), length // 4, f"how many blocks of {text[:length]} are found")
    for prefix, digests in prefixes.items():
        if len(digests) > 1:
            raise CheckFailure(f"add and match give {len(digests)} different digests of {prefix}")
        (digest,) = digests
        if not isinstance(digest, bytes) or len(digest) < 16:
            raise CheckFailure(f"the digest of {prefix} is {digest!r}: expected 16 bytes")
    if len({digest for digests in prefixes.values() for digest in digests}) < len(prefixes):
        raise CheckFailure("two different prefixes have the same digest")


def check_roots(part: ModuleType) -> None:
    """What was added behind another root is not found, and nothing found gives the root"""
    roots = [b"", b"A" * 16, b"B" * 16]
    cache, allocator = new(part, blocks=9)
    blocks: dict[bytes, list[int]] = {}
    for root in roots:
        got = cache.match(TEXT, root)
        assert_equal(got, ([], root), f"what match finds behind the root {root!r}, others known,")
        digest = root
        for piece in pieces(TEXT):
            blocks.setdefault(root, []).append(cache.allocate())
            digest = cache.add(digest, blocks[root][-1], piece)
        found, last = cache.match(TEXT, root)
        assert_equal(found, blocks[root], f"the blocks found behind the root {root!r}")
        assert_equal(last, digest, f"the digest that match gives behind the root {root!r}")
    assert_equal(len(cache), 9, "the blocks known of one text behind three roots")
    for root in roots:
        found, _ = cache.match(TEXT[:8], root)
        assert_equal(found, blocks[root][:2], f"the blocks found behind {root!r}, all known,")
    assert_equal(look(cache, allocator, TEXT, "of no root"), blocks[b""], "the blocks of no root")
    counts = [allocator.holders(block) for root in roots for block in blocks[root]]
    assert_equal(counts, [3, 3, 2] * 3, "the holders")


def check_every_token_counts(part: ModuleType) -> None:
    """Tokens that look alike are told apart: their order, large ids, digits that run together"""
    cases = [
        ([1, 2, 3, 4], [4, 3, 2, 1]),
        ([1, 23, 4, 5], [12, 3, 4, 5]),
        ([1, 1, 2, 2], [1, 2, 2, 1]),
        ([0, 0, 0, 1], [0, 0, 0, 257]),
        ([5, 5, 5, 5], [5, 5, 5, 5 + 2**16]),
        ([0, 1, 0, 0], [0, 0, 1, 0]),
        ([256, 0, 0, 0], [1, 0, 0, 0]),
        ([2**32 - 1, 0, 0, 0], [2**31 - 1, 0, 0, 0]),
        ([8, 8, 8, 8], [8, 8, 8, 9]),
        ([1, 0, 0, 0], [2**24, 0, 0, 0]),
    ]
    for known, other in cases:
        cache, allocator = new(part)
        (block,), _ = fill(cache, known)
        assert_equal(look(cache, allocator, other, "of others"), [], f"for {other}, {known} known,")
        assert_equal(look(cache, allocator, known, "of them"), [block], f"the blocks of {known}")


def check_found_when_free(part: ModuleType) -> None:
    """A block that nobody holds is found until it is given out anew"""
    cache, allocator = new(part, blocks=5)
    blocks, _ = fill(cache, TEXT)
    for block in reversed(blocks):
        allocator.release(block)
    assert_equal(look(cache, allocator, TEXT, "when free"), blocks, "the blocks found when free")
    assert_equal([cache.allocate(), cache.allocate()], [3, 4], "blocks never used, given out")
    assert_equal(look(cache, allocator, TEXT, "still"), blocks, "the blocks found after two others")
    for left in (2, 1, 0):  # the last block was released first
        assert_equal(cache.allocate(), blocks[left], "the block that has been free for longest")
        assert_equal(len(cache), left, f"the length after {3 - left} of 3 were given out anew")
        known = [block for block in range(5) if block in cache]
        assert_equal(known, blocks[:left], f"the known blocks after {3 - left} were given out anew")
        found = look(cache, allocator, TEXT, "after that")
        assert_equal(found, blocks[:left], f"the blocks found when {3 - left} were given out anew")
        # Found and given back, those left are in the same order as before.
    assert_raises(ValueError, cache.allocate, "all blocks are held")


def check_allocate(part: ModuleType) -> None:
    """allocate gives a block with one holder, and not one that match has saved"""
    cache, allocator = new(part, blocks=3)
    blocks, _ = fill(cache, TEXT[:12])
    for block in blocks:
        allocator.release(block)
    saved = blocks_of(cache, TEXT[:4], "of the first block")
    assert_equal(saved, blocks[:1], "the blocks found for the first block")
    given = [cache.allocate(), cache.allocate()]
    assert_equal(given, blocks[1:], "the blocks given out, while the first is held")
    assert_equal([allocator.holders(b) for b in range(3)], [1, 1, 1], "the holders")
    for _ in range(2):
        assert_raises(ValueError, cache.allocate, "all blocks are held")
    assert_equal(look(cache, allocator, TEXT, "then"), saved, "the blocks found then")


def check_written_anew(part: ModuleType) -> None:
    """A block that was given out anew is found by its new content alone"""
    old, fresh = [1, 1, 1, 1], [2, 2, 2, 2]
    cache, allocator = new(part, blocks=1)
    (block,), _ = fill(cache, old)
    for known, gone in ((fresh, old), (old, fresh), (fresh, old)):
        allocator.release(block)
        assert_equal(cache.allocate(), block, "the only block, given out anew")
        for tokens in (known, gone):
            assert_equal(block in cache, False, "whether the block is known before it is filled")
            what = f"the blocks found for {tokens} before the block is filled"
            assert_equal(look(cache, allocator, tokens, "before"), [], what)
        cache.add(b"", block, known)
        assert_equal(look(cache, allocator, known, "after"), [block], f"the blocks of {known}")
        assert_equal(look(cache, allocator, gone, "after"), [], f"the blocks of {gone}, gone,")
        assert_equal(len(cache), 1, "the length")


def check_gap(part: ModuleType) -> None:
    """Behind a block that is gone nothing is found, until it is filled again"""
    cache, allocator = new(part, blocks=3)
    (first, second, third), _ = fill(cache, TEXT)
    allocator.release(second)
    assert_equal(cache.allocate(), second, "the only free block")
    found = look(cache, allocator, TEXT, "with a gap")
    assert_equal(found, [first], "the blocks found when the second of three is gone")
    for block in (first, third):
        assert_equal(allocator.holders(block), 1, f"the holders of block {block} after that")
    _, digest = cache.match(TEXT[:4])
    cache.add(digest, second, TEXT[4:8])
    found = look(cache, allocator, TEXT, "without the gap")
    assert_equal(found, [first, second, third], "the blocks found when it was filled again")


def check_filled_twice(part: ModuleType) -> None:
    """Of two blocks with the same content the first stays known, whatever the other does"""
    tokens = [4, 3, 2, 1]
    cache, allocator = new(part, blocks=2)
    first, second = cache.allocate(), cache.allocate()
    digests = [cache.add(b"", first, tokens), cache.add(b"", second, tokens)]
    assert_equal(digests[1], digests[0], "the digest of the second")
    assert_equal(cache.add(b"", first, tokens), digests[0], "the digest when it is added again")
    assert_equal(len(cache), 1, "the length")
    assert_equal(look(cache, allocator, tokens, "of both"), [first], "the blocks found")
    allocator.release(second)
    assert_equal(cache.allocate(), second, "the second, given out anew")
    assert_equal(look(cache, allocator, tokens, "then"), [first], "the blocks found after that")
    allocator.release(first)
    assert_equal(cache.allocate(), first, "the first, given out anew")
    assert_equal(look(cache, allocator, tokens, "then"), [], "the blocks found after that too")
    assert_equal(len(cache), 0, "the length after that too")


def check_continued(part: ModuleType) -> None:
    """A sequence goes on behind what match found, with the digest that match gave"""
    cache, allocator = new(part)
    blocks, last = fill(cache, TEXT[:8])
    found, digest = cache.match([*TEXT[:8], 6, 6, 6, 6])
    assert_equal(found, blocks, "the blocks found")
    assert_equal(digest, last, "the digest that match gives, and add gave,")
    block = cache.allocate()
    cache.add(digest, block, [6, 6, 6, 6])
    want = [*blocks, block]
    for tokens in ([*TEXT[:8], 6, 6, 6, 6], [*TEXT[:8], 6, 6, 6, 6, 0]):
        assert_equal(look(cache, allocator, tokens, "then"), want, f"the blocks of {tokens}")
    _, digest = cache.match([*TEXT[:4], 0, 0, 0, 0])
    other = cache.allocate()
    cache.add(digest, other, [0, 0, 0, 0])
    found = look(cache, allocator, (*TEXT[:4], 0, 0, 0, 0), "of a tuple")
    assert_equal(found, [blocks[0], other], "the blocks of a branch")


def check_bad_input(part: ModuleType) -> None:
    """Blocks that are not full, and sizes that are not positive, raise ValueError"""
    for size in (0, -1):
        call = partial(part.PrefixCache, BlockAllocator(2), size)
        assert_raises(ValueError, call, f"block_size is {size}")
    cache, _ = new(part)
    block = cache.allocate()
    for tokens in ([], [1, 2, 3], [1, 2, 3, 4, 5]):
        call = partial(cache.add, b"", block, tokens)
        assert_raises(ValueError, call, f"{len(tokens)} tokens are added to blocks of 4")
    assert_equal(len(cache), 0, "the length after add raised")


def check_random_traffic(part: ModuleType) -> None:
    """Random sequences that come, grow and go, against all their tokens in a dict"""
    rng = random.Random(3)
    for blocks, size in ((6, 1), (8, 2), (24, 3)):
        cache, allocator = new(part, blocks, size)
        known: dict[tuple[int, ...], int] = {}
        alive: list[tuple[list[int], list[int], bytes]] = []
        for turn in range(400):
            what = f"with {blocks} blocks of {size}, turn {turn}:"
            if alive and (allocator.free == 0 or rng.random() < 0.3):
                _, held, _ = alive.pop(rng.randrange(len(alive)))
                for block in rng.sample(held, len(held)):
                    allocator.release(block)
                continue
            tokens = [rng.randrange(2) for _ in range(rng.randrange(size, 5 * size))]
            want = []
            for end in range(size, len(tokens) + 1, size):
                if tuple(tokens[:end]) not in known:
                    break
                want.append(known[tuple(tokens[:end])])
            found, digest = cache.match(tokens)
            assert_equal(found, want, f"{what} the blocks found for {tokens}")
            held = list(found)
            while len(held) < len(tokens) // size and allocator.free:
                block = cache.allocate()
                known = {prefix: b for prefix, b in known.items() if b != block}
                assert_equal(len(cache), len(known), f"{what} the length after allocate")
                prefix = tuple(tokens[: size * (len(held) + 1)])
                digest = cache.add(digest, block, list(prefix[-size:]))
                known.setdefault(prefix, block)
                held.append(block)
            assert_equal(len(cache), len(known), f"{what} the length")
            alive.append((tokens, held, digest))
            for block in range(blocks):
                count = sum(held.count(block) for _, held, _ in alive)
                assert_equal(allocator.holders(block), count, f"{what} the holders of {block}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a prompt of as many tokens is found, in blocks of 16."""
    cache, allocator = new(part, size // 16 + 1, 16)
    prompt = [n * n % 49_152 for n in range(size)]
    fill(cache, prompt, 16)
    return lambda: look(cache, allocator, prompt, "the prompt")


SIZE = 8192
