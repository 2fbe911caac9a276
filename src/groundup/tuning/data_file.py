"""Files of examples to tune a model on: JSON Lines, CSV or Parquet, in one of four forms."""

import csv
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError

__all__ = ["DataFile", "Example", "read_data_file", "read_rows"]

ROLES = ("system", "user", "assistant", "tool")
# How ShareGPT's files call the roles.
SHARE_GPT = {"human": "user", "gpt": "assistant", "system": "system", "tool": "tool"}
# Columns of a question and of its answer, as published files name them.
PAIRS = (("instruction", "output"), ("prompt", "completion"), ("question", "answer"))
EXPECTED = (
    "a chat (messages, or conversations), an instruction (instruction and output, with or without "
    "input; prompt and completion; question and answer), a preference (chosen and rejected, with "
    "or without prompt) or plain text (text)"
)

Turns = tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Example:
    """One row of a file."""

    row: int  # as an editor counts: from 1, a CSV's header not included
    messages: Turns = ()  # {"role": ..., "content": ...}; of a preference, with the chosen answer
    rejected: Turns = ()  # of a preference: the same conversation with the worse answer
    text: str = ""  # of a row that is no conversation


@dataclass(frozen=True)
class DataFile:
    """What a file holds."""

    path: Path
    form: str  # "chat", "alpaca", "preference" or "text"
    examples: list[Example]
    sha256: str  # of its bytes


def read_data_file(path: Path) -> DataFile:
    """Read all rows of a file, whose form is detected from the first row's columns.

    * ``chat``: ``messages``, a list of objects with role and content; or ``conversations``, with
      ``from`` and ``value`` (ShareGPT). In a CSV the list is JSON.
    * ``alpaca``: ``instruction`` and ``output``, to which ``input`` and ``system`` may come; or
      ``prompt`` and ``completion``; or ``question`` and ``answer``.
    * ``preference``: ``chosen`` and ``rejected``, texts with a ``prompt``, or lists of messages.
    * ``text``: ``text``.

    Args:
        path: a file that ends in ``.jsonl``, ``.json`` (a list), ``.csv`` or ``.parquet``.

    Raises:
        GroundupError: it cannot be read, is empty, has no known form, or a row does not have the
            form or no assistant's turn; names the row, and how many more there are.
    """
    rows, digest = read_rows(path)
    form, convert = _form_of(rows[0], path)
    return DataFile(path, form, list(_converted(rows, convert, path)), digest)


def read_rows(path: Path) -> tuple[list[Any], str]:
    """The rows of a file as they are, and the SHA-256 of its bytes.

    Args:
        path: as `read_data_file` takes it.

    Raises:
        GroundupError: it cannot be read, or is empty.
    """
    readers: dict[str, Callable[[Path], list[Any]]] = {
        ".jsonl": _json_lines, ".json": _json, ".csv": _csv, ".parquet": _parquet,
    }  # fmt: skip
    if path.suffix.lower() not in readers:
        raise GroundupError(f"{path} is not a file of examples: expected a name that ends in "
                            f"{', '.join(readers)}")  # fmt: skip
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        rows = readers[path.suffix.lower()](path)
    except OSError as error:
        raise GroundupError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise GroundupError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; "
                            "save it as UTF-8") from None  # fmt: skip
    if not rows:
        raise GroundupError(f"{path} holds no rows: expected at least one")
    return rows, digest


def _json_lines(path: Path) -> list[Any]:
    rows = []
    for number, line in enumerate(path.read_text("utf-8-sig").split("\n"), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise GroundupError(f"{path}, line {number} is not JSON: {error}") from None
    return rows


def _json(path: Path) -> list[Any]:
    try:
        rows = json.loads(path.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise GroundupError(f"{path} is not JSON: {error}") from None
    if not isinstance(rows, list):
        raise GroundupError(f"{path} holds {type(rows).__name__}, expected a list of rows")
    return rows


def _csv(path: Path) -> list[Any]:
    csv.field_size_limit(sys.maxsize)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows: list[Any] = list(csv.DictReader(file, strict=True))
    except csv.Error as error:
        raise GroundupError(f"{path} is not CSV: {error}") from None
    for row in rows:
        for column in ("messages", "conversations", "prompt", "chosen", "rejected"):
            if str(row.get(column) or "").lstrip().startswith("[{"):
                with suppress(ValueError):  # a text that begins like a list of messages
                    row[column] = json.loads(row[column])
    return rows


def _parquet(path: Path) -> list[Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise GroundupError("Parquet files need pyarrow: pip install 'groundup[tune]'") from None
    try:
        rows: list[Any] = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, ValueError) as error:
        raise GroundupError(f"{path} is not a Parquet file that can be read: {error}") from None
    return rows


def _form_of(first: Any, path: Path) -> tuple[str, Callable[[int, Mapping[str, Any]], Example]]:
    """The form of a row, and what makes an example of it."""
    columns = set(first) if isinstance(first, dict) else set()
    if {"chosen", "rejected"} <= columns:
        return "preference", _preference
    for column in ("messages", "conversations"):
        if column in columns:
            return "chat", partial(_chat, column)
    for question, answer in PAIRS:
        if {question, answer} <= columns:
            return "alpaca", partial(_pair, question, answer)
    if "text" in columns:
        return "text", lambda row, found: Example(row, text=_text(found, "text"))
    got = f"the columns {', '.join(map(str, first))}" if columns else f"{str(first)[:40]!r}"
    raise GroundupError(f"the first row of {path} has {got}: expected {EXPECTED}")


def _converted(
    rows: Sequence[Any], convert: Callable[[int, Mapping[str, Any]], Example], path: Path
) -> Iterator[Example]:
    problems: list[tuple[int, str]] = []
    for number, row in enumerate(rows, start=1):
        try:
            if not isinstance(row, dict):
                raise _WrongRowError(f"is {str(row)[:40]!r}, expected an object")
            example = convert(number, row)
            for turns in (example.messages, example.rejected):
                if turns and all(turn["role"] != "assistant" for turn in turns):
                    raise _WrongRowError("has no assistant's turn, so there is nothing to learn")
            yield example
        except _WrongRowError as error:
            problems.append((number, str(error)))
    if problems:
        number, what = problems[0]
        others = ", ".join(str(n) for n, _ in problems[1:6])
        more = f" (so {len(problems) - 1} more: {others}{', …' * (len(problems) > 6)})"
        raise GroundupError(
            f"{path}, row {number} {what}{more if others else ''}; mend the rows or take them out"
        )


class _WrongRowError(ValueError):
    """What is wrong in a row, as what follows its number."""


def _text(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if not isinstance(value, str) or not value.strip():
        got = "nothing" if value is None or value == "" else repr(value)[:40]
        raise _WrongRowError(f"has {got} in {column!r}, expected a text")
    return value


def _chat(column: str, row: int, found: Mapping[str, Any]) -> Example:
    return Example(row, _turns(found.get(column)))


def _pair(question: str, answer: str, row: int, found: Mapping[str, Any]) -> Example:
    asked = _text(found, question)
    if found.get("input"):
        asked += "\n\n" + _text(found, "input")
    turns = [{"role": "user", "content": asked}]
    if found.get("system"):
        turns.insert(0, {"role": "system", "content": _text(found, "system")})
    return Example(row, (*turns, {"role": "assistant", "content": _text(found, answer)}))


def _preference(row: int, found: Mapping[str, Any]) -> Example:
    prompt = found.get("prompt")
    before: Turns = ()
    if isinstance(prompt, str) and prompt.strip():
        before = ({"role": "user", "content": prompt},)
    elif prompt:
        before = _turns(prompt)

    def answered(column: str) -> Turns:
        if isinstance(found[column], str):
            if not before:
                raise _WrongRowError(f"has a text in {column!r} and no 'prompt' that it answers")
            return (*before, {"role": "assistant", "content": _text(found, column)})
        turns = _turns(found[column])
        # Lists hold the whole conversation, or what follows the prompt.
        return turns if turns[: len(before)] == before else (*before, *turns)

    return Example(row, answered("chosen"), answered("rejected"))


def _turns(value: Any) -> Turns:
    if not isinstance(value, list) or not value:
        raise _WrongRowError(f"has {str(value)[:40]!r}, expected a list of messages")
    turns = []
    for turn in value:
        if not isinstance(turn, dict):
            raise _WrongRowError(f"has {str(turn)[:40]!r} among its messages, expected an object")
        role = turn.get("role", SHARE_GPT.get(str(turn.get("from")), turn.get("from")))
        if role not in ROLES:
            raise _WrongRowError(f"has the role {role!r}, expected one of {', '.join(ROLES)}")
        content = turn.get("content", turn.get("value"))
        if not isinstance(content, str) or (role == "assistant" and not content.strip()):
            raise _WrongRowError(f"has {str(content)[:40]!r} as what the {role} says, expected "
                                 "a text")  # fmt: skip
        turns.append({"role": role, "content": content})
    return tuple(turns)
