"""The messages of a chat, as OpenAI writes them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

__all__ = [
    "AssistantMessage",
    "CalledFunction",
    "DeveloperMessage",
    "Message",
    "RefusalPart",
    "SystemMessage",
    "TextPart",
    "ToolCall",
    "ToolMessage",
    "UserMessage",
    "text_of",
]


class TextPart(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str


class RefusalPart(Struct, tag_field="type", tag="refusal", forbid_unknown_fields=True):
    refusal: str


Content = str | list[TextPart]
Nothing = Annotated[list[str], Meta(max_length=0)]


class CalledFunction(Struct, forbid_unknown_fields=True):
    name: str
    arguments: str  # JSON, as the model wrote it


class ToolCall(Struct, forbid_unknown_fields=True, kw_only=True):
    id: str
    function: CalledFunction
    type: Literal["function"] = "function"


class SystemMessage(Struct, tag_field="role", tag="system", forbid_unknown_fields=True):
    content: Content


class DeveloperMessage(Struct, tag_field="role", tag="developer", forbid_unknown_fields=True):
    content: Content


class UserMessage(Struct, tag_field="role", tag="user", forbid_unknown_fields=True):
    content: Content


class AssistantMessage(Struct, tag_field="role", tag="assistant", forbid_unknown_fields=True):
    """An answer, which may be one that this server gave: clients send it back as they got it."""

    content: str | list[TextPart | RefusalPart] | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None
    # Of what this server never answers, only the emptiness is known.
    annotations: Nothing | None = None
    audio: None = None
    function_call: None = None


class ToolMessage(Struct, tag_field="role", tag="tool", forbid_unknown_fields=True):
    content: Content
    tool_call_id: str
    name: str | None = None


Message = SystemMessage | DeveloperMessage | UserMessage | AssistantMessage | ToolMessage


def text_of(content: str | Sequence[TextPart | RefusalPart] | None) -> str:
    """The text of a message, its parts one after the other."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    return "".join(part.text if isinstance(part, TextPart) else part.refusal for part in content)
