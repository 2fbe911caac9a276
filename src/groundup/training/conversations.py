"""Questions and answers that documentation holds: what a manual page or a module is for."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from groundup.training.corpus import MAN_PAGE, Piece, read_piece

__all__ = ["conversations", "questions_about_command", "questions_about_module"]

# As man_text writes the section: "NAME ls - list directory contents".
NAME = re.compile(r"^NAME ([\w.+-]+)(?:, [^-]*)? (?:--?|—) (\S.*)$", re.MULTILINE)
MODULE = re.compile(r"^\.\. module:: (\S+)\n(?:   :.*\n)*?   :synopsis: (\S.*)$", re.MULTILINE)
LONGEST = 120  # characters of an answer: a first sentence, not a page

Turns = list[dict[str, str]]


def conversations(documents: Iterable[Path]) -> Iterator[Turns]:
    """Each question that a manual page or a page of Python's documentation answers.

    Raises:
        GroundupError: a document cannot be read.
    """
    for path in documents:
        text = read_piece(Piece(path, 0, -1, last=True))
        pairs = questions_about_command(text) if MAN_PAGE.search(path.name) else []
        for question, answer in pairs or questions_about_module(text):
            yield [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]


def questions_about_command(page: str) -> list[tuple[str, str]]:
    """From the text of a manual page."""
    found = NAME.search(page)
    if found is None or len(found[2]) > LONGEST:
        return []
    name, purpose = found[1], found[2].strip().rstrip(".")
    answer = f"{name}: {purpose}."
    return [
        (f"What does {name} do?", answer),
        (f"What is {name}?", answer),
        (f"What is the command {name} for?", answer),
    ]


def questions_about_module(source: str) -> list[tuple[str, str]]:
    """From the source of a page of Python's documentation."""
    pairs = []
    for name, synopsis in MODULE.findall(source):
        answer = f"{name}: {synopsis.strip().rstrip('.')}."
        pairs += [
            (f"What is Python's module {name} for?", answer),
            (f"What does the module {name} do?", answer),
        ]
    return pairs
