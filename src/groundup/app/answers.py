"""The answers that are being written. Each is a task of the app's, whatever pages come and go.

Its text is in the store from the start, about twice a second, and at the end. However an answer
ends, what was there is kept: an engine that dies leaves a message that failed, with the reason.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from groundup.app.answer_path import own_parts
from groundup.app.changes import Changes
from groundup.app.chat_completions import TooLongError, chat_completion, client_session
from groundup.app.markdown import GrowingMarkdown
from groundup.app.model_choice import short_name
from groundup.app.model_server import Endpoint
from groundup.app.preferences import Limits, read_limits
from groundup.app.store.conversations import Conversation, NotFoundError
from groundup.app.store.messages import Message, State
from groundup.app.store.store import Store
from groundup.app.token_chance import TokenChance
from groundup.errors import GroundupError

__all__ = ["Answers", "Changed", "Progress"]

LONGEST_PROMPT = 500_000  # characters of earlier messages that are sent to a model
KEEP_INTERVAL = 0.5  # seconds between two writes of what grows
SHOW_INTERVAL = 0.03  # seconds between two updates of a page: more would not be seen
ALTERNATIVES = 8  # to each token, for who looks into an answer
SHARE = 4.0  # a second of rendering is followed by so many without, for each running answer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """An answer has grown: its blocks from ``first`` on are these."""

    message: str
    first: int
    blocks: list[str]  # HTML
    tokens: int
    seconds: float  # since the first token
    waiting: str  # for what, while there is no token


@dataclass(frozen=True)
class Changed:
    """A conversation's messages are others, or some of them have another state."""

    conversation: str


@dataclass
class Answer:
    """One that is being written."""

    user: str
    message: Message
    system: str
    sampling: Mapping[str, Any]
    longest: int  # tokens
    text: str = ""
    tokens: int = 0
    waiting: str = ""
    began: float = 0.0  # when the first token came, by the loop's clock
    ended: float = 0.0  # when the last one did
    kept: str = ""  # of the text, what the store has
    chances: list[TokenChance] | None = None  # of its tokens; None where they were not asked for
    growing: GrowingMarkdown = field(default_factory=GrowingMarkdown)
    ending: bool = False  # it is beyond being stopped
    next_shown: float = 0.0  # when a page may be told again
    shown: asyncio.Handle | None = None  # the next time
    shown_length: int = 0  # of the text, what pages know

    def progress(self, first: int) -> Progress:
        blocks, seconds = self.growing.blocks[first:], self.ended - self.began
        return Progress(self.message.id, first, blocks, self.tokens, seconds, self.waiting)


class Answers:
    """All answers of the app, of all users."""

    def __init__(self, store: Store, endpoint: Callable[[str], Awaitable[Endpoint]]) -> None:
        """Arguments:
        store: where conversations are kept.
        endpoint: where a model answers, by its name; it may take long, and raise GroundupError.
        """
        # Topics are ids of conversations, for all that happens in them, and of users, for Changed.
        self.changes: Changes[Progress | Changed] = Changes()
        self._store = store
        self.endpoint_of = endpoint
        self._session: aiohttp.ClientSession | None = None
        self._watched: Counter[str] = Counter()  # users who look into answers, and how often
        self._running: dict[str, tuple[Answer, asyncio.Task[None]]] = {}  # by the message's id
        self._beginning: set[str] = set()  # conversations with a message that is being taken up
        self._keeper: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()  # an older text must not be written over a newer one

    async def start(self) -> None:
        """For the app's start: answers of a process that was killed are marked as failed."""
        reason = "the app was ended while this answer was being written: try again"
        await asyncio.to_thread(self._store.messages.fail_streaming, reason)
        self._session = client_session()

    async def close(self) -> None:
        """Stop all answers; what they have written is kept."""
        for message in tuple(self._running):
            self.stop(message)
        await asyncio.gather(*(task for _, task in self._running.values()))
        if self._keeper is not None:
            self._keeper.cancel()
        if self._session is not None:
            await self._session.close()

    async def ask(self, user: str, conversation: str, text: str, parent: str | None) -> str:
        """Take up a user's message below another one, and begin to answer it.

        Args:
            parent: id of the message before it; None where it is the first.

        Returns:
            The message's id: it is in the store.

        Raises:
            GroundupError: as of `checked`; an answer is being written here; or the store refuses.
        """
        text = await self.checked(user, text)
        if conversation in self._beginning or any(
            answer.message.id == parent for answer, _ in self._running.values()
        ):
            raise GroundupError("an answer is being written: wait for its end, or stop it")
        self._beginning.add(conversation)
        try:
            message = await asyncio.to_thread(
                self._store.messages.add,
                user,
                conversation,
                parent=parent,
                role="user",
                content=text,
            )
            await self.answer(user, message)
        finally:
            self._beginning.discard(conversation)
        return message.id

    async def checked(self, user: str, text: str) -> str:
        """A user's message without space around it.

        Raises:
            GroundupError: it is empty or longer than the limit, or the user has as many answers
                being written as there may be.
        """
        limits = await asyncio.to_thread(read_limits, self._store)
        self._check_running(user, limits)
        text = text.strip()
        if not text:
            raise GroundupError("the message is empty: write something")
        if len(text) > limits.message_characters:
            raise GroundupError(
                f"the message is {len(text):,} characters long, and at most "
                f"{limits.message_characters:,} can be sent: shorten it or send it in parts"
            )
        return text

    async def answer(self, user: str, question: Message) -> None:
        """Begin to answer a user's message; other answers to it stay, as other branches.

        Raises:
            GroundupError: the user has as many answers being written as there may be, or the store
                refuses.
        """
        limits = await asyncio.to_thread(read_limits, self._store)
        self._check_running(user, limits)

        def add() -> tuple[Conversation, Message]:
            conversation = self._store.conversations.get(user, question.conversation_id)
            answer = self._store.messages.add(
                user,
                question.conversation_id,
                parent=question.id,
                role="assistant",
                content="",
                state="streaming",
                model=conversation.model,
            )
            return conversation, answer

        conversation, message = await asyncio.to_thread(add)
        answer = Answer(
            user, message, conversation.system, conversation.sampling, limits.answer_tokens
        )
        task = asyncio.create_task(self._write(answer), name=f"answer {message.id}")
        self._running[message.id] = answer, task
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_all())
        self._tell_changed(answer)
        await asyncio.sleep(0)  # a task that is stopped before it began would end without a word

    def stop(self, message: str) -> None:
        """End an answer; what it has written is kept."""
        if message in self._running:
            answer, task = self._running[message]
            if not answer.ending:
                task.cancel()

    def stop_all(self, user: str) -> None:
        """End all answers of a user."""
        for message, (answer, _) in tuple(self._running.items()):
            if answer.user == user:
                self.stop(message)

    def stop_in(self, conversation: str) -> None:
        """End all answers of a conversation."""
        for message, (answer, _) in tuple(self._running.items()):
            if answer.message.conversation_id == conversation:
                self.stop(message)

    def writing(self, message: str) -> bool:
        """Whether it is being written."""
        return message in self._running

    def progress(self, message: str) -> Progress | None:
        """An answer as pages know it; None if it is not being written.

        What it has grown by is told to all of them at once, in the loop's next turn.
        """
        if message not in self._running:
            return None
        answer, _ = self._running[message]
        if answer.shown is None and answer.shown_length < len(answer.text):
            answer.shown = asyncio.get_running_loop().call_soon(self._show, answer)
        return answer.progress(0)

    def watch(self, user: str) -> Callable[[], None]:
        """Ask for the probabilities of the tokens of a user's answers that begin from now on.

        Local models alone are asked: others may not know them. Returns what ends that.
        """
        self._watched[user] += 1

        def end() -> None:
            self._watched[user] -= 1

        return end

    def chances(self, message: str) -> list[TokenChance] | None:
        """Those of an answer's tokens so far; None if they were not asked for, or it has ended."""
        return self._running[message][0].chances if message in self._running else None

    def conversations(self) -> set[str]:
        """Those in which an answer is being written."""
        return {answer.message.conversation_id for answer, _ in self._running.values()}

    def _check_running(self, user: str, limits: Limits) -> None:
        running = sum(answer.user == user for answer, _ in self._running.values())
        if running >= limits.running_answers:
            raise GroundupError(
                f"{running} of your answers are being written, as many as may be at a time: wait "
                "for the end of one, or stop it"
            )

    # --- writing

    async def _write(self, answer: Answer) -> None:
        state: State = "complete"
        error: str | None = None
        parts: list[str] = []
        try:
            self._wait(answer, f"Waiting for {short_name(answer.message.model)}")
            endpoint = await self.endpoint_of(answer.message.model)
            parts = own_parts(endpoint.parts)
            self._wait(answer, "Reading")
            error = await self._stream(answer, endpoint)
        except asyncio.CancelledError:
            state = "stopped"
        except GroundupError as reason:
            state, error = "failed", str(reason)
        except Exception:
            logger.exception("an answer failed")
            state, error = "failed", "the app failed; what happened is in its log: try again"
        answer.ending = True
        if answer.shown is not None:
            answer.shown.cancel()
            self._show(answer)
        try:
            with suppress(NotFoundError):
                await self._finish(answer, state, error, parts)
        except GroundupError as reason:
            logger.error("the end of an answer could not be kept: %s", reason)
        finally:
            del self._running[answer.message.id]
            self._tell_changed(answer)

    async def _stream(self, answer: Answer, endpoint: Endpoint) -> str | None:
        """Write the answer. Returns what is to be said of it, if anything."""
        assert self._session is not None, "start() comes first"
        question = answer.message.parent_id
        path = await asyncio.to_thread(
            self._store.messages.path, answer.user, answer.message.conversation_id, question
        )
        messages = _as_sent(path)
        left_out = len([m for m in path if m.content]) - len(messages)
        sampling = {**dict(endpoint.sampling), **answer.sampling}
        loop = asyncio.get_running_loop()
        while True:
            system = [{"role": "system", "content": answer.system}] if answer.system else []
            asked: Mapping[str, Any] = sampling
            if endpoint.local and self._watched[answer.user] > 0:
                answer.chances = []
                asked = {**sampling, "logprobs": True, "top_logprobs": ALTERNATIVES}
            pieces = chat_completion(self._session, endpoint, system + messages, asked)
            try:
                async with aclosing(pieces):
                    async for piece in pieces:
                        answer.tokens = piece.tokens or answer.tokens + bool(piece.text)
                        if answer.chances is not None:
                            answer.chances += piece.chances
                        if piece.text:
                            answer.text += piece.text
                            answer.ended = loop.time()
                            answer.began = answer.began or answer.ended
                            self._show_soon(answer)
                        if answer.tokens >= answer.longest:
                            return f"the answer ends at {answer.longest:,} tokens, the limit"
            except TooLongError:
                half = _newer_half(messages)
                if not half:
                    raise
                left_out += len(messages) - len(half)
                messages = half
                continue
            if left_out:
                return f"the oldest {left_out:,} messages did not fit the model and were left out"
            return None

    async def _finish(
        self, answer: Answer, state: State, error: str | None, parts: list[str]
    ) -> None:
        async with self._writing:
            await asyncio.to_thread(
                self._store.messages.update,
                answer.user,
                answer.message.id,
                content=answer.text,
                state=state,
                error=error,
                tokens=answer.tokens,
                seconds=answer.ended - answer.began,
                parts=parts,
            )

    async def _keep_all(self) -> None:
        """Write what has grown, as long as the app runs."""
        while True:
            await asyncio.sleep(KEEP_INTERVAL)
            async with self._writing:
                grown = [a for a, _ in self._running.values() if len(a.text) > len(a.kept)]
                if grown:
                    try:
                        await asyncio.to_thread(self._keep, grown)
                    except GroundupError as error:  # a full disk, say: the end will say it again
                        logger.warning("an answer could not be kept for now: %s", error)

    def _keep(self, answers: list[Answer]) -> None:
        for answer in answers:
            text = answer.text
            with suppress(NotFoundError):  # deleted meanwhile: its end is near
                self._store.messages.update(answer.user, answer.message.id, content=text)
            answer.kept = text

    # --- telling

    def _tell_changed(self, answer: Answer) -> None:
        changed = Changed(answer.message.conversation_id)
        self.changes.tell(changed.conversation, changed)
        self.changes.tell(answer.user, changed)

    def _wait(self, answer: Answer, reason: str) -> None:
        answer.waiting = reason
        self.changes.tell(answer.message.conversation_id, answer.progress(0))

    def _show_soon(self, answer: Answer) -> None:
        """Tell pages now, or as soon as they may be told again."""
        if answer.shown is not None or not self.changes.heard(answer.message.conversation_id):
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= answer.next_shown:
            self._show(answer)
        else:
            answer.shown = loop.call_at(answer.next_shown, self._show, answer)

    def _show(self, answer: Answer) -> None:
        answer.shown = None
        loop = asyncio.get_running_loop()
        start = loop.time()
        first = answer.growing.update(answer.text)
        answer.shown_length = len(answer.text)
        self.changes.tell(answer.message.conversation_id, answer.progress(first))
        # Long blocks are costly to render anew, and so are many answers at once: they are, less
        # often, so that rendering takes a quarter of the loop's time at most.
        now = loop.time()
        pause = SHARE * (now - start) * len(self._running)
        answer.next_shown = now + max(SHOW_INTERVAL, pause)


def _as_sent(path: list[Message]) -> list[dict[str, str]]:
    """The newest messages, as many as are worth sending."""
    messages = [{"role": m.role, "content": m.content} for m in path if m.content]
    size = 0
    for i in range(len(messages) - 1, -1, -1):
        size += len(messages[i]["content"])
        if size > LONGEST_PROMPT:
            return _from_user(messages[i + 1 :]) or messages[-1:]
    return messages


def _newer_half(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The newer half of the messages, from a user's on; none if there is only one."""
    return _from_user(messages[(len(messages) + 1) // 2 :])


def _from_user(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    for i, message in enumerate(messages):
        if message["role"] == "user":
            return messages[i:]
    return []
