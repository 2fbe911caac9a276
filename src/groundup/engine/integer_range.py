"""The integers from one number to another, as a regular expression over their digits."""

__all__ = ["integer_range"]


def integer_range(minimum: int | None, maximum: int | None) -> str | None:
    """A pattern that matches the decimal integers from minimum to maximum, both included.

    Arguments:
        minimum, maximum: None is without a limit.

    Returns: a pattern for ``compile_regex``, in which no integer has leading zeros and zero has no
    sign; or None where there is no such integer.
    Example: ``integer_range(8, 12) == "[8-9]|1[0-2]"``.
    """
    if minimum is not None and maximum is not None and minimum > maximum:
        return None
    patterns = []
    if minimum is None or minimum < 0:  # from the largest to the smallest absolute value
        largest = None if minimum is None else -minimum
        smallest = 1 if maximum is None or maximum >= 0 else -maximum
        patterns.append(f"-(?:{'|'.join(_natural(smallest, largest))})")
    if maximum is None or maximum >= 0:
        patterns += _natural(max(minimum or 0, 0), maximum)
    return "|".join(patterns)


def _natural(low: int, high: int | None) -> list[str]:
    """Patterns of the natural numbers from low to high, at least one."""
    if high is None:
        length = len(str(low))
        return [*_natural(low, 10**length - 1), rf"[1-9]\d{{{length},}}"]
    patterns = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        patterns += _same_length(str(first), str(min(high, 10**length - 1)))
    return patterns


def _same_length(low: str, high: str) -> list[str]:
    """Patterns of the digit strings from low to high, which have the same length."""
    if low == high:
        return [low]
    if low[0] == high[0]:
        return [low[0] + rest for rest in _same_length(low[1:], high[1:])]
    length = len(low) - 1
    zeros, nines = "0" * length, "9" * length
    patterns = []
    first, last = int(low[0]), int(high[0])
    if low[1:] != zeros:
        patterns += [low[0] + rest for rest in _same_length(low[1:], nines)]
        first += 1
    if high[1:] != nines:
        last -= 1
    if first <= last:
        digit = str(first) if first == last else f"[{first}-{last}]"
        patterns.append(digit + (rf"\d{{{length}}}" if length > 1 else r"\d" * length))
    if high[1:] != nines:
        patterns += [high[0] + rest for rest in _same_length(zeros, high[1:])]
    return patterns
