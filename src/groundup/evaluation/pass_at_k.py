"""The chance that one of k samples is right, estimated from n of them."""

__all__ = ["pass_at_k"]


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The unbiased estimate from n samples, of which c are right: 1 - C(n - c, k) / C(n, k).

    Of all ways to choose k of the n samples, it is the share that has a right one among them. (The
    plain 1 - (1 - c/n)^k is too low on average, as it draws the same sample more than once.)
    Computed as a product, because the binomials of many samples overflow a float.

    Args:
        samples: n, those of one problem; at least ``k``.
        correct: c, those that passed; 0 to n.
        k: how many tries are allowed; at least 1.

    Returns:
        0 to 1. A score of several problems is the mean over them.

    Raises:
        ValueError: k is less than 1 or more than n, or c is not of 0 to n.

    Source: Chen et al. 2021, "Evaluating large language models trained on code", section 2.1,
    equation 1.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs k of 1 to the number of samples, {samples}")
    if not 0 <= correct <= samples:
        raise ValueError(f"{correct} of {samples} samples are right: expected 0 to {samples}")
    wrong = samples - correct
    none_right = 1.0
    for i in range(k):
        none_right *= (wrong - i) / (samples - i)  # 0 from the choice on that must be right
    return 1.0 - none_right
