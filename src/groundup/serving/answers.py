"""Runs the requests of one HTTP request on the engine, from the queue to the last token."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from time import perf_counter
from typing import Literal

from groundup.engine.request import Request, Token
from groundup.errors import GroundupError
from groundup.serving.admission import Admission
from groundup.serving.answer_text import AnswerText, Piece
from groundup.serving.api_error import ApiError
from groundup.serving.engine_interface import AsyncEngine, TokenStream
from groundup.serving.metrics import Metrics
from groundup.serving.traces import current_trace
from groundup.serving.usage import count_tokens

__all__ = ["Answers"]


class Answers:
    """The answers to one or more requests, side by side. Iterate over ``pieces`` once.

    However the iteration ends (answers complete, an error, the caller closing it or being
    cancelled), the engine's iterators are closed before it is left, and the places given back.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        admission: Admission,
        metrics: Metrics,
        requests: Sequence[Request],
        stops: Sequence[str] = (),
    ) -> None:
        """Arguments:
        engine, admission, metrics: of the server.
        requests: one for each answer.
        stops: strings that end an answer and are not part of it.
        """
        self.requests = requests
        self._arrival = perf_counter()
        self._engine = engine
        self._admission = admission
        self._metrics = metrics
        self._texts = [AnswerText(engine.tokenizer, request, stops) for request in requests]
        self._begin = 0.0  # when its place was there
        self._last_token = [0.0] * len(requests)
        self._first_token = [0.0] * len(requests)
        self._open = set(range(len(requests)))
        self._trace = current_trace.get()
        if self._trace is not None:
            self._trace.asked(requests)

    @property
    def completion_tokens(self) -> int:
        """Tokens generated so far, of all answers."""
        return sum(text.tokens for text in self._texts)

    async def pieces(self) -> AsyncGenerator[tuple[int, Piece]]:
        """Pairs of an answer's number and its next piece, until all answers have ended.

        Raises:
            ApiError: there is no place for the request, or the engine refuses it.
        """
        places = await self._admission.enter(len(self.requests))
        self._begin = perf_counter()
        waited = self._begin - self._arrival
        self._metrics.queue_time.observe(waited)
        if self._trace is not None:
            self._trace.admitted(waited)
        streams: list[TokenStream] = []
        try:
            streams += [self._engine.generate(request) for request in self.requests]
            if len(streams) == 1:
                async for tokens in streams[0]:
                    piece = self._received(0, tokens)
                    yield 0, piece
                    if not self._open:
                        break
                else:
                    raise RuntimeError("the engine's answer ended without a finish reason")
            else:
                # Its readers must have ended before their streams can be closed.
                async with aclosing(self._merged(streams)) as merged:
                    async for i, piece in merged:
                        yield i, piece
        except GroundupError as error:
            if self.completion_tokens:  # it was accepted: this is not the caller's mistake
                raise RuntimeError(f"the engine failed: {error}") from error
            param = "response_format" if self.requests[0].constraint else None
            raise ApiError(400, str(error), param=param) from None
        except (asyncio.CancelledError, GeneratorExit):
            self._metrics.request_success["abort"].inc(len(self._open))
            raise
        finally:
            try:
                for stream in streams:
                    await stream.aclose()
            finally:
                self._admission.leave(places)
                self._count()

    async def _merged(self, streams: Sequence[TokenStream]) -> AsyncGenerator[tuple[int, Piece]]:
        """The pieces of several streams, in the order in which they come."""
        arrived: asyncio.Queue[tuple[int, list[Token] | BaseException]] = asyncio.Queue()

        async def read(i: int) -> None:
            try:
                async for tokens in streams[i]:
                    arrived.put_nowait((i, tokens))
                error: Exception = RuntimeError("an answer ended without a finish reason")
            except Exception as raised:
                error = raised
            arrived.put_nowait((i, error))

        readers = [asyncio.create_task(read(i)) for i in range(len(streams))]
        try:
            while self._open:
                i, got = await arrived.get()
                if i not in self._open:
                    continue  # what came after its stop string
                if isinstance(got, BaseException):
                    raise got
                piece = self._received(i, got)
                yield i, piece
                if i not in self._open:
                    await _ended(readers[i])
                    await streams[i].aclose()
        finally:
            for reader in readers:
                await _ended(reader)

    def _received(self, i: int, tokens: list[Token]) -> Piece:
        """Count and time an answer's tokens, and turn them into text."""
        metrics = self._metrics
        now = perf_counter()
        latencies = len(tokens)
        if not self._first_token[i]:
            first = now - tokens[0].age
            self._first_token[i] = self._last_token[i] = first
            metrics.time_to_first_token.observe(first - self._arrival)
            metrics.prefill_time.observe(first - self._begin)
            latencies -= 1
            if self._trace is not None:
                self._trace.first_token(i, first - self._arrival)
        for _ in range(latencies):
            metrics.inter_token_latency.observe((now - self._last_token[i]) / latencies)
        self._last_token[i] = now
        piece = self._texts[i].push(tokens)
        if piece.finish_reason is not None:
            self._complete(i, piece.finish_reason)
        return piece

    def finish(self, i: int) -> None:
        """The caller has all it wants of an answer that goes on."""
        if i in self._open:
            self._complete(i, "stop")

    def _complete(self, i: int, reason: Literal["stop", "length"]) -> None:
        self._open.discard(i)
        metrics = self._metrics
        metrics.request_success[reason].inc()
        if self._trace is not None:
            self._trace.finished(i, reason)
        tokens = self._texts[i].tokens
        decode_time = self._last_token[i] - self._first_token[i]
        metrics.request_latency.observe(self._last_token[i] - self._arrival)
        metrics.decode_time.observe(decode_time)
        metrics.request_prompt_tokens.observe(len(self.requests[i].prompt))
        metrics.request_generation_tokens.observe(tokens)
        if tokens > 1:
            metrics.time_per_output_token.observe(decode_time / (tokens - 1))

    def _count(self) -> None:
        if generated := self.completion_tokens:
            prompts = sum(len(request.prompt) for request in self.requests)
            self._metrics.prompt_tokens.inc(prompts)
            self._metrics.generation_tokens.inc(generated)
            own = {id(request.prompt): len(request.prompt) for request in self.requests}
            count_tokens(sum(own.values()) + generated)  # n answers share one prompt
            if self._trace is not None:
                self._trace.used(sum(own.values()), generated)


async def _ended(reader: asyncio.Task[None]) -> None:
    reader.cancel()
    await asyncio.wait([reader])  # unlike awaiting it, this lets our own cancellation through
