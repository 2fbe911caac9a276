"""The decimal numbers from one to another, as a regular expression over their digits."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from groundup.engine.integer_range import integer_range

__all__ = ["SIGNIFICANT_DIGITS", "decimal_range"]

# Numbers of so many digits are told apart, and keep their order, when they are read as float64.
SIGNIFICANT_DIGITS = 15


def decimal_range(
    minimum: Decimal | None, maximum: Decimal | None, above: Decimal | None, below: Decimal | None
) -> str | None:
    """A pattern that matches decimal numbers without an exponent that lie within all bounds.

    The fraction has as many digits at most as make `SIGNIFICANT_DIGITS` with the digits before the
    point of the largest bound: further digits would be lost in reading, and may cross a bound then.

    Arguments:
        minimum, maximum: included; None is without a limit.
        above, below: not included.

    Returns: a pattern for ``compile_regex``, in which no number has leading zeros; or None where
    there is no such number.
    Raises: ValueError: a bound has more than `SIGNIFICANT_DIGITS` digits.
    Example: ``decimal_range(Decimal(2), None, None, Decimal(3))`` matches 2, 2.0 and 2.75.
    """
    bounds = [bound for bound in (minimum, maximum, above, below) if bound is not None]
    digits = SIGNIFICANT_DIGITS - max(len(str(int(abs(bound)))) for bound in bounds)
    scale = Decimal(10) ** max(digits, 0)
    if digits < 0 or any(bound * scale % 1 for bound in bounds):
        raise ValueError(
            f"a bound has more than {SIGNIFICANT_DIGITS} digits, expected at most so many; round it"
        )
    # In units of the last digit of a fraction, everything is an integer.
    lows = [] if minimum is None else [_units(minimum, scale, ROUND_CEILING)]
    lows += [] if above is None else [_units(above, scale, ROUND_FLOOR) + 1]
    highs = [] if maximum is None else [_units(maximum, scale, ROUND_FLOOR)]
    highs += [] if below is None else [_units(below, scale, ROUND_CEILING) - 1]
    low, high = max(lows, default=None), min(highs, default=None)
    if low is not None and high is not None and low > high:
        return None
    patterns = []
    if low is None or low < 0:
        smallest = 1 if high is None or high >= 0 else -high
        patterns += [f"-(?:{_natural(smallest, None if low is None else -low, digits)})"]
    if high is None or high >= 0:
        patterns += [_natural(max(low or 0, 0), high, digits)]
    return "|".join(patterns)


def _units(bound: Decimal, scale: Decimal, rounding: str) -> int:
    return int((bound * scale).to_integral_value(rounding))


def _natural(low: int, high: int | None, digits: int) -> str:
    """Of numbers that are not negative, in units of 10 ** -digits."""
    zeros, nines = "0" * digits, "9" * digits
    first, behind_first = _split(low, digits)
    if high is None:
        return f"{first}{_fraction(behind_first, nines)}|(?:{integer_range(first + 1, None)})" + (
            _fraction(zeros, nines)
        )
    last, behind_last = _split(high, digits)
    if first == last:
        return f"{first}{_fraction(behind_first, behind_last)}"
    patterns = [f"{first}{_fraction(behind_first, nines)}"]
    between = integer_range(first + 1, last - 1)
    patterns += [] if between is None else [f"(?:{between}){_fraction(zeros, nines)}"]
    return "|".join([*patterns, f"{last}{_fraction(zeros, behind_last)}"])


def _split(units: int, digits: int) -> tuple[int, str]:
    """The number before the point, and the digits behind it."""
    whole, part = divmod(units, 10**digits)
    return whole, str(part).zfill(digits) if digits else ""


def _fraction(low: str, high: str) -> str:
    """The point and the digits behind it, which may be missing where zeros would do."""
    if not low:
        return ""
    pattern = rf"\.(?:{_digits(low, high)})"
    return pattern if low.strip("0") else f"(?:{pattern})?"


def _digits(low: str, high: str) -> str:
    """One digit or more that, filled up with zeros, lie from low to high (of equal length)."""
    left = len(low) - 1
    zeros, nines = "0" * left, "9" * left
    if low == "0" + zeros and high == "9" + nines:
        return rf"\d{{1,{left + 1}}}"
    if low[0] == high[0]:
        return low[0] + _more(low[1:], high[1:])
    patterns = [low[0] + _more(low[1:], nines)]
    if int(low[0]) + 1 < int(high[0]):
        patterns.append(f"[{int(low[0]) + 1}-{int(high[0]) - 1}]{_more(zeros, nines)}")
    patterns.append(high[0] + _more(zeros, high[1:]))
    return "|".join(patterns)


def _more(low: str, high: str) -> str:
    if not low:
        return ""
    pattern = f"(?:{_digits(low, high)})"
    return pattern if low.strip("0") else f"{pattern}?"
