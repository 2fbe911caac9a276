"""How tokens are chosen in a conversation: the fields that a user may set, and their bounds.

They are fields of OpenAI's request and of our server's. One that is not set is not sent: then the
endpoint's own default holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from groundup.errors import GroundupError

__all__ = ["SAMPLING_OPTIONS", "SamplingOption", "checked_sampling"]


@dataclass(frozen=True)
class SamplingOption:
    """One number. Its bounds belong to it."""

    name: str
    label: str
    help: str
    low: float
    high: float
    start: float  # where its slider stands while it is not set
    step: float = 0.05
    whole: bool = False
    slider: bool = False


Option = SamplingOption
SAMPLING_OPTIONS = (
    Option("temperature", "Temperature", "0 is always the likeliest token", 0, 2, 0.2, slider=True),
    Option("top_p", "Top-p", "the likeliest of together this", 0.01, 1, 0.9, 0.01, slider=True),
    Option("min_p", "Min-p", "at least this of the likeliest", 0, 1, 0, 0.01, slider=True),
    Option("top_k", "Top-k", "only so many; 0 is all", 0, 1_000_000, 0, 1, whole=True),
    Option("max_tokens", "Longest answer", "in tokens", 1, 1_000_000, 512, 1, whole=True),
    Option("seed", "Seed", "the same again", 0, 2**53 - 1, 0, 1, whole=True),
    Option("presence_penalty", "Presence penalty", "against what came before", -2, 2, 0),
    Option("frequency_penalty", "Frequency penalty", "for each time it came", -2, 2, 0),
    Option("repetition_penalty", "Repetition penalty", "1 is none", 0.1, 10, 1),
)


def checked_sampling(given: Mapping[str, Any]) -> dict[str, float]:
    """The fields that are set.

    Raises:
        GroundupError: one is unknown, no number, or out of its bounds.
    """
    options = {option.name: option for option in SAMPLING_OPTIONS}
    checked: dict[str, float] = {}
    for name, value in given.items():
        if name not in options:
            known = ", ".join(options)
            raise GroundupError(f"{name[:40]!r} is no sampling option: there are {known}")
        option = options[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise GroundupError(f"{option.label} is a number, got {value!r:.40}")
        if not option.low <= value <= option.high or (option.whole and value != int(value)):
            kind = "a whole number" if option.whole else "a number"
            raise GroundupError(
                f"{option.label} is {kind} from {option.low:g} to {option.high:,g}, got {value:g}"
            )
        checked[name] = int(value) if option.whole else value
    return checked
