"""One request's way of choosing tokens: its seed, its history."""

import torch
from torch import Tensor

from groundup.engine.penalties import presence_frequency_penalty
from groundup.engine.sampling import draw, min_p, repetition_penalty, top_k, top_p
from groundup.engine.sampling_params import SamplingParams

__all__ = ["Sampler"]


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
