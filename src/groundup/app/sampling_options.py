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


SAMPLING_OPTIONS = (
    SamplingOption("temperature", "Temperature", "0 is always the likeliest token; higher is more varied", 0, 2, 1, slider=True),
    SamplingOption("top_p", "Top-p", "only the likeliest tokens that together have this probability", 0.01, 1, 1, 0.01, slider=True),
    SamplingOption("min_p", "Min-p", "only tokens at least this likely, compared with the likeliest", 0, 1, 0, 0.01, slider=True),
    SamplingOption("top_k", "Top-k", "only so many; 0 is all", 0, 1_000_000, 0, 1, whole=True),
    SamplingOption("max_tokens", "Longest answer", "in tokens", 1, 1_000_000, 512, 1, whole=True),
    SamplingOption("seed", "Seed", "the same gives the same answer", 0, 2**53 - 1, 0, 1, whole=True),
    SamplingOption("presence_penalty", "Presence penalty", "against tokens that came before", -2, 2, 0),
    SamplingOption("frequency_penalty", "Frequency penalty", "for each time they came", -2, 2, 0),
    SamplingOption("repetition_penalty", "Repetition penalty", "1 is none", 0.1, 10, 1),
)  # fmt: skip


def checked_sampling(given: Mapping[str, Any]) -> dict[str, float]:
    """The fields that are set.

    Raises:
        GroundupError: one is unknown, no number, or out of its bounds.
    """
    options = {option.name: option for option in SAMPLING_OPTIONS}
    checked: dict[str, float] = {}
    for name, value in given.items():
        if name not in options:
            raise GroundupError(f"{name[:40]!r} is no sampling option: there are {', '.join(options)}")
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
