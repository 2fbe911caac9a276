"""How long to wait before a call is tried again."""

import random

__all__ = ["full_jitter"]


def full_jitter(attempt: int, base: float, limit: float, rng: random.Random) -> float:
    """A random time, up to a bound that doubles with each attempt.

    Callers that failed together then come back spread out, and not together again.

    Args:
        attempt: how many have failed, from 1.
        base: seconds, the bound after the first.
        limit: seconds, the highest bound.
        rng: draws.

    Returns:
        Seconds, from 0 to ``min(limit, base * 2 ** (attempt - 1))``.

    Source: Brooker 2015, "Exponential backoff and jitter", AWS architecture blog, "full jitter".
    """
    return rng.uniform(0, min(limit, base * 2 ** (attempt - 1)))
