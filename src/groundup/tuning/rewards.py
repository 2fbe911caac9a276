"""Rewards that a program can check: whether a number is right, and whether a form is kept."""

import re
from fractions import Fraction

__all__ = ["arithmetic_reward", "format_reward", "last_number"]

# 1,234.5 with or without separators. A minus is the number's where no word or digit is before it.
NUMBER = re.compile(r"(?<![\w.])-?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?")


def last_number(text: str) -> Fraction | None:
    """The last decimal number in a text, exactly; None where there is none.

    Only the last, as a solution names others on its way. A reward for any number of a text would be
    earned by writing all numbers.
    """
    found = NUMBER.findall(text)
    return Fraction(found[-1].replace(",", "")) if found else None


def arithmetic_reward(answer: str, expected: Fraction | int) -> float:
    """1.0 where the last number of an answer is the expected one, else 0.0."""
    return float(last_number(answer) == expected)


def format_reward(answer: str, form: re.Pattern[str]) -> float:
    """1.0 where the whole of an answer, without white space around it, has the form, else 0.0."""
    return float(form.fullmatch(answer.strip()) is not None)
