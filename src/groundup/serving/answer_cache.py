"""Which requests are answered with an answer that was kept, and how it is told again."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from groundup.serving.api_error import ApiError
from groundup.serving.reply import STREAM_HEADERS, EventStream, Reply
from groundup.serving.response_cache import ResponseCache, SingleFlight, request_key
from groundup.serving.similar_answers import Question, SimilarAnswers

if TYPE_CHECKING:
    from groundup.serving.response_cache_redis import RedisResponseCache

__all__ = ["Answer", "AnswerCache"]

logger = logging.getLogger(__name__)

Answer = bytes | EventStream | Reply
Outcome = Literal["hit", "similar", "miss"]

REMEMBERED = 65_536  # bodies whose place in the cache is known without decoding them
LARGEST_STREAM = 2**20  # bytes of a streamed answer that are kept
STREAM_TYPE = STREAM_HEADERS[0][1]
OUTCOME_HEADERS = {
    outcome: ((b"x-groundup-cache", outcome.encode()),) for outcome in ("hit", "similar", "miss")
}


class _Place(NamedTuple):
    key: str
    streamed: bool


class AnswerCache:
    """Answers of requests that ask for the same, told again byte for byte.

    Two levels find an answer. The first knows bodies that came before by their digest, without
    decoding them: that takes microseconds. The second decodes, and knows requests that differ only
    in their writing (`request_key`). Behind both, answers are in this process's memory, and in
    Redis as well where several processes share them. Last, where it is wanted, a question that
    means nearly the same may do (`SimilarAnswers`).

    An answer is kept if it was complete, of status 200, and would be the same again: temperature 0,
    or a seed. A stream is kept as its events, and apart from the whole answer to the same request.

    Who gets whose answers: a caller gets those that its own key has had. An answer from memory
    comes sooner, so a cache for all would tell each key what others have asked; ``shared`` is for
    keys that may know that of each other.
    """

    def __init__(
        self,
        memory: ResponseCache,
        *,
        redis: RedisResponseCache | None = None,
        similar: SimilarAnswers | None = None,
        shared: bool = False,
    ) -> None:
        """Arguments:
        memory: of this process.
        redis: what several share.
        similar: None takes only equal requests for equal.
        shared: whether one key may get another's answers.
        """
        self.lookups: dict[Outcome, int] = {"hit": 0, "similar": 0, "miss": 0}
        self.shared = shared
        self._memory = memory
        self._redis = redis
        self._similar = similar
        self._places: dict[bytes, _Place] = {}  # by the digest of a body, the oldest first
        self._flights = SingleFlight()

    @staticmethod
    def digest(client: str, path: str, body: bytes) -> bytes:
        """What `recall` knows a request by.

        Args:
            client: those whose answers it may get, as its key's digest; empty for all.
            path: of the route.
            body: as it came.
        """
        digest = blake2b(f"{client}\0{path}\0".encode(), digest_size=20)
        digest.update(body)
        return digest.digest()

    def recall(self, digest: bytes) -> Reply | None:
        """The answer to a body that came before, if it is in memory."""
        place = self._places.get(digest)
        if place is None or (answer := self._memory.get(place.key)) is None:
            return None
        return self._told(place, answer, "hit")

    async def answer(
        self,
        digest: bytes,
        client: str,
        path: str,
        body: bytes,
        compute: Callable[[], Awaitable[Answer]],
    ) -> Answer:
        """The answer kept, or what ``compute`` gives, which is then kept if it may be.

        Equal requests for whole answers that come meanwhile wait for the same computation.

        Raises:
            Exception: what ``compute`` raises.
        """
        request = _decoded(body)
        place = None if request is None else _place(client, path, request)
        if request is None or place is None:
            return await compute()
        self._remember(digest, place)
        if (kept := await self._kept(place)) is not None:
            return self._told(place, kept, "hit")
        question = None
        if self._similar is not None and path.endswith("/chat/completions"):
            question = await self._question(f"{client}:{place.streamed}:", request)
            if question is not None and (near := self._similar.get(question)) is not None:
                return self._told(place, near, "similar")
        self.lookups["miss"] += 1

        async def keep(answer: bytes) -> None:
            self._memory.put(place.key, answer)
            if question is not None and self._similar is not None:
                self._similar.put(question, answer)
            if self._redis is not None:
                await self._redis.put(place.key, answer)

        if place.streamed:
            computed = await compute()
            if isinstance(computed, EventStream):
                headers = (*computed.headers, *OUTCOME_HEADERS["miss"])
                events = _recorded(computed.events, keep)
                return replace(computed, events=events, headers=headers)
            return computed

        own: list[Answer] = []  # what this caller computed, if it did

        async def fill() -> bytes:
            # One computation may have ended while Redis was asked, and told that it had none.
            if (kept := self._memory.get(place.key)) is not None:
                return kept
            computed = await compute()
            own.append(computed)
            if isinstance(computed, EventStream):
                raise TypeError("a stream came where a whole answer was asked for")
            answer = computed.body if isinstance(computed, Reply) else computed
            await keep(answer)
            return answer

        answer = await self._flights.run(place.key, fill)
        computed = own[0] if own else Reply(answer)
        reply = computed if isinstance(computed, Reply) else Reply(answer)
        return replace(reply, headers=(*reply.headers, *OUTCOME_HEADERS["miss"]))

    async def _question(self, within: str, request: Mapping[str, Any]) -> Question | None:
        assert self._similar is not None
        try:
            return await self._similar.question(within, request)
        except ApiError as error:
            logger.warning("no embedding for the cache (%s): going on without", error)
            return None

    def _told(self, place: _Place, answer: bytes, outcome: Outcome) -> Reply:
        self.lookups[outcome] += 1
        if place.streamed:
            headers = (*STREAM_HEADERS[1:], *OUTCOME_HEADERS[outcome])
            return Reply(answer, STREAM_TYPE, headers=headers)
        return Reply(answer, headers=OUTCOME_HEADERS[outcome])

    def _remember(self, digest: bytes, place: _Place) -> None:
        if len(self._places) >= REMEMBERED:
            del self._places[next(iter(self._places))]
        self._places[digest] = place

    async def _kept(self, place: _Place) -> bytes | None:
        if (answer := self._memory.get(place.key)) is not None or self._redis is None:
            return answer
        if (answer := await self._redis.get(place.key)) is not None:
            self._memory.put(place.key, answer)
        return answer


async def _recorded(
    events: AsyncGenerator[bytes], keep: Callable[[bytes], Awaitable[None]]
) -> AsyncGenerator[bytes]:
    """The events, which are kept if they come to their end."""
    seen: list[bytes] = []
    size = 0
    async with aclosing(events):
        async for event in events:
            size += len(event)
            if size <= LARGEST_STREAM:
                seen.append(event)
            yield event
    if size <= LARGEST_STREAM:
        await keep(b"".join(seen))


def _decoded(body: bytes) -> dict[str, Any] | None:
    """The request; None where it is not an object. What is wrong with it, its handler tells."""
    try:
        request = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return request if isinstance(request, dict) else None


def _place(client: str, path: str, request: Mapping[str, Any]) -> _Place | None:
    """Where an answer is kept; None if it may not be."""
    streamed = request.get("stream")
    if streamed is None:
        streamed = False
    if not isinstance(streamed, bool):
        return None
    form = "whole"
    if streamed:
        options = request.get("stream_options")
        form = f"stream:{msgspec.json.encode(options, order='sorted').decode()}"
    asked = dict(request)
    if path.endswith("/embeddings"):
        asked["temperature"] = 0  # nothing is drawn
    elif path.endswith("/responses"):
        if any(asked.get(name) for name in ("previous_response_id", "conversation", "background")):
            return None  # what it means depends on what was stored
        asked["echoed"] = [asked.get("metadata"), asked.get("user")]  # the answer repeats them
    try:
        key = request_key(asked)
    except (ValueError, RecursionError):
        return None
    return None if key is None else _Place(f"{client}:{path}:{form}:{key}", streamed)
