"""Perplexity as a task: the documents of a file, each read by a sliding window."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from groundup.engine.generate import positions_before
from groundup.errors import GroundupError
from groundup.evaluation.perplexity import perplexity
from groundup.evaluation.record import Record
from groundup.evaluation.subject import Subject
from groundup.evaluation.task import Score, mean_scores
from groundup.models.download import sha256_of
from groundup.tuning.data_file import read_data_file

__all__ = ["TextPerplexity"]

CONTEXT = 1024  # of a window, where nothing else is said and the model reads as much
BEGINNING = 200  # characters of a document that its record shows


@dataclass(frozen=True)
class TextPerplexity:
    """The metrics ``perplexity`` of a token and ``bits_per_byte``, which does not depend on tokens.

    Records hold logarithms: nats a token, weighted by tokens.
    """

    path: Path  # .txt or .md: one document; else as `read_data_file` takes it, with `text`
    context: int | None = None
    stride: int | None = None  # half the context
    limit: int | None = None
    name: str = "perplexity"

    @cached_property
    def documents(self) -> list[str]:
        """The texts.

        Raises:
            GroundupError: the file cannot be read, or holds something else.
        """
        if self.path.suffix.lower() in (".txt", ".md"):
            try:
                return [self.path.read_text("utf-8")]
            except OSError as error:
                raise GroundupError(f"cannot read {self.path}: {error.strerror}") from None
            except UnicodeDecodeError:
                raise GroundupError(f"{self.path} is not UTF-8 text: save it as UTF-8") from None
        file = read_data_file(self.path)
        if file.form != "text":
            raise GroundupError(
                f"{self.path} is of the form {file.form!r}: perplexity expects rows with a text"
            )
        return [example.text for example in file.examples][: self.limit]

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        data = sha256_of(self.path)
        return {"data": data, "context": self.context, "stride": self.stride, "limit": self.limit}

    @property
    def wanted(self) -> Sequence[tuple[str, int]]:
        return [(str(number), 0) for number in range(1, len(self.documents) + 1)]

    def run(self, subject: Subject, wanted: Sequence[tuple[str, int]]) -> Iterator[Record]:
        """Yield the records, in order.

        Raises:
            GroundupError: as `perplexity`; names the document.
        """
        room = subject.model.config.context - positions_before(subject.model)
        context = self.context or min(CONTEXT, room)
        stride = self.stride or max(1, context // 2)
        with subject.adapted() as model:
            for item, sample in wanted:
                text = self.documents[int(item) - 1]
                ids = subject.tokenizer.encode(text, special=False)
                try:
                    found = perplexity(model, ids, context=context, stride=stride)
                except GroundupError as error:
                    raise GroundupError(f"document {item} of {self.path}: {error}") from None
                size = len(text.encode("utf-8", "replace"))
                yield Record(
                    item,
                    sample,
                    text[:BEGINNING],
                    "",
                    "",
                    {"perplexity": found.loss, "bits_per_byte": found.bits_per_byte(size)},
                    {"perplexity": found.tokens, "bits_per_byte": size},
                    note=f"perplexity {math.exp(min(found.loss, 700)):.3f}",
                )

    def scores(self, records: Sequence[Record]) -> dict[str, Score]:
        return mean_scores(records)
