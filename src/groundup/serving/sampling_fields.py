"""The fields that say how tokens are chosen, which every kind of request shares."""

from dataclasses import replace
from typing import Annotated

from msgspec import Meta, Struct

from groundup.engine.sampling_params import SamplingParams
from groundup.serving.api_error import ApiError
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["Penalty", "SamplingFields", "StopString", "StreamOptions", "n_params"]

Penalty = Annotated[float, Meta(ge=-2, le=2)]
StopString = Annotated[str, Meta(min_length=1, max_length=1000)]
MAX_ANSWERS = 128
# Below this, scores divided by the temperature leave float32's range; the choice is greedy anyhow.
COLDEST = 1e-4


class StreamOptions(Struct, forbid_unknown_fields=True):
    include_usage: bool = False


class SamplingFields(Struct, forbid_unknown_fields=True, kw_only=True):
    """OpenAI's, and top_k, min_p, repetition_penalty and ignore_eos."""

    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=-1, le=2**31 - 1)] | None = None  # 0 and -1 keep all
    min_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.1, le=10)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    seed: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: StopString | Annotated[list[StopString], Meta(max_length=4)] | None = None
    ignore_eos: bool = False
    n: Annotated[int, Meta(ge=1, le=MAX_ANSWERS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None  # the caller's own user; it changes no answer

    @property
    def stops(self) -> list[str]:
        """The stop strings as a list."""
        if self.stop is None:
            return []
        return [self.stop] if isinstance(self.stop, str) else self.stop

    @property
    def include_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


def n_params(fields: SamplingFields, tokenizer: Tokenizer) -> list[SamplingParams]:
    """The parameters of each of the n answers: the same, but for seeds that count up.

    Raises:
        ApiError: a bias of something that is no token, or stream_options without a stream.
    """
    if fields.stream_options is not None and not fields.stream:
        raise ApiError(
            400, "stream_options without stream: set stream to true", param="stream_options"
        )
    temperature = 1.0 if fields.temperature is None else fields.temperature
    params = SamplingParams(
        temperature=temperature if temperature >= COLDEST else 0.0,
        top_k=max(fields.top_k or 0, 0),
        top_p=1.0 if fields.top_p is None else fields.top_p,
        min_p=fields.min_p or 0.0,
        repetition_penalty=fields.repetition_penalty or 1.0,
        presence_penalty=fields.presence_penalty or 0.0,
        frequency_penalty=fields.frequency_penalty or 0.0,
        logit_bias=_biases(fields.logit_bias, tokenizer) if fields.logit_bias else (),
    )
    if fields.seed is None:
        return [params] * (fields.n or 1)
    # Seeds below zero are those that two's complement makes of them.
    return [replace(params, seed=(fields.seed + i) % 2**64) for i in range(fields.n or 1)]


def _biases(given: dict[str, float], tokenizer: Tokenizer) -> tuple[tuple[int, float], ...]:
    biases = []
    for name, bias in given.items():
        known = name.isascii() and name.isdigit() and len(name) < 10
        if not known or int(name) >= tokenizer.size:
            raise ApiError(
                400,
                f"logit_bias names the token {name[:20]!r}, expected ids from 0 to "
                f"{tokenizer.size - 1}: take them from /tokenize",
                param="logit_bias",
            )
        biases.append((int(name), bias))
    return tuple(biases)
