"""Checks of `groundup.engine.kv_cache`. Oracle: all that was written, joined with `torch.cat`."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)

EXACT = {"rtol": 0.0, "atol": 0.0}  # a cache hands on the values as they are

LAYERS, B, H, D = 3, 2, 2, 4
Pair = tuple[Tensor, Tensor]


def pairs(T: int, dtype: torch.dtype = torch.float32) -> list[Pair]:
    """Keys and values of T positions for each layer: one forward pass."""
    return [(k, v) for k, v in torch.randn(LAYERS, 2, B, H, T, D).to(dtype)]


def joined(*passes: list[Pair]) -> list[Pair]:
    """What each layer's last write returns after these passes."""
    return [
        (torch.cat([k for k, _ in layer], dim=2), torch.cat([v for _, v in layer], dim=2))
        for layer in zip(*passes, strict=True)
    ]


def first(n: int, passed: list[Pair]) -> list[Pair]:
    return [(k[:, :, :n], v[:, :, :n]) for k, v in passed]


def new(part: ModuleType, limit: int = 100, **options: Any) -> Any:
    return part.KVCache(LAYERS, H, D, limit=limit, batch=B, **options)


def write(cache: Any, passed: list[Pair], expected: list[Pair], when: str) -> None:
    """Write to every layer in turn and compare what each returns, at once, as it may be a view."""
    for layer, ((k, v), (keys, values)) in enumerate(zip(passed, expected, strict=True)):
        with unchanged(k=k, v=v):
            got = cache.write(layer, k, v)
        if not isinstance(got, tuple) or len(got) != 2:
            raise CheckFailure(f"write returns {type(got).__name__}: expected a tuple keys, values")
        assert_close(got[0], keys, what=f"{when}, the keys of layer {layer}", **EXACT)
        assert_close(got[1], values, what=f"{when}, the values of layer {layer}", **EXACT)


def check_prompt_then_tokens(part: ModuleType) -> None:
    """A prompt and then single tokens: every layer returns all that it was given, in order"""
    passes = [pairs(T) for T in (5, 1, 1, 3, 1)]
    expected = [joined(*passes[: n + 1]) for n in range(len(passes))]
    cache = new(part)
    for number, (passed, want) in enumerate(zip(passes, expected, strict=True), start=1):
        write(cache, passed, want, f"in pass {number}")
        cache.advance(passed[0][0].shape[2])


def check_length(part: ModuleType) -> None:
    """length counts what was advanced past, not what is only written"""
    passed, token = pairs(4), pairs(1)
    cache = new(part)
    assert_equal(cache.length, 0, "the length of a new cache")
    for layer, (k, v) in enumerate(passed):
        cache.write(layer, k, v)
        assert_equal(cache.length, 0, f"the length before advance, layer {layer} written,")
    cache.advance(4)
    assert_equal(cache.length, 4, "the length after a pass of 4 positions")
    for layer, (k, v) in enumerate(token):
        cache.write(layer, k, v)
    cache.advance(1)
    assert_equal(cache.length, 5, "the length after one more position")
    cache.truncate(2)
    assert_equal(cache.length, 2, "the length after truncate(2)")


def check_interrupted_pass(part: ModuleType) -> None:
    """An interrupted pass leaves no trace: the next writes take its place"""
    held, broken, retried = pairs(3), pairs(6), pairs(2)
    expected = joined(held, retried)
    cache = new(part)
    write(cache, held, held, "in the first pass")
    cache.advance(3)
    for layer in (0, 1):  # and no advance: the pass ended here
        cache.write(layer, *broken[layer])
    assert_equal(cache.length, 3, "the length after an interrupted pass")
    write(cache, retried, expected, "after an interrupted pass")
    write(cache, retried, expected, "when the same pass is written twice")
    cache.advance(2)
    assert_equal(cache.length, 5, "the length after the pass was written again")


def check_part_of_a_pass(part: ModuleType) -> None:
    """advance(n) keeps the first n of the positions written, and the next pass goes behind them"""
    held, proposed, following = pairs(2), pairs(5), pairs(2)
    expected = joined(held, first(3, proposed), following)
    cache = new(part)
    write(cache, held, held, "in the first pass")
    cache.advance(2)
    write(cache, proposed, joined(held, proposed), "in the second pass")
    cache.advance(3)
    assert_equal(cache.length, 5, "the length after 3 of 5 positions were advanced past")
    write(cache, following, expected, "after 3 of 5 positions were advanced past")


def check_truncate(part: ModuleType) -> None:
    """truncate forgets the end, the rest stays; truncate(0) empties the cache"""
    held, following = pairs(7), pairs(2)
    expected = {n: joined(first(n, held), following) for n in (7, 4, 0)}
    for n, want in expected.items():
        cache = new(part)
        write(cache, held, held, "in the first pass")
        cache.advance(7)
        cache.truncate(n)
        assert_equal(cache.length, n, f"the length after truncate({n})")
        write(cache, following, want, f"after truncate({n})")


def check_growth(part: ModuleType) -> None:
    """Growing keeps every layer's positions, over many tokens and by one long prompt"""
    start, long = pairs(10), pairs(590)
    expected = joined(start, long)
    cache = new(part, limit=1000)
    write(cache, start, start, "in the first pass")
    cache.advance(10)
    for number in range(590):
        position = [(k[:, :, number : number + 1], v[:, :, number : number + 1]) for k, v in long]
        if number % 118 == 117:
            want = first(11 + number, expected)
            write(cache, position, want, f"with {10 + number} positions held")
        else:
            for layer, (k, v) in enumerate(position):
                cache.write(layer, k, v)
        cache.advance(1)
    cache = new(part, limit=1000)
    write(cache, start, start, "in the first pass")
    cache.advance(10)
    write(cache, long, expected, "with a prompt of 590 positions behind 10")


def check_memory_grows_with_use(part: ModuleType) -> None:
    """A short chat in a large context takes little memory"""
    k, v = torch.randn(2, 1, 8, 5, 128)
    # Held for the whole limit this would be 245 GB, and as much as is needed is 40 kB a layer.
    cache = part.KVCache(30, 8, 128, limit=1_000_000)
    for layer in range(30):
        keys, values = cache.write(layer, k, v)
        assert_close(keys, k, what=f"the keys of layer {layer}", **EXACT)
        assert_close(values, v, what=f"the values of layer {layer}", **EXACT)


def check_a_token_costs_one_step(part: ModuleType) -> None:
    """Single tokens are written into the memory that is there, not copied with all before them"""
    tokens = torch.randn(1000, 2, 1, 1, 1, 2)
    cache = part.KVCache(1, 1, 2, limit=1000)
    kept: list[Tensor] = []  # so that memory given back is not handed out again
    blocks = set()
    for k, v in tokens:
        keys, _ = cache.write(0, k, v)
        cache.advance(1)
        kept.append(keys)
        blocks.add(keys.untyped_storage().data_ptr())
    if len(blocks) > 40:  # doubling from a single position makes 11
        raise CheckFailure(
            f"1,000 single-token writes returned keys in {len(blocks)} different blocks of memory, "
            f"so everything was copied as often: let the memory grow by doubling, write the new "
            f"positions into it, and return views"
        )
    everything = tokens[:, 0].permute(1, 2, 0, 3, 4).reshape(1, 1, 1000, 2)
    assert_close(kept[-1], everything, what="the keys after 1,000 single tokens", **EXACT)


def check_dtypes_and_batch(part: ModuleType) -> None:
    """The cache keeps its dtype, and one sequence is the default batch"""
    for dtype in (torch.bfloat16, torch.float64):
        held, token = pairs(3, dtype), pairs(1, dtype)
        cache = new(part, dtype=dtype)
        write(cache, held, held, f"in {dtype}")
        cache.advance(3)
        write(cache, token, joined(held, token), f"in {dtype}")
    k, v = torch.randn(2, 1, H, 3, D)
    got = part.KVCache(1, H, D, limit=8).write(0, k, v)
    assert_close(got[0], k, what="the keys of a cache with the default batch and dtype", **EXACT)
    assert_close(got[1], v, what="the values of a cache with the default batch and dtype", **EXACT)


def check_keys_and_values_are_copied(part: ModuleType) -> None:
    """Changing k and v after the write does not change the cache"""
    held, token = pairs(3), pairs(1)
    expected = joined([(k.clone(), v.clone()) for k, v in held], token)
    cache = new(part)
    write(cache, held, held, "in the first pass")
    cache.advance(3)
    for k, v in held:
        k.zero_()
        v.zero_()
    write(cache, token, expected, "after the k and v of the first pass were set to zero")


def check_limit(part: ModuleType) -> None:
    """The limit can be reached, and not exceeded: ValueError, and the cache stays as it was"""
    held, fitting, excess = pairs(6), pairs(2), pairs(3)
    expected = joined(held, fitting)
    cache = new(part, limit=8)
    write(cache, held, held, "in the first pass")
    cache.advance(6)
    when = "3 positions are written to a cache that holds 6 of at most 8"
    assert_raises(ValueError, partial(cache.write, 0, *excess[0]), when)
    assert_equal(cache.length, 6, "the length after a write that did not fit")
    write(cache, fitting, expected, "up to the limit, after a write that did not fit")
    cache.advance(2)
    assert_equal(cache.length, 8, "the length at the limit")
    token = [x[:, :, :1] for x in excess[0]]
    assert_raises(ValueError, partial(cache.write, 0, *token), "the cache is full")
    cache.truncate(6)
    write(cache, fitting, expected, "after truncate made room")
    long = torch.randn(2, B, H, 9, D)
    when = "9 positions are written to an empty cache of at most 8"
    assert_raises(ValueError, partial(new(part, limit=8).write, 0, *long), when)


def check_bad_shapes(part: ModuleType) -> None:
    """write: k and v that do not fit, and layers that do not exist, raise ValueError"""
    held, token = pairs(2), pairs(1)
    expected = joined(held, token)
    k, v = token[1]
    cases: dict[str, tuple[int, Tensor, Tensor]] = {
        "v has another T than k": (1, k, held[1][1]),
        "k and v are of another batch size": (1, k[:1], v[:1]),
        "k and v have another number of heads": (1, k[:, :1], v[:, :1]),
        "k and v have another D": (1, k[..., :3], v[..., :3]),
        "k and v lack the batch axis": (1, k[0], v[0]),
        "k and v have two axes": (1, k[0, 0], v[0, 0]),
        "only v has another D": (1, k, v[..., :1]),
        "only k has another number of heads": (1, k[:, :1], v),
        "the layer is the number of layers": (LAYERS, k, v),
        "the layer is -1": (-1, k, v),
    }
    cache = new(part)
    write(cache, held, held, "in the first pass")
    cache.advance(2)
    for when, case in cases.items():
        assert_raises(ValueError, partial(cache.write, *case), when)
    write(cache, token, expected, "after writes that raised ValueError")


def check_bad_numbers(part: ModuleType) -> None:
    """Bad sizes, and advance and truncate beyond what is there, raise ValueError"""
    k, v = torch.randn(2, 1, H, 4, D)
    sizes = {"layers": 1, "kv_heads": H, "head_dim": D, "limit": 8, "batch": 1}
    for name in sizes:
        for size in (0, -1):
            call = partial(part.KVCache, **(sizes | {name: size}))
            assert_raises(ValueError, call, f"{name} is {size}")
    cache = part.KVCache(**sizes)
    assert_raises(ValueError, partial(cache.advance, 1), "advance(1), and nothing was written")
    cache.write(0, k, v)
    assert_raises(ValueError, partial(cache.advance, 5), "advance(5), and 4 positions were written")
    assert_raises(ValueError, partial(cache.advance, -1), "advance(-1)")
    assert_raises(ValueError, partial(cache.truncate, 1), "truncate(1), and nothing is held")
    assert_equal(cache.length, 0, "the length after calls that raised ValueError")
    cache.advance(4)
    when = "advance(1), and nothing was written since the last advance"
    assert_raises(ValueError, partial(cache.advance, 1), when)
    assert_raises(ValueError, partial(cache.truncate, 5), "truncate(5), and 4 positions are held")
    assert_raises(ValueError, partial(cache.truncate, -1), "truncate(-1)")
    assert_equal(cache.length, 4, "the length after calls that raised ValueError")
    cache.write(0, k, v)
    cache.truncate(4)
    when = "advance(1), and truncate has forgotten what was written"
    assert_raises(ValueError, partial(cache.advance, 1), when)


def check_select(part: ModuleType) -> None:
    """select: each sequence continues what another held, in every layer"""
    held, following = pairs(3), pairs(2)
    for rows in ([1, 0], [1, 1], [0, 0], [0, 1]):
        chosen = [(k[rows], v[rows]) for k, v in held]
        want = joined(chosen, following)
        cache = new(part)
        write(cache, held, held, "in the first pass")
        cache.advance(3)
        cache.write(0, *following[0])  # and no advance
        cache.select(torch.tensor(rows))
        assert_equal(cache.length, 3, f"the length after select({rows})")
        when = "advance(1), and select has forgotten what was written"
        assert_raises(ValueError, partial(cache.advance, 1), when)
        write(cache, following, want, f"after select({rows})")
    for wrong in ([0], [0, 2], [-1, 0], [0, 1, 1]):
        numbers = torch.tensor(wrong)
        assert_raises(ValueError, partial(cache.select, numbers), f"select({wrong}) of 2 sequences")
    write(cache, following, want, "after calls of select that raised ValueError")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a token's writes to SmolLM2's 30 layers, with ``size`` held."""
    cache = part.KVCache(30, 3, 64, limit=2 * size)
    held, token = torch.randn(2, 1, 3, size, 64), torch.randn(2, 1, 3, 1, 64)
    for layer in range(30):
        cache.write(layer, *held)
    cache.advance(size)
    return lambda: [cache.write(layer, *token) for layer in range(30)]


SIZE = 1024
