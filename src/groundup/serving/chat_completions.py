"""POST /v1/chat/completions: a conversation's next message, whole or as a stream."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import time
from uuid import uuid4

import msgspec
from starlette.types import Scope

from groundup.serving.answers import Answers
from groundup.serving.api_error import ApiError
from groundup.serving.chat_schema import (
    ChatCompletion,
    ChatFinishReason,
    ChatRequest,
    Choice,
    FunctionDelta,
    ResponseMessage,
    ToolCallDelta,
    ToolCallsDelta,
)
from groundup.serving.chat_task import chat_task
from groundup.serving.events import DONE, error_event
from groundup.serving.logprobs import ChatLogprobs, TokenLogprob, token_logprobs
from groundup.serving.messages import CalledFunction, ToolCall
from groundup.serving.reply import EventStream
from groundup.serving.request_body import Decoder
from groundup.serving.response_format import constraint_of
from groundup.serving.sampling_fields import n_params
from groundup.serving.service import Service
from groundup.serving.tool_calls import Call, CallParser, Event
from groundup.serving.tools import ChosenTool, ToolChoice
from groundup.serving.usage import Usage

__all__ = ["chat_completions"]

encode = msgspec.json.Encoder().encode
decode = Decoder(ChatRequest)


async def chat_completions(service: Service, body: bytes, _scope: Scope) -> bytes | EventStream:
    """The handler of the route."""
    request = decode(body)
    adapter = service.adapter_of(request.model)
    task = await chat_task(
        service,
        request.messages,
        n_params(request, service.engine.tokenizer),
        tools=[tool.function for tool in request.tools or ()],
        tool_choice=choice_of(request.tool_choice),
        parallel=request.parallel_tool_calls is not False,
        constraint=constraint_of(request.response_format),
        max_tokens=limit_of(request),
        logprobs=logprobs_of(request),
        ignore_eos=request.ignore_eos,
        whole=not request.stream and not request.stops,
        adapter=adapter,
    )
    answers = service.answers(task.requests, request.stops)
    parsers = [task.parser() for _ in task.requests]
    head = ChatCompletion(f"chatcmpl-{uuid4().hex}", int(time()), request.model, [], Usage(0, 0, 0))
    if request.stream:
        return EventStream(
            stream(service, answers, parsers, head, request.include_usage), error_event
        )
    return await whole(service, answers, parsers, head)


def limit_of(request: ChatRequest) -> int | None:
    older, newer = request.max_tokens, request.max_completion_tokens
    if older is not None and newer is not None and older != newer:
        raise ApiError(
            400,
            f"max_tokens is {older} and max_completion_tokens {newer}: give one of the two",
            param="max_tokens",
        )
    return newer if older is None else older


def logprobs_of(request: ChatRequest) -> int | None:
    if request.logprobs:
        return request.top_logprobs or 0
    if request.top_logprobs is not None:
        raise ApiError(
            400, "top_logprobs without logprobs: set logprobs to true", param="top_logprobs"
        )
    return None


def choice_of(given: str | ChosenTool | None) -> ToolChoice | None:
    if isinstance(given, ChosenTool):
        return ToolChoice("required", given.function.name)
    return None if given is None else ToolChoice(given)  # type: ignore[arg-type]


def reason_of(reason: str, parser: CallParser) -> ChatFinishReason:
    """An answer that ends by itself after calls waits for their results."""
    return "tool_calls" if reason == "stop" and parser.calls else reason  # type: ignore[return-value]


def usage_of(answers: Answers) -> Usage:
    prompt = len(answers.requests[0].prompt)
    return Usage(prompt, answers.completion_tokens, prompt + answers.completion_tokens)


async def whole(
    service: Service, answers: Answers, parsers: list[CallParser], completion: ChatCompletion
) -> bytes:
    """The completion, when all of it is there."""
    tokenizer = service.engine.tokenizer
    texts: list[list[str]] = [[] for _ in parsers]
    calls: list[list[ToolCall]] = [[] for _ in parsers]
    logprobs: list[list[TokenLogprob]] = [[] for _ in parsers]
    reasons: dict[int, ChatFinishReason] = {}

    def take(i: int, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, str):
                texts[i].append(event)
            elif isinstance(event, Call):
                calls[i].append(ToolCall(id=event.id, function=CalledFunction(event.name, "")))
            else:
                calls[i][event.index].function.arguments += event.json

    async with aclosing(answers.pieces()) as pieces:
        async for i, piece in pieces:
            take(i, parsers[i].push(piece.text))
            if piece.tokens:
                logprobs[i] += token_logprobs(piece.tokens, tokenizer)
            if piece.finish_reason is not None or parsers[i].done:
                answers.finish(i)
                take(i, parsers[i].finish())
                reasons[i] = reason_of(piece.finish_reason or "stop", parsers[i])

    with_logprobs = answers.requests[0].logprobs is not None
    completion.choices = [
        Choice(
            i,
            ResponseMessage("".join(texts[i]) or None, calls[i])
            if calls[i]
            else ResponseMessage("".join(texts[i])),
            reasons[i],
            ChatLogprobs(logprobs[i]) if with_logprobs else None,
        )
        for i in range(len(parsers))
    ]
    completion.usage = usage_of(answers)
    return encode(completion)


async def stream(
    service: Service,
    answers: Answers,
    parsers: list[CallParser],
    completion: ChatCompletion,
    include_usage: bool,
) -> AsyncGenerator[bytes]:
    """The completion in chunks; the first is made when the first token is there."""
    tokenizer = service.engine.tokenizer
    chunk = chunk_writer(completion, include_usage)
    begun = [False] * len(parsers)
    with_logprobs = answers.requests[0].logprobs is not None

    async with aclosing(answers.pieces()) as pieces:
        async for i, piece in pieces:
            written: list[bytes] = []
            if not begun[i]:
                begun[i] = True
                written.append(chunk(i, b'{"role":"assistant","content":""}'))
            parser = parsers[i]
            events = parser.push(piece.text)
            ended = piece.finish_reason is not None or parser.done
            if ended:
                answers.finish(i)
                events += parser.finish()
            logprobs = b"null"
            if with_logprobs and piece.tokens:
                logprobs = encode(ChatLogprobs(token_logprobs(piece.tokens, tokenizer)))
                if not events:
                    written.append(chunk(i, b"{}", logprobs))
            for event in events:
                written.append(chunk(i, delta_of(event), logprobs))
                logprobs = b"null"
            if ended:
                reason = encode(reason_of(piece.finish_reason or "stop", parser))
                written.append(chunk(i, b"{}", b"null", reason))
            if written:
                yield b"".join(written)
    if include_usage:
        head = chunk_head(completion)
        yield b'%b[],"usage":%b}\n\n%b' % (head, encode(usage_of(answers)), DONE)
    else:
        yield DONE


def chunk_head(completion: ChatCompletion) -> bytes:
    return b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":%b,"choices":' % (
        encode(completion.id),
        completion.created,
        encode(completion.model),
    )


def chunk_writer(completion: ChatCompletion, include_usage: bool) -> Callable[..., bytes]:
    """A function that writes chunks around what all of them have in common."""
    head = chunk_head(completion) + b'[{"index":'
    tail = b'}],"usage":null}\n\n' if include_usage else b"}]}\n\n"

    def chunk(i: int, delta: bytes, logprobs: bytes = b"null", reason: bytes = b"null") -> bytes:
        return b'%b%d,"delta":%b,"logprobs":%b,"finish_reason":%b%b' % (
            head, i, delta, logprobs, reason, tail,
        )  # fmt: skip

    return chunk


def delta_of(event: Event) -> bytes:
    if isinstance(event, str):
        return b'{"content":%b}' % encode(event)
    if isinstance(event, Call):
        call = ToolCallDelta(event.index, FunctionDelta("", event.name), event.id, "function")
    else:
        call = ToolCallDelta(event.index, FunctionDelta(event.json))
    return encode(ToolCallsDelta([call]))
