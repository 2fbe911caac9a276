"""Stretching rotary frequencies so that a model reads further than it was first trained to."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["RotaryScaling", "scale_frequencies"]


@dataclass(frozen=True)
class RotaryScaling:
    """How frequencies are stretched.

    ``linear`` divides all by ``factor`` (Chen et al. 2023, "Position interpolation"). ``llama3``
    divides by ``factor`` those that turn fewer than ``low`` times within ``original_context``,
    keeps those that turn more than ``high`` times, and blends in between (Llama 3.1's published
    configuration). ``factors`` divides each by its own (GGUF's ``rope_freqs``).
    """

    kind: Literal["linear", "llama3", "factors"]
    factor: float = 1.0
    low: float = 1.0
    high: float = 4.0
    original_context: int = 8192
    factors: tuple[float, ...] = ()


def scale_frequencies(frequencies: Tensor, scaling: RotaryScaling) -> Tensor:
    """The stretched frequencies, of the same shape (D / 2,)."""
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    if scaling.kind == "factors":
        return frequencies / torch.tensor(scaling.factors, dtype=frequencies.dtype)
    turns = scaling.original_context * frequencies / (2 * math.pi)
    keep = ((turns - scaling.low) / (scaling.high - scaling.low)).clamp(0, 1)
    return keep * frequencies + (1 - keep) * frequencies / scaling.factor
