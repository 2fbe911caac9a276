"""The parameters of one request's way of choosing tokens. Servers check them without torch."""

from dataclasses import dataclass
from math import inf, ulp

__all__ = ["SamplingParams"]

ABOVE_0 = ulp(0)
RANGES = (
    ("temperature", 0, inf, "0 or more"),
    ("top_k", 0, inf, "0 (keep all) or more"),
    ("top_p", ABOVE_0, 1, "above 0 and at most 1"),
    ("min_p", 0, 1, "from 0 to 1"),
    ("repetition_penalty", ABOVE_0, inf, "above 0"),
    ("presence_penalty", -2, 2, "from -2 to 2"),
    ("frequency_penalty", -2, 2, "from -2 to 2"),
)


@dataclass(frozen=True)
class SamplingParams:
    """How tokens are chosen. The defaults change nothing but the temperature of a request."""

    temperature: float = 0.0  # 0 is greedy: always the highest score
    top_k: int = 0  # 0 keeps all
    top_p: float = 1.0  # 1 keeps all
    min_p: float = 0.0  # 0 keeps all
    repetition_penalty: float = 1.0  # 1 changes nothing
    seed: int | None = None  # None draws a new one for each request
    presence_penalty: float = 0.0  # off the score of each token that was generated before
    frequency_penalty: float = 0.0  # the same, for each time that it was generated
    logit_bias: tuple[tuple[int, float], ...] = ()  # (id, what is added to its score)

    def __post_init__(self) -> None:
        for name, lowest, highest, expected in RANGES:
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ValueError(f"{name} must be {expected}, got {value}")
        for token, bias in self.logit_bias:
            if not -100 <= bias <= 100:
                raise ValueError(
                    f"logit_bias of token {token} must be from -100 to 100, got {bias}"
                )

    @property
    def takes_highest(self) -> bool:
        """Whether the choice is the highest of the model's own scores."""
        return self.temperature == 0 and not self.penalises and not self.logit_bias

    @property
    def penalises(self) -> bool:
        """Whether the choice depends on the tokens before it."""
        return bool(self.repetition_penalty != 1 or self.presence_penalty or self.frequency_penalty)
