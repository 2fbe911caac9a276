"""An endpoint's answer to a chat, as it comes: POST /chat/completions, a stream of events."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from groundup.app.model_server import Endpoint
from groundup.app.token_chance import TokenChance
from groundup.errors import GroundupError
from groundup.serving.upstream_answer import Refusal, ends_stream, events_of, split_error

__all__ = ["AnswerError", "Piece", "TooLongError", "chat_completion", "client_session"]

SILENCE = 300.0  # seconds without a token, after which an answer is given up


class AnswerError(GroundupError):
    """An answer that could not be given, or broke off; the message is for who asked."""


class TooLongError(AnswerError):
    """The messages do not fit the model's context."""


@dataclass(frozen=True)
class Piece:
    """What came at once: some text, and what is known of the whole."""

    text: str
    finish_reason: str | None = None
    tokens: int | None = None  # of the whole answer; told at its end, by endpoints that count
    chances: tuple[TokenChance, ...] = ()  # of the text's tokens, where they were asked for


def client_session() -> aiohttp.ClientSession:
    """What `chat_completion` asks through: as many connections as there are answers."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE)
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)


async def chat_completion(
    session: aiohttp.ClientSession,
    endpoint: Endpoint,
    messages: Sequence[Mapping[str, str]],
    sampling: Mapping[str, Any],
) -> AsyncGenerator[Piece]:
    """Ask for the conversation's next message.

    Args:
        sampling: fields of the request, such as ``temperature``.

    Raises:
        TooLongError: the messages do not fit the model's context.
        AnswerError: the endpoint cannot be reached, refuses, or breaks off.
    """
    body = {
        "model": endpoint.model,
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        **sampling,
    }
    headers = {"Content-Type": "application/json"}
    if endpoint.key:
        headers["Authorization"] = f"Bearer {endpoint.key}"
    url = f"{endpoint.base_url}/chat/completions"
    try:
        async with session.post(
            url, data=msgspec.json.encode(body), headers=headers, allow_redirects=False
        ) as response:
            if response.status != 200:
                raise _refused(Refusal(response.status, await response.read()))
            ended = False
            async with aclosing(events_of(response)) as batches:
                async for batch in batches:
                    events, error = split_error(batch)
                    for piece in _pieces(events):
                        yield piece
                    if error is not None:
                        raise AnswerError(f"the answer broke off: {error.message}")
                    ended = ended or ends_stream(events)
            if not ended:
                raise AnswerError("the answer broke off: the model's server closed the connection")
    except TimeoutError:
        raise AnswerError(f"the model said nothing for {SILENCE:.0f} s: try again") from None
    except aiohttp.ClientConnectorError as error:
        raise AnswerError(f"the model's server cannot be reached: {error.strerror}") from None
    except (aiohttp.ClientError, OSError):
        raise AnswerError("the answer broke off: the model's server is gone") from None


def _refused(refusal: Refusal) -> AnswerError:
    code = msgspec.json.decode(refusal.body())["error"].get("code")
    kind = TooLongError if code == "context_length_exceeded" else AnswerError
    return kind(f"the model refused to answer: {refusal.message}")


class _Delta(msgspec.Struct):
    content: str | None = None


class _Likely(msgspec.Struct):
    token: str
    logprob: float


class _Logprob(_Likely):
    top_logprobs: list[_Likely] = []


class _Logprobs(msgspec.Struct):
    content: list[_Logprob] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Chunk).decode


def _pieces(events: bytes) -> list[Piece]:
    pieces = []
    for line in events.splitlines():
        if not line.startswith(b"data:") or line[5:].strip() == b"[DONE]":
            continue
        try:
            chunk = _decode(line[5:])
        except msgspec.DecodeError as error:
            raise AnswerError(f"the model's server does not speak OpenAI's way: {error}") from None
        choice = chunk.choices[0] if chunk.choices else _Choice()
        tokens = chunk.usage.completion_tokens if chunk.usage else None
        told = choice.logprobs.content if choice.logprobs else None
        chances = tuple(
            TokenChance(t.token, t.logprob, tuple((o.token, o.logprob) for o in t.top_logprobs))
            for t in told or ()
        )
        piece = Piece(choice.delta.content or "", choice.finish_reason, tokens, chances)
        if piece != Piece(""):
            pieces.append(piece)
    return pieces
