"""From the messages and tools of a request to the prompt's token ids.

A model whose template takes ``tools`` gets them as it was trained to. For others the tools are
described in the system message, and calls and results are written into the text, in the convention
of Hermes (Nous Research 2024, "Hermes function calling").
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from groundup.errors import GroundupError
from groundup.serving.api_error import ApiError
from groundup.serving.messages import (
    AssistantMessage,
    DeveloperMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    text_of,
)
from groundup.serving.tools import ToolFunction
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["ChatPrompts"]

INSTRUCTIONS = """\
You may call functions to answer. They are described by JSON schemas between <tools> and </tools>:
<tools>
{tools}
</tools>
To call one, write a JSON object with its name and its arguments between these tags:
<tool_call>
{{"name": <function name>, "arguments": <object of arguments>}}
</tool_call>"""

# Longer texts are encoded in a thread, so that other requests go on meanwhile.
LONG = 20_000


class ChatPrompts:
    """One model's way of writing conversations and texts as token ids."""

    def __init__(self, tokenizer: Tokenizer, context: int) -> None:
        self._tokenizer = tokenizer
        self._context = context
        self._longest_token = max(len(tokenizer.bytes_of(i)) for i in range(tokenizer.size))
        template = tokenizer.chat_template.source if tokenizer.chat_template else ""
        self._takes_tools = re.search(r"\btools\b", template) is not None

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolFunction],
        add_generation_prompt: bool = True,
        param: str = "messages",
    ) -> tuple[int, ...]:
        """The ids of a conversation, of the field ``param``.

        Raises: ApiError (400) if it does not fit the context.
        """
        variables: dict[str, Any] = {}
        if self._takes_tools:
            written = [self._for_template(message) for message in messages]
            if tools:
                variables["tools"] = [
                    {"type": "function", "function": description(tool)} for tool in tools
                ]
        else:
            written = in_hermes_text(messages, tools)
        size = sum(len(message["content"]) for message in written)
        self._refuse_certain_overflow(size, param)

        def encode() -> list[int]:
            try:
                return self._tokenizer.encode_chat(written, add_generation_prompt, **variables)
            except GroundupError as error:  # the template refuses the messages, or there is none
                raise ApiError(400, str(error), param=param) from None

        ids = await asyncio.to_thread(encode) if size > LONG else encode()
        return self.fitting(ids, param)

    async def text(self, text: str, *, special: bool, param: str) -> tuple[int, ...]:
        """The ids of a plain text, of the field ``param``; ``special`` as of `Tokenizer.encode`.

        Raises: ApiError (400) if it does not fit the context.
        """
        self._refuse_certain_overflow(len(text), param)

        def encode() -> list[int]:
            return self._tokenizer.encode(text, special=special)

        ids = await asyncio.to_thread(encode) if len(text) > LONG else encode()
        return self.fitting(ids, param)

    def fitting(self, ids: Sequence[int], param: str) -> tuple[int, ...]:
        """The ids themselves. Raises: ApiError (400) if there are none, too many, or unknown."""
        if not ids:
            raise ApiError(400, f"{param} is empty: expected at least one token", param=param)
        if len(ids) >= self._context:
            raise context_overflow(f"{len(ids):,}", self._context, param)
        if min(ids) < 0 or max(ids) >= self._tokenizer.size:
            raise ApiError(
                400,
                f"{param} holds ids that are no tokens, expected 0 to "
                f"{self._tokenizer.size - 1}: take them from /tokenize",
                param=param,
            )
        return tuple(ids)

    def check_room(self, prompt: Sequence[int], max_tokens: int | None, param: str) -> None:
        """Raises: ApiError (400) if the prompt leaves no room for so long an answer."""
        if max_tokens is not None and len(prompt) + max_tokens > self._context:
            tokens = f"{len(prompt):,} of the prompt and {max_tokens:,} of the answer, together "
            raise context_overflow(f"{tokens}{len(prompt) + max_tokens:,}", self._context, param)

    def _refuse_certain_overflow(self, characters: int, param: str) -> None:
        """Spares encoding what cannot fit, whatever its tokens are."""
        least = characters // self._longest_token
        if least >= self._context:
            raise context_overflow(f"at least {least:,}", self._context, param)

    def _for_template(self, message: Message) -> dict[str, Any]:
        written: dict[str, Any] = {"role": role_of(message), "content": text_of(message.content)}
        if isinstance(message, AssistantMessage) and message.tool_calls:
            written["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": arguments_of(call)},
                }
                for call in message.tool_calls
            ]
        elif isinstance(message, AssistantMessage) and message.refusal:
            written["content"] += message.refusal
        elif isinstance(message, ToolMessage):
            written |= {"tool_call_id": message.tool_call_id, "name": message.name or ""}
        return written


def context_overflow(tokens: str, context: int, param: str) -> ApiError:
    """The error for a prompt, or a prompt and its answer, of so many tokens."""
    return ApiError(
        400,
        f"{tokens} tokens were asked for, and the model's context holds {context:,} with at least "
        "one of the answer: shorten the prompt, or ask for a shorter answer",
        param=param,
        code="context_length_exceeded",
    )


def role_of(message: Message) -> str:
    """The role's name in templates, which do not know developers."""
    if isinstance(message, DeveloperMessage):
        return "system"
    return str(message.__struct_config__.tag)


def description(tool: ToolFunction) -> dict[str, Any]:
    """A tool as models were trained to see it."""
    described: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        described["description"] = tool.description
    described["parameters"] = tool.parameters or {"type": "object", "properties": {}}
    return described


def arguments_of(call: ToolCall) -> Any:
    """A call's arguments as a value; as text where they are not JSON."""
    try:
        return msgspec.json.decode(call.function.arguments)
    except (msgspec.DecodeError, RecursionError):
        return call.function.arguments


def in_hermes_text(
    messages: Sequence[Message], tools: Sequence[ToolFunction]
) -> list[dict[str, str]]:
    """Messages with a role and a text alone, for templates that know no tools.

    Results of tools are data: written as JSON, in which no closing tag can stand.
    """
    names: dict[str, str] = {}
    written: list[dict[str, str]] = []
    for message in messages:
        text = text_of(message.content)
        if isinstance(message, AssistantMessage):
            text += message.refusal or ""
            for call in message.tool_calls or ():
                names[call.id] = call.function.name
                said = {"name": call.function.name, "arguments": arguments_of(call)}
                text += f"\n<tool_call>\n{json_text(said)}\n</tool_call>"
            text = text.removeprefix("\n")
        if isinstance(message, ToolMessage):
            result: dict[str, Any] = {"content": text}
            if name := message.name or names.get(message.tool_call_id):
                result = {"name": name, "content": text}
            text = f"<tool_response>\n{json_text(result)}\n</tool_response>"
            if written and written[-1]["role"] == "tool":
                written[-1]["content"] += f"\n{text}"
                continue
        written.append({"role": role_of(message), "content": text})
    for each in written:
        if each["role"] == "tool":
            each["role"] = "user"
    if tools:
        listed = "\n".join(
            json_text({"type": "function", "function": description(tool)}) for tool in tools
        )
        text = INSTRUCTIONS.format(tools=listed)
        if written and isinstance(messages[0], SystemMessage | DeveloperMessage):
            written[0]["content"] += f"\n\n{text}"
        else:
            written.insert(0, {"role": "system", "content": text})
    return written


def json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode().replace("</", "<\\/")
