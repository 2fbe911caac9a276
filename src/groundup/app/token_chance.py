"""How likely a token was, and what else might have come."""

from dataclasses import dataclass

__all__ = ["TokenChance"]


@dataclass(frozen=True)
class TokenChance:
    """One token of a text. Probabilities are the model's own, before temperature and the like."""

    text: str
    logprob: float | None  # natural logarithm; None for the first of all, which nothing precedes
    top: tuple[tuple[str, float], ...] = ()  # (text, logprob), the likeliest first
