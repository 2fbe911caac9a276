"""One request's way of choosing tokens: its parameters, its seed, its history."""

from dataclasses import dataclass
from math import inf, ulp

import torch
from torch import Tensor

from groundup.engine.penalties import presence_frequency_penalty
from groundup.engine.sampling import draw, min_p, repetition_penalty, top_k, top_p

__all__ = ["Sampler", "SamplingParams"]

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


class Sampler:
    """Chooses one request's tokens. Each request has its own random numbers."""

    def __init__(self, params: SamplingParams) -> None:
        self.params = params
        self.generator = torch.Generator()
        if params.seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(params.seed)
        self._prompt_tokens: int | None = None
        self._biased = torch.tensor([token for token, _ in params.logit_bias], dtype=torch.int64)
        self._bias = torch.tensor([bias for _, bias in params.logit_bias], dtype=torch.float32)

    def __call__(self, logits: Tensor, previous: Tensor) -> int:
        """The next token id, from scores (V,) and the ids before it (N,): see `scores`."""
        scores = self.scores(logits, previous)
        return draw(scores, self.generator) if self.params.temperature else int(scores.argmax())

    def scores(self, logits: Tensor, previous: Tensor) -> Tensor:
        """What the next token is drawn from, by its softmax, or greedily is the highest of; (V,).

        `penalised` first, then temperature, then top-k, top-p and min-p, each on what the one
        before it kept.
        """
        params = self.params
        logits = self.penalised(logits, previous)
        if params.temperature == 0:
            return logits
        logits = logits.float() / params.temperature
        if params.top_k:
            logits = top_k(logits, params.top_k)
        if params.top_p < 1:
            logits = top_p(logits, params.top_p)
        if params.min_p:
            logits = min_p(logits, params.min_p)
        return logits

    def penalised(self, logits: Tensor, previous: Tensor) -> Tensor:
        """The scores after penalties and bias; (V,).

        Where nothing is penalised (`SamplingParams.penalises`), ``previous`` is not looked at.
        Else it holds the prompt and the answer so far. The repetition penalty counts both. The
        presence and frequency penalties count the answer alone: what is ``previous`` at the first
        call is the prompt.
        """
        params = self.params
        if self._prompt_tokens is None:
            self._prompt_tokens = len(previous)
        if params.repetition_penalty != 1:
            logits = repetition_penalty(logits, previous, params.repetition_penalty)
        if params.presence_penalty or params.frequency_penalty:
            generated = previous[self._prompt_tokens :]
            logits = presence_frequency_penalty(
                logits, generated, params.presence_penalty, params.frequency_penalty
            )
        if params.logit_bias:
            bias = self._bias.to(logits.device, logits.dtype)
            logits = logits.index_add(0, self._biased.to(logits.device), bias)
        return logits
