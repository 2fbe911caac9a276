"""Figures of the ring: balance, what moves, and the same places in every process."""

import os
import random
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.serving.consistent_hashing import HashRing

KEYS = [f"key {i}" for i in range(20_000)]


def ring_of(count: int, points: int = 160) -> HashRing:
    ring = HashRing(points)
    for i in range(count):
        ring.add(f"replica-{i}")
    return ring


@pytest.mark.parametrize(("points", "most"), [(10, 2.2), (160, 1.25), (1000, 1.12)])
def test_more_points_balance_better(points: int, most: float) -> None:
    counts = Counter(map(ring_of(10, points).lookup, KEYS))
    assert len(counts) == 10
    assert max(counts.values()) / (len(KEYS) / 10) < most
    assert min(counts.values()) / (len(KEYS) / 10) > 1 / (2.5 * most)


@pytest.mark.parametrize("count", [2, 5, 10, 30])
def test_one_more_of_n_takes_about_one_in_n_plus_one(count: int) -> None:
    ring = ring_of(count)
    before = list(map(ring.lookup, KEYS))
    ring.add("one more")
    after = list(map(ring.lookup, KEYS))
    moved = [new for old, new in zip(before, after, strict=True) if new != old]
    assert set(moved) == {"one more"}
    assert 0.7 < len(moved) / len(KEYS) * (count + 1) < 1.3


def test_weights_are_shares_of_the_keys() -> None:
    ring = HashRing(300)
    weights = {"a": 0.5, "b": 1.0, "c": 2.5}
    for node, weight in weights.items():
        ring.add(node, weight)
    counts = Counter(map(ring.lookup, KEYS))
    for node, weight in weights.items():
        assert counts[node] / len(KEYS) == pytest.approx(weight / 4, rel=0.2)


def test_another_process_finds_the_same_nodes() -> None:
    program = (
        "from groundup.serving.consistent_hashing import HashRing\n"
        "ring = HashRing()\n"
        "for i in range(7): ring.add(f'replica-{i}')\n"
        "print(*[ring.lookup(f'key {i}') for i in range(50)])"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.split() == list(map(ring_of(7).lookup, KEYS[:50]))


def test_few_move_where_loads_are_bounded() -> None:
    """A replica of ten goes: the bounded placement of the others moves little more than its own."""

    def place(ring: HashRing) -> dict[str, str]:
        loads = dict.fromkeys(ring.nodes, 0)
        placed = {}
        for key in KEYS[:3000]:
            placed[key] = ring.bounded(key, loads, 1.25)
            loads[placed[key]] += 1
        assert max(loads.values()) <= 1.25 * 3000 / len(loads) + 1
        return placed

    ring = ring_of(10)
    before = place(ring)
    ring.remove("replica-3")
    after = place(ring)
    moved = sum(before[key] != after[key] for key in before)
    assert 0.05 < moved / 3000 < 0.3  # by the number of replicas modulo it would be 0.9


@given(
    weights=st.lists(st.floats(0.01, 5), min_size=1, max_size=6),
    factor=st.floats(1.001, 3),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_there_is_always_room_and_never_more_than_the_bound(
    weights: list[float], factor: float, seed: int
) -> None:
    ring, rng = HashRing(8), random.Random(seed)
    for i, weight in enumerate(weights):
        ring.add(str(i), weight)
    loads = dict.fromkeys(ring.nodes, 0)
    for m in range(1, 80):
        node = ring.bounded(f"key {rng.randrange(5)}", loads, factor)
        loads[node] += 1
        share = weights[int(node)] / sum(weights)
        assert loads[node] <= factor * m * share * (1 + 1e-9) + 1
