"""Finds the calls in a model's text while it arrives. What is not a call stays text."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

import msgspec

__all__ = [
    "Arguments",
    "ArrayOfCalls",
    "Call",
    "CallParser",
    "Event",
    "HermesCalls",
    "NamedCall",
    "PlainText",
]

OPEN, CLOSE = "<tool_call>", "</tool_call>"
SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Call:
    """A call begins: the index-th of the answer."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """More of the JSON text of a call's arguments."""

    index: int
    json: str


Event = str | Call | Arguments  # a str is text of the answer


class CallParser(Protocol):
    """Text in, events out. ``calls``: how many began. ``done``: nothing more is wanted."""

    calls: int
    done: bool

    def push(self, text: str) -> list[Event]: ...

    def finish(self) -> list[Event]: ...


class WrittenCall(msgspec.Struct):
    name: str
    arguments: msgspec.Raw


def new_id() -> str:
    return f"call_{uuid4().hex[:24]}"


class PlainText:
    """An answer without calls."""

    calls = 0
    done = False

    def push(self, text: str) -> list[Event]:
        return [text] if text else []

    def finish(self) -> list[Event]:
        return []


class HermesCalls:
    """Calls among text, in the convention of Hermes: ``<tool_call>{"name": …}</tool_call>``.

    Text is passed on as soon as it cannot be the beginning of a call; space around calls is
    dropped. Arguments come whole, when their call is complete. A call that is not JSON of a name
    and an object, or names a tool that was not offered, stays text as the model wrote it.
    """

    def __init__(self, names: Collection[str], parallel: bool) -> None:
        """``parallel``: False ends the answer with its first call."""
        self.calls = 0
        self.done = False
        self._names = names
        self._parallel = parallel
        self._held = ""
        self._inside = False

    def push(self, text: str) -> list[Event]:
        events: list[Event] = []
        if self.done:
            return events
        searched = max(0, len(self._held) - len(CLOSE)) if self._inside else 0
        self._held += text
        while True:
            if self._inside:
                end = self._held.find(CLOSE, searched)
                if end < 0:
                    return events
                written, self._held = self._held[:end], self._held[end + len(CLOSE) :]
                self._inside = False
                events += self._call(written) or [f"{OPEN}{written}{CLOSE}"]
                if self.calls and not self._parallel:
                    self.done = True
                    return events
            else:
                start = self._held.find(OPEN)
                shown = self._held[: start if start >= 0 else self._certain()]
                self._held = self._held[len(shown) :]
                if start >= 0:
                    shown = shown.rstrip(SPACE)
                    self._held = self._held[len(OPEN) :]
                if self.calls and not shown.strip(SPACE):
                    shown = ""
                if shown:
                    events.append(shown)
                if start < 0:
                    return events
                self._inside, searched = True, 0

    def finish(self) -> list[Event]:
        held, self._held = self._held, ""
        if self.done:
            return []
        if self._inside:
            self._inside = False
            # Models often end their turn instead of closing the last call.
            return self._call(held) or [f"{OPEN}{held}"]
        if self.calls and not held.strip(SPACE):
            return []
        return [held] if held else []

    def _certain(self) -> int:
        """How much of the held text can be shown: no call begins in it, nor follows its space."""
        held = self._held
        end = len(held)
        for size in range(min(len(OPEN) - 1, len(held)), 0, -1):
            if held.endswith(OPEN[:size]):
                end -= size
                break
        return len(held[:end].rstrip(SPACE))

    def _call(self, written: str) -> list[Event]:
        try:
            call = msgspec.json.decode(written, type=WrittenCall)
        except (msgspec.DecodeError, RecursionError):
            return []
        arguments = bytes(call.arguments).decode()
        if call.name not in self._names or not arguments.startswith("{"):
            return []
        self.calls += 1
        index = self.calls - 1
        return [Call(index, new_id(), call.name), Arguments(index, arguments)]


class NamedCall:
    """All of the text is the arguments of one call, as a constraint makes it."""

    done = False

    def __init__(self, name: str) -> None:
        self.calls = 0
        self._name = name

    def push(self, text: str) -> list[Event]:
        if not text:
            return []
        events: list[Event] = [Arguments(0, text)]
        if not self.calls:
            self.calls = 1
            events.insert(0, Call(0, new_id(), self._name))
        return events

    def finish(self) -> list[Event]:
        return []


class ArrayOfCalls:
    """The text is a JSON array of calls, as a constraint makes it; each is given when complete.

    One that was cut off by the limit of tokens is not given.
    """

    done = False
    _MARKS = re.compile(r'\\.|["{}]', re.DOTALL)

    def __init__(self) -> None:
        self.calls = 0
        self._held = ""
        self._next = 0  # where the search goes on
        self._depth = 0
        self._start = 0
        self._in_string = False

    def push(self, text: str) -> list[Event]:
        self._held += text
        events: list[Event] = []
        while mark := self._MARKS.search(self._held, self._next):
            self._next = mark.end()
            if mark[0] == '"':
                self._in_string = not self._in_string
            elif mark[0] == "{" and not self._in_string:
                if not self._depth:
                    self._start = mark.start()
                self._depth += 1
            elif mark[0] == "}" and not self._in_string:
                self._depth -= 1
                if not self._depth:
                    written = self._held[self._start : mark.end()]
                    self._held, self._next = self._held[mark.end() :], 0
                    call = msgspec.json.decode(written, type=WrittenCall)
                    arguments = bytes(call.arguments).decode()
                    events += [
                        Call(self.calls, new_id(), call.name),
                        Arguments(self.calls, arguments),
                    ]
                    self.calls += 1
        return events

    def finish(self) -> list[Event]:
        return []
