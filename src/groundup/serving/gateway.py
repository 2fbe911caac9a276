"""A gateway: OpenAI's interface over replicas elsewhere, with retries, deadlines and fallbacks."""

import asyncio
import math
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from time import perf_counter, time
from typing import Self

import aiohttp
import msgspec

from groundup.serving.answer_cache import AnswerCache
from groundup.serving.api_error import ApiError
from groundup.serving.backoff import full_jitter
from groundup.serving.callers import Callers
from groundup.serving.consistent_hashing import HashRing
from groundup.serving.gateway_config import GatewayConfig
from groundup.serving.gateway_metrics import GatewayMetrics
from groundup.serving.gateway_request import GatewayRequest
from groundup.serving.intake import Intake, IntakeSettings
from groundup.serving.load_balancing import (
    least_outstanding,
    power_of_two_choices,
    prefix_affinity,
)
from groundup.serving.reply import EventStream, Reply
from groundup.serving.traces import current_trace
from groundup.serving.upstream import Upstream, UpstreamFailed
from groundup.serving.upstream_answer import (
    Refusal,
    ends_stream,
    events_of,
    split_error,
    tokens_in,
    tokens_of,
    without_usage,
)
from groundup.serving.usage import count_tokens

__all__ = ["Gateway"]

# vLLM's and other uvicorn servers close connections that were idle for 5 seconds.
KEEP_ALIVE = 4.0
CONNECT = 5.0  # seconds that making a connection takes at most
LAST_BYTES = 0.1  # seconds after a stream's last event, for the connection to be of use again
# Statuses that say something of the replica, and not of the request.
FAILURES = frozenset({401, 403, 408, 500, 502, 503, 504})


class Gateway(Intake):
    """Sends requests to upstreams, and their answers back.

    A try that fails before anything of its answer has gone to the caller is followed by another:
    first on the model's other replicas, then on the models that it falls back to. Once something
    has gone, a failure ends the stream with an error event: nothing is ever told twice.

    Nothing waits without limit: for a place, for a try, for the next event, and in all.
    """

    def __init__(
        self,
        config: GatewayConfig,
        callers: Callers | None = None,
        cache: AnswerCache | None = None,
        *,
        rng: random.Random | None = None,
    ) -> None:
        """Arguments:
        config: upstreams and how they are used.
        callers, cache: of `Intake`.
        rng: of routing and of the waits before tries.
        """
        self.config = config
        self.started = int(time())
        self.upstreams = [Upstream(u, config.breaker, config.health) for u in config.upstream]
        self.metrics = GatewayMetrics(self.upstreams)
        queue = config.queue
        settings = IntakeSettings(
            places=queue.places, waiting_limit=queue.waiting, queue_deadline=queue.deadline
        )
        super().__init__(settings, self.metrics.registry, callers, cache)
        self.metrics.watch(self.admission)
        self._by_name = {upstream.name: upstream for upstream in self.upstreams}
        self._ring = HashRing()
        for upstream in self.upstreams:
            self._ring.add(upstream.name, upstream.weight)
        self._rng = rng or random.Random()
        self._session: aiohttp.ClientSession | None = None
        self._watchers: list[asyncio.Task[None]] = []

    def serves(self) -> bool:
        """Whether a request could be answered."""
        return self.ready() and any(upstream.up for upstream in self.upstreams)

    def models(self) -> list[str]:
        """What callers may ask for, aliases included."""
        served = {name for upstream in self.upstreams for name in upstream.models}
        aliases = {alias for alias, model in self.config.aliases.items() if model in served}
        return sorted(served | aliases)

    async def forward(self, path: str, body: bytes) -> Reply | EventStream:
        """The answer of an upstream.

        Args:
            path: below /v1, as ``/chat/completions``.
            body: the request.

        Raises:
            ApiError: the request is not one, an upstream refuses it, or none answers.
        """
        request = GatewayRequest(path, body)
        if (trace := current_trace.get()) is not None:
            trace.model(request.model, served=request.model in self.models())
        arrival = perf_counter()
        async with AsyncExitStack() as held:
            await held.enter_async_context(self._place())
            model, answer, headers = await self._answer(request, arrival, held)
            if isinstance(answer, Reply):
                self.metrics.request_latency.labels(model).observe(perf_counter() - arrival)
                return Reply(answer.body, answer.content_type, headers=headers)
            self.metrics.time_to_first_token.labels(model).observe(perf_counter() - arrival)
            # From here on the stream's end gives back what is held. Nothing is awaited before the
            # stream is begun, so it has one.
            events = self._until_end(answer, held.pop_all(), model, arrival)
        return EventStream(events, request.error_event, headers)

    async def embed(self, text: str) -> list[float]:
        """The embedding of a text, by the model that the cache's configuration names.

        Raises:
            ApiError: there is none.
        """
        assert self.config.cache is not None
        body = {"model": self.config.cache.embedding_model, "input": text}
        answer = await self.forward("/embeddings", msgspec.json.encode(body))
        try:
            assert isinstance(answer, Reply)
            embedding: list[float] = msgspec.json.decode(answer.body)["data"][0]["embedding"]
        except (msgspec.DecodeError, LookupError, TypeError) as error:
            raise ApiError(502, f"the upstream's embedding cannot be read: {error}") from None
        return embedding

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._session = session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            # Deadlines are the gateway's own.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        await asyncio.gather(*(upstream.probe(session) for upstream in self.upstreams))
        self._watchers = [
            asyncio.create_task(upstream.watch(session)) for upstream in self.upstreams
        ]
        return self

    async def __aexit__(self, *error: object) -> None:
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.wait(self._watchers)
        if self._session is not None:
            await self._session.close()
        await super().__aexit__(*error)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        place = await self.admission.enter(1)
        try:
            yield
        finally:
            self.admission.leave(place)

    async def _answer(
        self, request: GatewayRequest, arrival: float, held: AsyncExitStack
    ) -> tuple[str, Reply | AsyncGenerator[bytes], tuple[tuple[bytes, bytes], ...]]:
        """The model that answers, its answer, and what the headers say of it."""
        wanted = self.config.aliases.get(request.model, request.model)
        models = (wanted, *self.config.fallbacks.get(wanted, ()))
        self._check_known(request.model, wanted)
        routing = self.config.routing
        deadline = arrival + routing.total_deadline
        failures: list[UpstreamFailed] = []
        for model in models:
            tried: set[str] = set()
            for attempt in range(routing.tries):
                if tried and not self._fresh(model, tried):
                    wait = full_jitter(attempt, routing.backoff, routing.max_backoff, self._rng)
                    await asyncio.sleep(wait)
                if perf_counter() >= deadline:
                    raise self._too_late()
                chosen = self._choose(request, model, tried)
                if chosen is None:
                    break
                upstream, ticket = chosen
                tried.add(upstream.name)
                try:
                    answer = await self._try(request, model, upstream, ticket, deadline, held)
                except UpstreamFailed as failure:
                    failures.append(failure)
                    continue
                headers = [(b"x-groundup-upstream", upstream.name.encode())]
                if model != wanted:
                    self.metrics.fallbacks.labels(wanted, model).inc()
                    headers.append((b"x-groundup-fallback-model", model.encode()))
                return model, answer, tuple(headers)
        raise self._failed(request.model, models, failures)

    def _fresh(self, model: str, tried: set[str]) -> bool:
        return any(u.available(model) for u in self.upstreams if u.name not in tried)

    def _choose(
        self, request: GatewayRequest, model: str, tried: set[str]
    ) -> tuple[Upstream, int] | None:
        """A replica with its breaker's ticket: one that was not tried, if there is one."""
        loads = {u.name: u.outstanding for u in self.upstreams if u.available(model)}
        loads = {name: n for name, n in loads.items() if name not in tried} or loads
        while loads:
            policy = self.config.routing.policy
            if policy == "prefix_affinity":
                name = prefix_affinity(self._ring, loads, request.prompt())
            elif policy == "power_of_two_choices":
                name = power_of_two_choices(loads, self._rng)
            else:
                name = least_outstanding(loads, self._rng)
            ticket = self._by_name[name].breaker.begin()
            if ticket is not None:
                return self._by_name[name], ticket
            del loads[name]  # a probe is under way
        return None

    async def _try(
        self,
        request: GatewayRequest,
        model: str,
        upstream: Upstream,
        ticket: int,
        deadline: float,
        held: AsyncExitStack,
    ) -> Reply | AsyncGenerator[bytes]:
        """One upstream's answer, whole or as a stream that has begun.

        Raises:
            UpstreamFailed: it gives none.
            Refusal: the request is wrong.
        """
        outcome = "left"
        connection = AsyncExitStack()
        try:
            seconds = min(self.config.routing.try_deadline, deadline - perf_counter())
            async with asyncio.timeout(seconds):
                answer = await self._receive(request, model, upstream, deadline, connection)
            outcome = "ok"
        except Refusal:
            outcome = "refused"
            raise
        except TimeoutError:
            outcome = "late"
            raise UpstreamFailed(f"{upstream.name} did not answer in time", late=True) from None
        except UpstreamFailed as failure:
            outcome = "busy" if failure.busy else "failed"
            raise
        except (aiohttp.ClientError, OSError) as error:
            outcome = "failed"
            reason = str(error) or type(error).__name__
            raise UpstreamFailed(f"{upstream.name} failed: {reason}") from None
        finally:
            self.metrics.tries.labels(upstream.name, outcome).inc()
            if outcome == "left":
                upstream.breaker.give_up(ticket)
            else:
                upstream.breaker.end(ticket, failed=outcome in ("late", "failed"))
            if outcome != "ok":
                await connection.aclose()
        held.push_async_exit(connection)
        return answer

    async def _receive(
        self,
        request: GatewayRequest,
        model: str,
        upstream: Upstream,
        deadline: float,
        connection: AsyncExitStack,
    ) -> Reply | AsyncGenerator[bytes]:
        assert self._session is not None
        body = request.body_for(upstream.models[model])
        response = await connection.enter_async_context(
            upstream.post(self._session, request.path, body)
        )
        if response.status == 429:
            wait = _seconds(response.headers.get("retry-after"))
            upstream.rest(wait)
            raise UpstreamFailed(f"{upstream.name} is busy (429)", busy=True)
        if response.status in FAILURES:
            raise UpstreamFailed(f"{upstream.name} answered {response.status}")
        if response.status != 200:
            raise Refusal(response.status, await response.read())
        if not (request.streamed and response.content_type == "text/event-stream"):
            data = await response.read()
            count_tokens(tokens_of(data) or (len(body) + len(data)) // 4)
            return Reply(data, response.headers.get("content-type", "application/json").encode())
        events = events_of(response)
        first = await anext(events, b"")
        begun, error = split_error(first)
        if error is not None and not begun:
            raise UpstreamFailed(f"{upstream.name} failed: {error.message}")
        if not first:
            raise UpstreamFailed(f"{upstream.name} ended before its answer began")
        return self._events(request, upstream, first, events, deadline)

    async def _events(
        self,
        request: GatewayRequest,
        upstream: Upstream,
        events: bytes,
        more: AsyncGenerator[bytes],
        deadline: float,
    ) -> AsyncGenerator[bytes]:
        """The stream that began with these events, to its end.

        Raises:
            ApiError: it broke off.
        """
        shown = reported = 0  # events, each about a token; and the tokens that the upstream tells
        try:
            while True:
                shown += events.count(b"data:")
                ended = ends_stream(events)
                events, error = split_error(events)
                if request.adds_usage:
                    events, tokens = without_usage(events)
                else:
                    tokens = tokens_in(events)
                reported = max(reported, tokens)
                if events:
                    yield events
                if error is not None:
                    raise error
                if ended:
                    break
                seconds = min(self.config.routing.idle_deadline, deadline - perf_counter())
                async with asyncio.timeout(seconds):
                    events = await anext(more)
            with suppress(TimeoutError, aiohttp.ClientError):
                async with asyncio.timeout(LAST_BYTES):
                    await anext(more, b"")
        except (TimeoutError, StopAsyncIteration, aiohttp.ClientError, OSError, Refusal) as error:
            self.metrics.tries.labels(upstream.name, "broken").inc()
            if (ticket := upstream.breaker.begin()) is not None:
                upstream.breaker.end(ticket, failed=True)
            if isinstance(error, Refusal):
                raise
            if isinstance(error, TimeoutError):
                raise self._too_late() from None
            raise ApiError(
                502,
                f"{upstream.name} broke off in the middle of its answer: ask again",
                code="upstream_broken",
            ) from None
        finally:
            count_tokens(reported or len(request.body) // 4 + shown)

    async def _until_end(
        self, events: AsyncGenerator[bytes], held: AsyncExitStack, model: str, arrival: float
    ) -> AsyncGenerator[bytes]:
        async with held, aclosing(events):
            async for each in events:
                yield each
        self.metrics.request_latency.labels(model).observe(perf_counter() - arrival)

    def _check_known(self, named: str, model: str) -> None:
        """Raises: ApiError (404), if it is certain that nobody serves the model."""
        if any(model in upstream.models for upstream in self.upstreams):
            return
        if all(upstream.knows_models for upstream in self.upstreams):
            raise ApiError(
                404,
                f"the model {named!r} is not served here, expected one of {self.models()}",
                param="model",
                code="model_not_found",
            )

    def _too_late(self) -> ApiError:
        return ApiError(
            504, "the answer took longer than the gateway waits", code="deadline_exceeded"
        )

    def _failed(
        self, named: str, models: tuple[str, ...], failures: list[UpstreamFailed]
    ) -> ApiError:
        """What to tell when there is no answer, and when to ask again."""
        serving = [u for u in self.upstreams if not u.up or any(m in u.models for m in models)]
        waits = [u.ready_in() for u in serving if u.up] or [self.config.health.interval]
        retry_after = max(1, math.ceil(min(waits)))
        if failures and all(failure.late for failure in failures):
            return self._too_late()
        reasons = list(dict.fromkeys(map(str, failures))) or [u.condition() for u in serving]
        busy = all(f.busy for f in failures) if failures else all(u.busy for u in serving)
        if busy and serving:
            return ApiError(
                429,
                f"every replica of {named!r} is busy: ask again later",
                code="upstream_busy",
                retry_after=retry_after,
            )
        return ApiError(
            503,
            f"no replica of {named!r} answers ({'; '.join(reasons)}): ask again later",
            code="upstream_unavailable",
            retry_after=retry_after,
        )


def _seconds(retry_after: str | None) -> float:
    """What a Retry-After header says; dates, which no server of this kind sends, count as 1."""
    try:
        return max(0.0, float(retry_after or 1))
    except ValueError:
        return 1.0
