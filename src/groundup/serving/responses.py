"""POST /v1/responses: OpenAI's newer interface to the same conversations."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from time import time
from typing import Any
from uuid import uuid4

import msgspec
from starlette.types import Scope

from groundup.engine.request import Constraint
from groundup.engine.sampling_params import SamplingParams
from groundup.serving.answers import Answers
from groundup.serving.api_error import ApiError
from groundup.serving.chat_task import chat_task
from groundup.serving.messages import (
    AssistantMessage,
    CalledFunction,
    DeveloperMessage,
    Message,
    RefusalPart,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from groundup.serving.reply import EventStream
from groundup.serving.request_body import Decoder
from groundup.serving.response_format import JsonObjectFormat, TextFormat
from groundup.serving.response_output import ResponseOutput
from groundup.serving.responses_schema import (
    ChosenFunction,
    IncompleteDetails,
    InputDetails,
    InputItem,
    InputText,
    JsonSchemaTextFormat,
    OutputDetails,
    OutputText,
    Response,
    ResponsesRequest,
    ResponsesUsage,
    TextConfig,
)
from groundup.serving.sampling_fields import COLDEST
from groundup.serving.service import Service
from groundup.serving.tool_calls import CallParser
from groundup.serving.tools import ToolChoice, ToolFunction

__all__ = ["responses"]

decode = Decoder(ResponsesRequest)


async def responses(service: Service, body: bytes, _scope: Scope) -> bytes | EventStream:
    """The handler of the route."""
    request = decode(body)
    adapter = service.adapter_of(request.model)
    refuse_storage(request)
    temperature = 1.0 if request.temperature is None else request.temperature
    top_p = 1.0 if request.top_p is None else request.top_p
    tools = request.tools or []
    choice = request.tool_choice
    text = request.text or TextConfig(TextFormat())
    task = await chat_task(
        service,
        messages_of(request),
        [SamplingParams(temperature if temperature >= COLDEST else 0.0, top_p=top_p)],
        tools=[ToolFunction(t.name, t.description, t.parameters, t.strict) for t in tools],
        tool_choice=None
        if choice is None
        else ToolChoice("required", choice.name)
        if isinstance(choice, ChosenFunction)
        else ToolChoice(choice),
        parallel=request.parallel_tool_calls is not False,
        constraint=constraint_of(text),
        max_tokens=request.max_output_tokens,
        logprobs=None,
        whole=not request.stream,
        adapter=adapter,
        param="input",
    )
    response = Response(
        id=f"resp_{uuid4().hex}",
        created_at=int(time()),
        status="in_progress",
        instructions=request.instructions,
        max_output_tokens=request.max_output_tokens,
        metadata=request.metadata or {},
        model=request.model,
        output=[],
        parallel_tool_calls=request.parallel_tool_calls is not False,
        temperature=temperature,
        text=text,
        tool_choice=choice or ("auto" if tools else "none"),
        tools=tools,
        top_p=top_p,
        user=request.user,
    )
    answers = service.answers(task.requests, ())
    writing = Writing(response, answers, task.parser())
    if request.stream:
        return EventStream(writing.stream(), writing.error)
    async with aclosing(writing.stream()) as events:
        async for _ in events:
            pass
    return msgspec.json.encode(response)


class Writing:
    """A response that is being written, and the events that tell of it."""

    def __init__(self, response: Response, answers: Answers, parser: CallParser) -> None:
        self._response = response
        self._answers = answers
        self._parser = parser
        self._output = ResponseOutput()
        self._number = 0

    async def stream(self) -> AsyncGenerator[bytes]:
        """The events, in OpenAI's order; the first come when the first token is there."""
        response, output, parser = self._response, self._output, self._parser
        async with aclosing(self._answers.pieces()) as pieces:
            async for i, piece in pieces:
                written = []
                if not self._number:
                    for name in ("response.created", "response.in_progress"):
                        written.append(self._event(name, {"response": response}))
                events = parser.push(piece.text)
                ended = piece.finish_reason is not None or parser.done
                if ended:
                    self._answers.finish(i)
                    events += parser.finish()
                written += self._events(output.take(events))
                if ended:
                    written += self._finish(complete=piece.finish_reason != "length")
                if written:
                    yield b"".join(written)

    def error(self, error: ApiError) -> bytes:
        """The event of an error in the middle of the stream."""
        fields = {"code": error.code or error.type, "message": error.message, "param": error.param}
        return self._event("error", fields)

    def _finish(self, *, complete: bool) -> list[bytes]:
        response = self._response
        status = "completed" if complete else "incomplete"
        written = self._events(self._output.finish("completed" if complete else "incomplete"))
        prompt = len(self._answers.requests[0].prompt)
        generated = self._answers.completion_tokens
        response.status = "completed" if complete else "incomplete"
        response.incomplete_details = None if complete else IncompleteDetails("max_output_tokens")
        response.output = self._output.items
        response.usage = ResponsesUsage(
            prompt, generated, prompt + generated, InputDetails(), OutputDetails()
        )
        written.append(self._event(f"response.{status}", {"response": response}))
        return written

    def _events(self, steps: Iterable[tuple[str, dict[str, Any]]]) -> list[bytes]:
        # Encoded one by one, while each item is as its step left it.
        return [self._event(name, fields) for name, fields in steps]

    def _event(self, name: str, fields: dict[str, Any]) -> bytes:
        data = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(data))


def refuse_storage(request: ResponsesRequest) -> None:
    if request.previous_response_id is not None:
        raise ApiError(
            400,
            "responses are not stored here, so there is no previous one: send the whole "
            "conversation as input",
            param="previous_response_id",
            code="unsupported_parameter",
        )
    if request.store:
        raise ApiError(
            400,
            "responses are not stored here: set store to false, or leave it out",
            param="store",
            code="unsupported_parameter",
        )


def constraint_of(text: TextConfig) -> Constraint | None:
    if isinstance(text.format, JsonSchemaTextFormat):
        return Constraint("json_schema", msgspec.json.encode(text.format.schema).decode())
    return Constraint("json_object") if isinstance(text.format, JsonObjectFormat) else None


def messages_of(request: ResponsesRequest) -> list[Message]:
    """The conversation as messages. Raises: ApiError (400) for an item that lacks a field."""
    messages: list[Message] = []
    if request.instructions is not None:
        messages.append(SystemMessage(request.instructions))
    if isinstance(request.input, str):
        messages.append(UserMessage(request.input))
        return messages
    for i, item in enumerate(request.input):
        if item.type == "message":
            messages.append(message_of(item, i))
        elif item.type == "function_call":
            name, arguments = required(item, i, "name"), required(item, i, "arguments")
            call = ToolCall(
                id=required(item, i, "call_id"), function=CalledFunction(name, arguments)
            )
            last = messages[-1] if messages else None
            if isinstance(last, AssistantMessage):  # one turn's text and calls are one message
                last.tool_calls = [*(last.tool_calls or ()), call]
            else:
                messages.append(AssistantMessage(tool_calls=[call]))
        else:
            call_id, output = required(item, i, "call_id"), required(item, i, "output")
            text = output if isinstance(output, str) else "".join(part.text for part in output)
            messages.append(ToolMessage(text, call_id))
    return messages


def message_of(item: InputItem, i: int) -> Message:
    content = required(item, i, "content")
    text = content if isinstance(content, str) else "".join(map(text_of, content))
    role = required(item, i, "role")
    if role == "assistant":
        return AssistantMessage(text)
    if role == "system":
        return SystemMessage(text)
    return UserMessage(text) if role == "user" else DeveloperMessage(text)


def text_of(part: InputText | OutputText | RefusalPart) -> str:
    return part.refusal if isinstance(part, RefusalPart) else part.text


FIELDS = {
    "message": {"role", "content"},
    "function_call": {"call_id", "name", "arguments"},
    "function_call_output": {"call_id", "output"},
}


def required(item: InputItem, i: int, field: str) -> Any:
    value = getattr(item, field)
    if value is None:
        raise ApiError(
            400,
            f"input[{i}] is a {item.type} without {field}: give it",
            param=f"input[{i}].{field}",
        )
    for other in set.union(*FIELDS.values()) - FIELDS[item.type]:
        if getattr(item, other) is not None:
            raise ApiError(
                400,
                f"input[{i}] is a {item.type} with {other}: leave it out",
                param=f"input[{i}].{other}",
            )
    return value
