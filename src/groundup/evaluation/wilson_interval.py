"""An interval for a share: how many of n were right."""

import math
from statistics import NormalDist

__all__ = ["wilson_interval"]


def wilson_interval(right: int, items: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The shares from which so many right ones of n would not be a surprise.

    Unlike the share ± 1.96 standard errors, it stays within 0 and 1, and says something where none
    or all are right: 0 of 20 is a share below 16 %.

    Args:
        right: 0 to ``items``.
        items: n, at least 1.
        confidence: above 0, below 1.

    Returns:
        Its two ends.

    Raises:
        ValueError: one of them is out of its range.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference";
    Brown et al. 2001, "Interval estimation for a binomial proportion", equation 4.
    """
    if items < 1 or not 0 <= right <= items or not 0 < confidence < 1:
        raise ValueError(f"no interval of {confidence} for {right} right of {items}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / items
    centre = (share + z * z / (2 * items)) / (1 + z * z / items)
    half = z / (1 + z * z / items) * math.sqrt(
        share * (1 - share) / items + z * z / (4 * items * items)
    )  # fmt: skip
    return max(0.0, centre - half), min(1.0, centre + half)
