"""A file's own questions with short answers, scored by exact match and F1."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from groundup.engine.conversation import Message
from groundup.errors import GroundupError
from groundup.evaluation.exact_match import exact_match, token_f1
from groundup.evaluation.generation import GenerationTask, Question, Verdict
from groundup.tuning.data_file import read_data_file, read_rows

__all__ = ["short_answers"]


def short_answers(
    path: Path, *, limit: int | None = None, max_tokens: int = 64, chat: bool = True
) -> GenerationTask:
    """The conversations of a file; the model's answer is compared with the last one there.

    Args:
        path: as `read_data_file` takes it; or with rows that have ``question`` and ``answers``, a
            list of those that are right, and perhaps a ``context`` to be read before.
        limit: at most so many; None is all.
        max_tokens: of one answer.
        chat: by the model's template; False is plain text.

    Returns:
        The task, with the metrics ``exact_match`` and ``f1``.

    Raises:
        GroundupError: the file cannot be read, or holds no questions with answers.
    """
    rows, digest = read_rows(path)
    several = isinstance(rows[0], dict) and {"question", "answers"} <= set(rows[0])
    asked = _with_several(rows, path) if several else _conversations(path)
    questions = [
        Question(str(number), messages, _plain(messages), expected)
        for number, (messages, expected) in enumerate(asked, start=1)
    ]
    return GenerationTask(
        "exact_match", questions[:limit], _judge, digest, max_tokens, chat=chat, stops=("\n",)
    )


def _judge(question: Question, answer: str, chat: bool) -> Verdict:
    right = exact_match(answer, question.expected)
    return Verdict({"exact_match": float(right), "f1": token_f1(answer, question.expected)})


def _conversations(path: Path) -> Iterator[tuple[tuple[Message, ...], tuple[str, ...]]]:
    file = read_data_file(path)
    if file.form not in ("chat", "alpaca"):
        raise GroundupError(f"{path} is of the form {file.form!r}: expected questions with answers")
    for example in file.examples:
        *before, last = example.messages
        if last["role"] != "assistant" or not before:
            raise GroundupError(
                f"{path}, row {example.row} does not end with the assistant's answer to something"
            )
        yield cast(tuple[Message, ...], tuple(before)), (last["content"],)


def _with_several(
    rows: list[Any], path: Path
) -> Iterator[tuple[tuple[Message, ...], tuple[str, ...]]]:
    for number, row in enumerate(rows, start=1):
        question, answers = row.get("question"), row.get("answers")
        texts = isinstance(answers, list) and all(isinstance(a, str) for a in answers)
        if not isinstance(question, str) or not answers or not texts:
            raise GroundupError(
                f"{path}, row {number}: expected a question and answers, a list of texts"
            )
        content = "\n\n".join(filter(None, (row.get("context"), question)))
        yield ({"role": "user", "content": content},), tuple(answers)


def _plain(messages: tuple[Message, ...]) -> str:
    return "".join(f"{m['role'].capitalize()}: {m['content']}\n" for m in messages) + "Assistant:"
