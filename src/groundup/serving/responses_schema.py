"""The request and the answers of POST /v1/responses."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from groundup.serving.messages import RefusalPart
from groundup.serving.response_format import JsonObjectFormat, TextFormat
from groundup.serving.tools import ToolChoiceMode

__all__ = [
    "ChosenFunction",
    "FunctionCallItem",
    "FunctionTool",
    "IncompleteDetails",
    "InputItem",
    "InputText",
    "JsonSchemaTextFormat",
    "OutputMessage",
    "OutputText",
    "Response",
    "ResponseError",
    "ResponsesRequest",
    "ResponsesUsage",
    "TextConfig",
]

Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
Nothing = Annotated[list[str], Meta(max_length=0)]


class InputText(Struct, tag_field="type", tag="input_text", forbid_unknown_fields=True):
    text: str


class OutputText(Struct, tag_field="type", tag="output_text", forbid_unknown_fields=True):
    text: str
    annotations: Nothing = []
    logprobs: Nothing | None = []


class InputItem(Struct, forbid_unknown_fields=True, kw_only=True):
    """A message, a call or a call's result. Which fields it needs follows from its type."""

    type: Literal["message", "function_call", "function_call_output"] = "message"
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None
    # of a message
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: str | list[InputText | OutputText | RefusalPart] | None = None
    # of a call
    call_id: str | None = None
    name: Name | None = None
    arguments: str | None = None
    # of a result, beside its call_id
    output: str | list[InputText] | None = None


class FunctionTool(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    name: Name
    parameters: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class ChosenFunction(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    name: Name


class JsonSchemaTextFormat(Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    name: Name
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class TextConfig(Struct, forbid_unknown_fields=True):
    format: TextFormat | JsonObjectFormat | JsonSchemaTextFormat | None = None


class ResponsesRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    model: str
    input: str | Annotated[list[InputItem], Meta(min_length=1)]
    instructions: str | None = None
    max_output_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    tools: Annotated[list[FunctionTool], Meta(max_length=128)] | None = None
    tool_choice: ToolChoiceMode | ChosenFunction | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    stream: bool | None = None
    metadata: Annotated[dict[str, str], Meta(max_length=16)] | None = None
    user: str | None = None
    # Known only to be refused with a reason.
    store: bool | None = None
    previous_response_id: str | None = None


class OutputMessage(Struct, tag_field="type", tag="message"):
    id: str
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]
    role: Literal["assistant"] = "assistant"


class FunctionCallItem(Struct, tag_field="type", tag="function_call"):
    id: str
    call_id: str
    name: str
    arguments: str
    status: Literal["in_progress", "completed", "incomplete"]


class InputDetails(Struct):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(Struct):
    reasoning_tokens: int = 0


class ResponsesUsage(Struct):
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: InputDetails
    output_tokens_details: OutputDetails


class IncompleteDetails(Struct):
    reason: Literal["max_output_tokens"]


class ResponseError(Struct):
    code: str
    message: str


class Response(Struct, kw_only=True):
    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    model: str
    output: list[OutputMessage | FunctionCallItem]
    parallel_tool_calls: bool
    previous_response_id: None = None
    store: bool = False
    temperature: float
    text: TextConfig
    tool_choice: ToolChoiceMode | ChosenFunction
    tools: list[FunctionTool]
    top_p: float
    truncation: Literal["disabled"] = "disabled"
    usage: ResponsesUsage | None = None
    user: str | None
