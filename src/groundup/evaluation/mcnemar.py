"""Whether one of two models is right more often, on the same questions."""

__all__ = ["mcnemar"]


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact, two-sided p-value of McNemar's test.

    Questions that both models or neither got right say nothing about which is better. If both
    were equally good, each of the others would be a fair coin.

    Args:
        only_first: questions that the first model alone got right.
        only_second: questions that the second alone got right.

    Returns:
        The chance of a split at least so uneven among equals; 1 where there are no such questions.

    Raises:
        ValueError: a count is negative.

    Source: McNemar 1947, "Note on the sampling error of the difference between correlated
    proportions or percentages"; exact as in Fagerland et al. 2013, section 2, equation 2.
    """
    if min(only_first, only_second) < 0:
        raise ValueError(f"counts are not negative, got {only_first} and {only_second}")
    n = only_first + only_second
    # In whole numbers, as 2^n is past any float for n beyond 1,023.
    binomial = tail = 1
    for i in range(min(only_first, only_second)):
        binomial = binomial * (n - i) // (i + 1)
        tail += binomial
    return min(1.0, 2 * tail / (1 << n))
