"""GSM8K: word problems of primary school, whose answer is one number."""

from decimal import Decimal, InvalidOperation
from pathlib import Path

import regex

from groundup.engine.conversation import Message
from groundup.errors import GroundupError
from groundup.evaluation.generation import GenerationTask, Question, Verdict
from groundup.tuning.data_file import read_rows

__all__ = ["flexible_answer", "gsm8k", "same_number", "strict_answer"]

# Without an example: a small model would repeat its number.
INSTRUCTION = "Solve the problem step by step. On the last line, write #### and the final number."
NUMBER = r"-?\$?\d[\d,]*(?:\.\d+)?|-?\$?\.\d+"
STRICT = regex.compile(rf"####\s*({NUMBER})")
FLEXIBLE = regex.compile(NUMBER)
CALCULATION = regex.compile(r"<<[^<>]*>>")  # what a calculator filled in, in the worked answers


def strict_answer(text: str) -> str | None:
    """The number behind the first ``####``, as the data's own answers have it; None without one."""
    found = STRICT.search(text)
    return None if found is None else found[1]


def flexible_answer(text: str) -> str | None:
    """The last number of a text, however it is announced; None where there is none."""
    found = FLEXIBLE.findall(text)
    return found[-1] if found else None


def same_number(found: str | None, expected: str) -> bool:
    """Whether two are equal as numbers: without thousands' commas, dollars and trailing zeros."""
    if found is None:
        return False
    try:
        return _number(found) == _number(expected)
    except InvalidOperation:
        return False


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", "").replace("$", ""))


def gsm8k(
    path: Path,
    *,
    limit: int | None = None,
    shots: int = 0,
    max_tokens: int = 320,
    chat: bool = True,
) -> GenerationTask:
    """The problems of a file with ``question`` and ``answer``, as GSM8K's own ``test.jsonl``.

    Args:
        path: of the file.
        limit: at most so many problems; None is all.
        shots: so many of the file's first problems are shown with their worked answers before each
            question, and are not asked.
        max_tokens: of one answer.
        chat: by the model's template, each shot a turn; False is one plain text.

    Returns:
        The task, with the metrics ``strict`` and ``flexible``.

    Raises:
        GroundupError: the file cannot be read, or a row's answer does not end in ``#### number``.

    Source: Cobbe et al. 2021, "Training verifiers to solve math word problems", section 2.
    """
    rows, digest = read_rows(path)
    problems = [_problem(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1)]
    shown, asked = problems[:shots], problems[shots:]
    turns: list[Message] = []
    text = ""
    for question, worked, _ in shown:
        turns.append({"role": "user", "content": f"{INSTRUCTION}\n\n{question}"})
        turns.append({"role": "assistant", "content": worked})
        text += f"Question: {question}\nAnswer: {worked}\n\n"
    questions = [
        Question(
            str(number),
            (*turns, {"role": "user", "content": f"{INSTRUCTION}\n\n{question}"}),
            f"{text}Question: {question}\nAnswer:",
            (expected,),
        )
        for number, (question, _, expected) in enumerate(asked, start=shots + 1)
    ]
    return GenerationTask(
        "gsm8k",
        questions[:limit],
        _judge,
        digest,
        max_tokens,
        chat=chat,
        stops=("\n\nQuestion:",),
    )


def _judge(question: Question, answer: str, chat: bool) -> Verdict:
    strict, flexible = strict_answer(answer), flexible_answer(answer)
    expected = question.expected[0]
    found = {"strict": strict, "flexible": flexible}
    scores = {metric: float(same_number(number, expected)) for metric, number in found.items()}
    return Verdict(scores, f"strict {strict}, flexible {flexible}")


def _problem(row: object, where: str) -> tuple[str, str, str]:
    """The question, the worked answer as a model should write it, and the number."""
    question, answer = (
        row.get(k) if isinstance(row, dict) else None for k in ("question", "answer")
    )
    if not isinstance(question, str) or not isinstance(answer, str):
        raise GroundupError(f"{where}: expected a question and a worked answer, as GSM8K has them")
    expected = strict_answer(answer)
    if expected is None:
        raise GroundupError(f"{where} has an answer without '#### number' at its end")
    return question.strip(), CALCULATION.sub("", answer), expected
