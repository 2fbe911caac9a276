"""POST /v1/completions: the continuation of texts as they are, whole or as a stream."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from time import time
from uuid import uuid4

import msgspec
from starlette.types import Scope

from groundup.engine.request import Request
from groundup.serving.answer_text import PlacedToken
from groundup.serving.answers import Answers
from groundup.serving.api_error import ApiError
from groundup.serving.completion_schema import Completion, CompletionChoice, CompletionRequest
from groundup.serving.events import DONE, error_event, event
from groundup.serving.logprobs import CompletionLogprobs, completion_logprobs
from groundup.serving.reply import EventStream
from groundup.serving.request_body import Decoder
from groundup.serving.sampling_fields import MAX_ANSWERS, n_params
from groundup.serving.service import Service
from groundup.serving.texts_or_ids import prompts_of
from groundup.serving.usage import Usage

__all__ = ["completions"]

decode = Decoder(CompletionRequest)
DEFAULT_MAX_TOKENS = 16  # OpenAI's


@dataclass
class Task:
    """What the handler found out: how its answers are to be shown."""

    answers: Answers
    shown_before: list[str]  # of each answer: its prompt, if it is echoed
    prompt_tokens: int
    head: Completion

    def usage(self) -> Usage:
        generated = self.answers.completion_tokens
        return Usage(self.prompt_tokens, generated, self.prompt_tokens + generated)


async def completions(service: Service, body: bytes, _scope: Scope) -> bytes | EventStream:
    """The handler of the route."""
    request = decode(body)
    adapter = service.adapter_of(request.model)
    if request.echo and request.logprobs is not None:
        raise ApiError(
            400,
            "the log-probabilities of a prompt are not known here: leave out echo or logprobs",
            param="echo",
        )
    tokenizer = service.engine.tokenizer
    params = n_params(request, tokenizer)
    # The whole prompt is the caller's own: unlike in a chat, control tokens in it are meant.
    prompts = await prompts_of(request.prompt, service.prompts, special=True, param="prompt")
    if len(prompts) * len(params) > MAX_ANSWERS:
        raise ApiError(
            400,
            f"{len(prompts)} prompts with {len(params)} answers each, expected at most "
            f"{MAX_ANSWERS} answers: send several requests",
            param="prompt",
        )
    max_tokens = DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens
    stop_ids = frozenset() if request.ignore_eos else tokenizer.eos_ids
    at_once = not request.stream and not request.stops
    requests = []
    for prompt in prompts:
        service.prompts.check_room(prompt, request.max_tokens, "prompt")
        requests += [
            Request(prompt, each, max_tokens, stop_ids, request.logprobs, None, adapter, at_once)
            for each in params
        ]
    task = Task(
        service.answers(requests, request.stops),
        [tokenizer.decode(each.prompt) if request.echo else "" for each in requests],
        sum(map(len, prompts)),
        Completion(f"cmpl-{uuid4().hex}", int(time()), request.model, [], None),
    )
    if request.stream:
        return EventStream(stream(service, task, request.include_usage), error_event)
    return await whole(service, task)


async def whole(service: Service, task: Task) -> bytes:
    """The completion, when all of it is there."""
    requests = task.answers.requests
    texts = [[shown] for shown in task.shown_before]
    tokens: list[list[PlacedToken]] = [[] for _ in requests]
    choices: dict[int, CompletionChoice] = {}
    async with aclosing(task.answers.pieces()) as pieces:
        async for i, piece in pieces:
            texts[i].append(piece.text)
            tokens[i] += piece.tokens
            if piece.finish_reason is not None:
                logprobs = None
                if requests[i].logprobs is not None:
                    logprobs = completion_logprobs(tokens[i], service.engine.tokenizer)
                text = "".join(texts[i])
                choices[i] = CompletionChoice(i, text, logprobs, piece.finish_reason)
    task.head.choices = [choices[i] for i in range(len(requests))]
    task.head.usage = task.usage()
    return msgspec.json.encode(task.head)


async def stream(service: Service, task: Task, include_usage: bool) -> AsyncGenerator[bytes]:
    """The completion in chunks; the first is made when the first token is there."""
    with_logprobs = task.answers.requests[0].logprobs is not None
    async with aclosing(task.answers.pieces()) as pieces:
        async for i, piece in pieces:
            text = task.shown_before[i] + piece.text
            task.shown_before[i] = ""
            if not text and not piece.tokens and piece.finish_reason is None:
                continue
            logprobs: CompletionLogprobs | None = None
            if with_logprobs:
                logprobs = completion_logprobs(piece.tokens, service.engine.tokenizer)
            task.head.choices = [CompletionChoice(i, text, logprobs, piece.finish_reason)]
            yield event(task.head)
    if include_usage:
        task.head.choices = []
        task.head.usage = task.usage()
        yield event(task.head)
    yield DONE
