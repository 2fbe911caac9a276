"""The request and the answers of POST /v1/completions."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from groundup.serving.logprobs import CompletionLogprobs
from groundup.serving.sampling_fields import SamplingFields
from groundup.serving.usage import Usage

__all__ = ["Completion", "CompletionChoice", "CompletionRequest", "Id", "TextOrIds"]

Id = Annotated[int, Meta(ge=0, le=2**31 - 1)]
# A text, the ids of one, several texts, or the ids of several.
TextOrIds = (
    str | Annotated[list[str | Id | Annotated[list[Id], Meta(min_length=1)]], Meta(min_length=1)]
)


class CompletionRequest(SamplingFields, forbid_unknown_fields=True, kw_only=True):
    model: str
    prompt: TextOrIds
    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    best_of: Annotated[int, Meta(ge=1, le=1)] | None = None


class CompletionChoice(Struct):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: Literal["stop", "length"] | None


class Completion(Struct):
    id: str
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage | None
    object: Literal["text_completion"] = "text_completion"
