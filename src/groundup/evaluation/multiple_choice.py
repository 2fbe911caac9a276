"""Questions with given choices: the model's choice is the likeliest continuation."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.errors import GroundupError
from groundup.evaluation.likelihood import continuation_logprobs, encode_continuation
from groundup.evaluation.record import Record
from groundup.evaluation.subject import Subject
from groundup.evaluation.task import Score, mean_scores
from groundup.tuning.data_file import read_rows

__all__ = ["ChoiceQuestion", "MultipleChoice", "likeliest", "read_choice_questions"]


@dataclass(frozen=True)
class ChoiceQuestion:
    """A text, what may follow it, and what should."""

    text: str
    choices: tuple[str, ...]
    answer: int  # the place of the right choice


def likeliest(logprobs: Sequence[float], choices: Sequence[str]) -> tuple[int, int]:
    """The place of the likeliest choice, as a whole (acc) and by character (acc_norm).

    A long text is less likely than a short one, whatever it says; the mean over its characters is
    comparable, also between tokenizers. Of equals the first one is taken.

    Source: Biderman et al. 2024, "Lessons from the trenches on reproducible evaluation of language
    models", appendix A.2.
    """
    places = range(len(choices))
    plain = max(places, key=lambda i: logprobs[i])
    return plain, max(places, key=lambda i: logprobs[i] / len(choices[i]))


def read_choice_questions(path: Path) -> list[ChoiceQuestion]:
    """The questions of a file whose rows have ``question``, ``choices`` and ``answer``.

    ``choices`` is a list, in a CSV as JSON; ``answer`` is the right one's place, from 0, its letter
    (A, B, ...) or its text.

    Raises:
        GroundupError: the file cannot be read, or a row is of another form; names the row.
    """
    rows, _ = read_rows(path)
    return [_question(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]


def _question(row: Any, where: str) -> ChoiceQuestion:
    if not isinstance(row, dict) or not {"question", "choices", "answer"} <= set(row):
        got = ", ".join(map(str, row)) if isinstance(row, dict) else repr(row)[:40]
        raise GroundupError(f"{where} has {got}: expected question, choices and answer")
    text, choices, answer = row["question"], row["choices"], row["answer"]
    if isinstance(choices, str):
        with suppress(ValueError):  # told below
            choices = json.loads(choices)
    if not isinstance(text, str) or not isinstance(choices, list) or len(choices) < 2:
        raise GroundupError(f"{where}: expected a question and a list of at least two choices")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise GroundupError(
            f"{where} has the choices {choices}: expected texts, none of them empty"
        )
    if answer in choices:
        place = choices.index(answer)
    elif isinstance(answer, str) and len(answer) == 1 and answer.isalpha():
        place = ord(answer.upper()) - ord("A")
    else:
        place = int(answer) if str(answer).isdecimal() else -1
    if not 0 <= place < len(choices):
        raise GroundupError(
            f"{where} has the answer {answer!r}: expected one of the choices, or its place from 0 "
            f"to {len(choices) - 1}, or its letter"
        )
    return ChoiceQuestion(text, tuple(choices), place)


@dataclass(frozen=True)
class MultipleChoice:
    """`likeliest` choices of a file's questions, as shares that are right."""

    path: Path
    limit: int | None = None
    name: str = "multiple_choice"

    @cached_property
    def questions(self) -> list[ChoiceQuestion]:
        return read_choice_questions(self.path)[: self.limit]

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        return {"data": read_rows(self.path)[1], "limit": self.limit}

    @property
    def wanted(self) -> Sequence[tuple[str, int]]:
        return [(str(number), 0) for number in range(1, len(self.questions) + 1)]

    def run(self, subject: Subject, wanted: Sequence[tuple[str, int]]) -> Iterator[Record]:
        """Yield the records, in order."""
        with subject.adapted() as model:
            for item, sample in wanted:
                question = self.questions[int(item) - 1]
                pairs = [
                    encode_continuation(subject.tokenizer, question.text, f" {choice}")
                    for choice in question.choices
                ]
                context = pairs[0][0]
                logprobs = continuation_logprobs(model, context, [ids for _, ids in pairs])
                plain, by_character = likeliest(logprobs, question.choices)
                yield Record(
                    item,
                    sample,
                    question.text,
                    question.choices[by_character],
                    question.choices[question.answer],
                    {
                        "acc": float(plain == question.answer),
                        "acc_norm": float(by_character == question.answer),
                    },
                    note=", ".join(f"{logprob:.3f}" for logprob in logprobs),
                )

    def scores(self, records: Sequence[Record]) -> dict[str, Score]:
        return mean_scores(records)
