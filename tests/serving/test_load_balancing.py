"""The policies: what they choose, and how well that balances."""

import random
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from groundup.errors import GroundupError
from groundup.serving.consistent_hashing import HashRing
from groundup.serving.load_balancing import (
    least_outstanding,
    power_of_two_choices,
    prefix_affinity,
)

NAMES = [f"replica-{i}" for i in range(8)]
Policy = Callable[[Mapping[str, int], random.Random], str]


def ring() -> HashRing:
    made = HashRing()
    for name in NAMES:
        made.add(name)
    return made


def test_least_outstanding_takes_the_idlest_and_shares_ties() -> None:
    rng = random.Random(0)
    assert least_outstanding({"a": 3, "b": 1, "c": 2}, rng) == "b"
    drawn = Counter(least_outstanding({"a": 1, "b": 1, "c": 2}, rng) for _ in range(1000))
    assert set(drawn) == {"a", "b"}
    assert 400 < drawn["a"] < 600


def test_two_choices_never_take_the_most_loaded_and_draw_evenly() -> None:
    rng = random.Random(0)
    drawn = Counter(power_of_two_choices({"a": 0, "b": 5, "c": 9}, rng) for _ in range(3000))
    # Of three pairs, equally likely, a wins two, b one and c none.
    assert set(drawn) == {"a", "b"}
    assert drawn["a"] / 3000 == pytest.approx(2 / 3, abs=0.04)
    even = Counter(power_of_two_choices({"a": 4, "b": 4}, rng) for _ in range(1000))
    assert 400 < even["a"] < 600
    assert power_of_two_choices({"only": 7}, rng) == "only"


def test_two_choices_balance_far_better_than_one() -> None:
    """1,000 requests to 1,000 replicas: the most loaded has 3 or 4, and with one choice 5 to 7."""

    def most(policy: Policy, seed: int) -> int:
        rng = random.Random(seed)
        loads = dict.fromkeys(map(str, range(1000)), 0)
        for _ in range(1000):
            loads[policy(loads, rng)] += 1
        return max(loads.values())

    def one_choice(loads: Mapping[str, int], rng: random.Random) -> str:
        return rng.choice(list(loads))

    assert max(most(power_of_two_choices, seed) for seed in range(5)) <= 4
    assert min(most(one_choice, seed) for seed in range(5)) >= 5


def test_a_seed_gives_the_same_choices() -> None:
    loads = dict.fromkeys(NAMES, 0)
    for policy in (least_outstanding, power_of_two_choices):
        one, two = (
            [policy(loads, rng) for _ in range(50)] for rng in (random.Random(3), random.Random(3))
        )
        assert one == two


def test_prompts_that_begin_alike_go_together() -> None:
    places, idle = ring(), dict.fromkeys(NAMES, 0)
    for i in range(30):
        system = f"You are assistant number {i}. " * 50
        homes = {prefix_affinity(places, idle, f"{system} Question {q}") for q in range(10)}
        assert homes == {prefix_affinity(places, idle, system)}
    spread = {prefix_affinity(places, idle, f"Short question {i}") for i in range(100)}
    assert len(spread) == len(NAMES)
    two = {prefix_affinity(places, idle, f"Same{i}", characters=4) for i in range(100)}
    assert len(two) == 1


def test_a_popular_prefix_spills_over_within_the_bound() -> None:
    places, loads = ring(), dict.fromkeys(NAMES, 0)
    for m in range(1, 401):
        loads[prefix_affinity(places, loads, "The one system prompt", factor=1.5)] += 1
        assert max(loads.values()) <= 1.5 * m / 8 + 1
    assert sum(load > 0 for load in loads.values()) == 6  # 400 in portions of 75


def test_an_unhealthy_replica_moves_only_its_own() -> None:
    places, idle = ring(), dict.fromkeys(NAMES, 0)
    prompts = [f"Prompt {i}" for i in range(300)]
    before = [prefix_affinity(places, idle, prompt) for prompt in prompts]
    del idle["replica-5"]
    after = [prefix_affinity(places, idle, prompt) for prompt in prompts]
    for old, new in zip(before, after, strict=True):
        assert (new != old) == (old == "replica-5")


def test_nothing_healthy_is_said() -> None:
    rng = random.Random(0)
    for choose in (least_outstanding, power_of_two_choices):
        with pytest.raises(GroundupError, match="no replica is healthy"):
            choose({}, rng)
    with pytest.raises(GroundupError, match="no replica is healthy"):
        prefix_affinity(ring(), {}, "prompt")
    with pytest.raises(ValueError, match="at least 1 character"):
        prefix_affinity(ring(), {"replica-1": 0}, "prompt", characters=0)
    with pytest.raises(ValueError, match="not on the ring"):
        prefix_affinity(ring(), {"stranger": 0}, "prompt")
