"""The request and the answers of POST /v1/chat/completions."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from groundup.serving.logprobs import ChatLogprobs
from groundup.serving.messages import Message, ToolCall
from groundup.serving.response_format import ResponseFormat
from groundup.serving.sampling_fields import SamplingFields
from groundup.serving.tools import ChosenTool, Tool, ToolChoiceMode
from groundup.serving.usage import Usage

__all__ = [
    "ChatCompletion",
    "ChatFinishReason",
    "ChatRequest",
    "Choice",
    "FunctionDelta",
    "ResponseMessage",
    "ToolCallDelta",
    "ToolCallsDelta",
]

Tokens = Annotated[int, Meta(ge=1, le=2**31 - 1)]
ChatFinishReason = Literal["stop", "length", "tool_calls"]


class ChatRequest(SamplingFields, forbid_unknown_fields=True, kw_only=True):
    model: str
    messages: Annotated[list[Message], Meta(min_length=1)]
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    tools: Annotated[list[Tool], Meta(max_length=128)] | None = None
    tool_choice: ToolChoiceMode | ChosenTool | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class ResponseMessage(Struct):
    content: str | None
    tool_calls: list[ToolCall] | UnsetType = UNSET
    role: Literal["assistant"] = "assistant"
    refusal: None = None


class Choice(Struct):
    index: int
    message: ResponseMessage
    finish_reason: ChatFinishReason
    logprobs: ChatLogprobs | None


class ChatCompletion(Struct):
    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    object: Literal["chat.completion"] = "chat.completion"


class FunctionDelta(Struct):
    arguments: str
    name: str | UnsetType = UNSET


class ToolCallDelta(Struct):
    index: int
    function: FunctionDelta
    id: str | UnsetType = UNSET
    type: Literal["function"] | UnsetType = UNSET


class ToolCallsDelta(Struct):
    tool_calls: list[ToolCallDelta]
