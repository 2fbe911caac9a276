"""What an engine is asked, and what it answers: plain data, so that both may cross processes."""

from dataclasses import dataclass, field
from typing import Literal, TypedDict

from groundup.engine.sampling_params import SamplingParams

__all__ = ["Constraint", "EngineStats", "FinishReason", "Request", "Token"]

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Constraint:
    """A form that the answer's text must have."""

    kind: Literal["json_object", "json_schema", "regex", "choice"]
    # The JSON text of the schema, the pattern, or the JSON text of the list of choices.
    definition: str = ""


@dataclass(frozen=True)
class Request:
    """A prompt to continue. ``n`` answers are n requests, which share the prompt's blocks."""

    prompt: tuple[int, ...]
    params: SamplingParams = field(default_factory=SamplingParams)
    max_tokens: int | None = None  # None: as many as the context has room for
    stop_ids: frozenset[int] = frozenset()  # end the answer, and are not part of it
    logprobs: int | None = None  # how many of the most likely tokens to report beside the chosen
    constraint: Constraint | None = None
    adapter: str | None = None  # the name of one that the engine has; None is the model as it is
    whole: bool = False  # nobody waits for single tokens: all may come together, at the end


@dataclass(slots=True)  # not frozen: that takes five times as long to make, for every token
class Token:
    """One token of an answer, or its end.

    The last of an answer bears the reason. Where that is a stop id, the token is the stop id itself
    and its text is not part of the answer.
    """

    id: int
    logprob: float | None = None  # natural logarithm, of the model's own distribution
    top_logprobs: tuple[tuple[int, float], ...] = ()  # (id, logprob), the most likely first
    finish_reason: FinishReason | None = None
    age: float = 0.0  # seconds for which it was kept back, as `Request.whole` allows


class EngineStats(TypedDict, total=False):
    """What an engine knows of itself. What is left out is not in the metrics."""

    running: int  # requests whose tokens are being made
    waiting: int  # requests in the engine's queue
    kv_cache_usage: float  # share of the blocks in use, 0 to 1
    prefix_cache_queries: int  # prompt tokens looked up in the prefix cache, since the start
    prefix_cache_hits: int  # those found
    preemptions: int  # requests put back into the queue, since the start
    drafts: int  # times that tokens were drafted for a request, since the start
    drafted_tokens: int  # those tokens
    accepted_tokens: int  # and how many of them became part of an answer
