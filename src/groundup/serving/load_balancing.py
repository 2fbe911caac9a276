"""Which of the healthy replicas takes a request.

Each policy looks at ``outstanding``: the healthy replicas, each with the number of requests that it
has not yet answered. Who counts them, and who is healthy (`CircuitBreaker`), is the gateway's part.
"""

import random
from collections.abc import Mapping

from groundup.errors import GroundupError
from groundup.serving.consistent_hashing import HashRing

__all__ = ["least_outstanding", "power_of_two_choices", "prefix_affinity"]


def least_outstanding(outstanding: Mapping[str, int], rng: random.Random) -> str:
    """A replica with the fewest requests outstanding; one of them at random if there are several.

    The best where one gateway sees all traffic. Several, each with counts that are a little old,
    run to the same replica together: then take `power_of_two_choices`.

    Raises:
        GroundupError: no replica is healthy.
    """
    _some(outstanding)
    fewest = min(outstanding.values())
    return rng.choice([replica for replica, n in outstanding.items() if n == fewest])


def power_of_two_choices(outstanding: Mapping[str, int], rng: random.Random) -> str:
    """The less loaded of two different replicas drawn at random; the first drawn if they are equal.

    Of n replicas with n requests, the most loaded then has about log log n, where one random choice
    gives about log n / log log n.

    Raises:
        GroundupError: no replica is healthy.

    Source: Mitzenmacher 2001, "The power of two choices in randomized load balancing", section 1.
    """
    _some(outstanding)
    if len(outstanding) == 1:
        return next(iter(outstanding))
    one, two = rng.sample(list(outstanding), 2)
    return one if outstanding[one] <= outstanding[two] else two


def prefix_affinity(
    ring: HashRing,
    outstanding: Mapping[str, int],
    prompt: str,
    *,
    characters: int = 1024,
    factor: float = 1.25,
) -> str:
    """The replica that has probably read the beginning of this prompt before.

    Prompts that begin alike go to one replica, whose prefix cache then has their first blocks,
    until it has ``factor`` times its share of the load: then to the next on the ring.

    Args:
        ring: all replicas, healthy or not, so that keys do not move when one is away for a while.
        outstanding: as above; all of them on the ring.
        prompt: the text as the model reads it, system prompt first.
        characters: how much of its beginning counts. It should not go much beyond what prompts
            have in common: about 4 characters make a token, and 16 tokens a block.
        factor: of `HashRing.bounded`.

    Raises:
        GroundupError: no replica is healthy.
        ValueError: characters is less than 1, or as `HashRing.bounded`.

    Source: Mirrokni et al. 2016, "Consistent hashing with bounded loads", for the bound.
    """
    _some(outstanding)
    if characters < 1:
        raise ValueError(f"at least 1 character of the prompt must count, got {characters}")
    return ring.bounded(prompt[:characters], outstanding, factor)


def _some(outstanding: Mapping[str, int]) -> None:
    if not outstanding:
        raise GroundupError("no replica is healthy: start one, or wait until one is tried again")
