"""Checks of `groundup.serving.consistent_hashing`. Oracle: the definition, over all points."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises

KEYS = [f"conversation {i}" for i in range(2000)]


def at(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return int(digest, 16)


def met(weights: Mapping[str, float], key: str, points: int) -> list[str]:
    """All nodes, by the distance from the key to the nearest of their points that follow it."""
    distances = {
        node: min((at(f"{node}#{i}") - at(key)) % 2**64 for i in range(max(1, round(points * w))))
        for node, w in weights.items()
    }
    return sorted(distances, key=lambda node: (distances[node], node))


def new(part: ModuleType, weights: Mapping[str, float], points: int = 160) -> Any:
    ring = part.HashRing(points)
    for node, weight in weights.items():
        ring.add(node, weight)
    return ring


def equal(names: str) -> dict[str, float]:
    return {f"replica-{name}": 1.0 for name in names}


def check_position(part: ModuleType) -> None:
    """position: the 8-byte BLAKE2b digest as a number, the same in every process"""
    texts = ["", "a", "replica-1#0", "Grüße, 世界 🌍", "x" * 1000, "\ud83c"]
    expected = [at(text) for text in texts]
    for text, want in zip(texts, expected, strict=True):
        assert_equal(part.position(text), want, f"the position of {text[:20]!a}")


def check_lookup(part: ModuleType) -> None:
    """lookup: the first point at or after the key's position, against a search of all points"""
    for points in (1, 10, 40):
        weights = equal("abcde")
        expected = [met(weights, key, points)[0] for key in KEYS[:100]]
        ring = new(part, weights, points)
        for key, want in zip(KEYS, expected, strict=False):
            assert_equal(ring.lookup(key), want, f"the node of {key!r} with {points} points a node")


def check_a_key_on_a_point(part: ModuleType) -> None:
    """lookup: a key at the very position of a point belongs to it, and the ring closes"""
    weights = equal("abc")
    own = {f"{node}#{i}": node for node in weights for i in range(5)}
    places = {at(text): node for text, node in own.items()}
    first, last = places[min(places)], max(places)
    beyond = next(key for i in range(10**6) if at(key := f"key {i}") > last)
    ring = new(part, weights, points=5)
    for text, node in own.items():
        assert_equal(ring.lookup(text), node, f"the node of {text!r}, which is one of its points")
    assert_equal(ring.lookup(beyond), first, "the node of a key after the last point")


def check_first(part: ModuleType) -> None:
    """first: different nodes in the order in which the key meets them, as many as there are"""
    weights = equal("abcdef")
    expected = [met(weights, key, 20) for key in KEYS[:100]]
    ring = new(part, weights, 20)
    for key, want in zip(KEYS, expected, strict=False):
        for k in (1, 3, 6):
            assert_equal(ring.first(key, k), want[:k], f"the first {k} nodes of {key!r}")
        assert_equal(ring.first(key, 9), want, f"the first 9 nodes of {key!r}, on a ring of 6")


def check_weights(part: ModuleType) -> None:
    """A node's points follow its weight, and there is at least one"""
    weights = {"small": 0.02, "half": 0.8, "one": 1.0, "large": 3.26}
    for points in (2, 7, 10):
        expected = [met(weights, key, points) for key in KEYS[:200]]
        ring = new(part, weights, points)
        for key, want in zip(KEYS, expected, strict=False):
            what = f"the nodes of {key!r} with {points} points and the weights {weights}"
            assert_equal(ring.first(key, 4), want, what)
    assert_equal(ring.nodes, weights, "nodes")
    ring.nodes.clear()
    assert_equal(ring.nodes, weights, "nodes, after a change of what it gave before")


def check_balance(part: ModuleType) -> None:
    """With 160 points each, no node of ten is a third above or below its share"""
    ring = new(part, equal("abcdefghij"))
    counts = Counter(ring.lookup(f"key {i}") for i in range(10_000))
    for node in ring.nodes:
        if not 667 <= counts[node] <= 1333:
            raise CheckFailure(f"{node} has {counts[node]} of 10,000 keys: expected about 1,000")


def check_few_keys_move(part: ModuleType) -> None:
    """A node that comes only takes keys, about its share, and one that goes only leaves its own"""
    ring = new(part, equal("abcdefghi"))
    before = {key: ring.lookup(key) for key in KEYS}
    ring.add("replica-new")
    after = {key: ring.lookup(key) for key in KEYS}
    moved = [key for key in KEYS if before[key] != after[key]]
    for key in moved:
        assert_equal(after[key], "replica-new", f"where {key!r} moved when replica-new came")
    if not 100 <= len(moved) <= 320:
        raise CheckFailure(
            f"{len(moved)} of 2,000 keys moved to the tenth node: about 200 expected"
        )
    ring.remove("replica-new")
    for key in KEYS:
        assert_equal(ring.lookup(key), before[key], f"the node of {key!r} after replica-new went")
    ring.remove("replica-a")
    for key in KEYS:
        node = ring.lookup(key)
        if before[key] != "replica-a":
            assert_equal(node, before[key], f"the node of {key!r} after replica-a went")
        elif node == "replica-a":
            raise CheckFailure(f"{key!r} belongs to replica-a, which was removed")


def check_the_order_of_adding(part: ModuleType) -> None:
    """The order in which nodes came changes nothing"""
    names = ["x", "y", "z", "w"]
    expected = [met(dict.fromkeys(names, 1.0), key, 30) for key in KEYS[:100]]
    ring = part.HashRing(30)
    for name in ["z", "v", "x", "w", "y"]:
        ring.add(name)
    ring.remove("v")
    ring.remove("x")
    ring.add("x")
    for key, want in zip(KEYS, expected, strict=False):
        assert_equal(ring.first(key, 4), want, f"the nodes of {key!r}")


def check_bounded(part: ModuleType) -> None:
    """bounded: keys placed one by one go to the first node with room, against the definition"""
    for weights in (equal("abcde"), {"a": 1.0, "b": 2.0, "c": 0.5}):
        for factor in (1.01, 1.27, 2.003):  # no room is a whole number before it is rounded
            total = sum(weights.values())
            loads = dict.fromkeys(weights, 0)
            expected = []
            for m, key in enumerate(KEYS[:150], start=1):
                key = key if m % 3 else "a popular one"
                room = {n: math.ceil(factor * m / total * w) for n, w in weights.items()}
                want = next(n for n in met(weights, key, 20) if loads[n] < room[n])
                expected.append((key, dict(loads), want))
                loads[want] += 1
            ring = new(part, weights, 20)
            for key, before, want in expected:
                what = f"the node of {key!r} with the loads {before} and factor {factor}"
                assert_equal(ring.bounded(key, before, factor), want, what)


def check_bounded_holds_the_bound(part: ModuleType) -> None:
    """bounded: a thousand requests with one key are spread, and a lone request stays at home"""
    ring = new(part, equal("abcd"))
    loads = dict.fromkeys(ring.nodes, 0)
    home = ring.lookup("one system prompt for all")
    assert_equal(ring.bounded("one system prompt for all", loads), home, "the node on an idle ring")
    for _ in range(1000):
        loads[ring.bounded("one system prompt for all", loads)] += 1
    most = max(loads.values())
    if most > 313:  # ceil(1.25 * 1000 / 4)
        raise CheckFailure(f"a node of four has {most} of 1,000: at most 313 expected")
    assert_equal(loads[home], 313, "the load of the key's own node")


def check_bounded_passes_over(part: ModuleType) -> None:
    """bounded: nodes without a load are passed over, and do not count as room"""
    weights = equal("abcde")
    there = [node for node in weights if node != "replica-b"]
    orders = {key: met(weights, key, 160) for key in KEYS[:60]}
    expected = {key: next(n for n in order if n in there) for key, order in orders.items()}
    ring = new(part, weights)
    for key, want in expected.items():
        got = ring.bounded(key, dict.fromkeys(there, 0))
        assert_equal(got, want, f"the node of {key!r} without replica-b")
        alone = ring.bounded(key, {"replica-d": 1000})
        assert_equal(alone, "replica-d", "the only node that may be chosen, however loaded")
    # Four nodes, 8 and the new one: each has room below ceil(1.25 * 9 / 4) = 3, and not below 2.
    for key in KEYS[:60]:
        want = next(n for n in orders[key] if n in there)
        loads = dict.fromkeys(there, 2)
        assert_equal(ring.bounded(key, loads), want, f"the node of {key!r} with the loads {loads}")


def check_bad_input(part: ModuleType) -> None:
    """Empty rings, unknown nodes and bad numbers raise ValueError"""
    empty = part.HashRing()
    assert_raises(ValueError, partial(empty.lookup, "key"), "a key is looked up on an empty ring")
    assert_raises(ValueError, partial(empty.first, "key", 2), "first is asked of an empty ring")
    assert_raises(ValueError, partial(empty.bounded, "key", {}), "no loads are given")
    assert_raises(ValueError, partial(part.HashRing, 0), "points is 0")
    ring = new(part, equal("ab"))
    assert_raises(ValueError, partial(ring.add, "replica-a"), "a node is added twice")
    assert_raises(
        ValueError, partial(ring.remove, "replica-c"), "a node is removed that is not there"
    )
    for weight in (0.0, -1.0, math.nan, math.inf):
        assert_raises(ValueError, partial(ring.add, "c", weight), f"the weight is {weight}")
    assert_raises(ValueError, partial(ring.first, "key", 0), "k is 0")
    assert_raises(ValueError, partial(ring.bounded, "key", {}), "no node may be chosen")
    for factor in (1.0, 0.5, math.nan):
        call = partial(ring.bounded, "key", {"replica-a": 0}, factor)
        assert_raises(ValueError, call, f"the factor is {factor}")
    call = partial(ring.bounded, "key", {"replica-a": 0, "replica-x": 0})
    assert_raises(ValueError, call, "a load is given of a node that is not on the ring")
    assert_equal(ring.nodes, equal("ab"), "nodes after calls that raised")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: as many lookups, on a ring of 100 nodes."""
    ring = new(part, {f"replica-{i}": 1.0 for i in range(100)})
    keys = [f"key {i}" for i in range(size)]
    return lambda: [ring.lookup(key) for key in keys]


SIZE = 2000
