"""Tasks in which the model writes: questions, answers in batches, and how they are scored."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from groundup.engine.conversation import Message
from groundup.engine.request import Request
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.evaluation.record import Record
from groundup.evaluation.subject import ADAPTER, Subject
from groundup.evaluation.task import Score, mean_scores

__all__ = ["GenerationTask", "Question", "Verdict", "cut"]


@dataclass(frozen=True)
class Question:
    """What is asked: as a conversation, and as plain text for models without a chat template."""

    id: str
    messages: tuple[Message, ...]
    text: str
    expected: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """How an answer is scored."""

    scores: Mapping[str, float]
    note: str = ""


@dataclass(frozen=True)
class GenerationTask:
    """Questions whose answers the model writes; the engine in a batch that is refilled."""

    name: str
    questions: Sequence[Question]
    judge: Callable[[Question, str, bool], Verdict]  # is told whether it was asked by chat
    data: str  # the SHA-256 of what the questions are from
    max_tokens: int
    chat: bool = True  # where the model has a template
    stops: tuple[str, ...] = ()  # plain text ends before them; a chat ends by its own token
    samples: int = 1
    temperature: float = 0.0
    seed: int = 0
    combine: Callable[[Sequence[Record]], dict[str, Score]] = mean_scores

    def __post_init__(self) -> None:
        if not self.questions:
            raise GroundupError(f"{self.name} has no questions: raise --limit or lower --shots")
        if self.samples > 1 and not self.temperature:
            raise GroundupError(
                f"{self.samples} samples at temperature 0 are all the same: give --temperature 0.8"
            )

    @property
    def settings(self) -> Mapping[str, Any]:
        return {
            "data": self.data, "questions": self._digest, "max_tokens": self.max_tokens,
            "chat": self.chat, "samples": self.samples, "temperature": self.temperature,
            "seed": self.seed,
        }  # fmt: skip

    @property
    def wanted(self) -> Sequence[tuple[str, int]]:
        return [(q.id, sample) for q in self.questions for sample in range(self.samples)]

    @cached_property
    def _digest(self) -> str:
        """Of all that is asked: another wording has other answers."""
        whole = json.dumps([asdict(question) for question in self.questions])
        return hashlib.sha256(whole.encode()).hexdigest()

    @cached_property
    def _by_id(self) -> dict[str, Question]:
        return {question.id: question for question in self.questions}

    def scores(self, records: Sequence[Record]) -> dict[str, Score]:
        return self.combine(records)

    def run(self, subject: Subject, wanted: Sequence[tuple[str, int]]) -> Iterator[Record]:
        """Yield each record when its answer has ended.

        Raises:
            GroundupError: a prompt is longer than the model reads; names the question.
        """
        engine, tokenizer = subject.engine, subject.tokenizer
        chat = self.chat and tokenizer.chat_template is not None
        stops = () if chat else self.stops
        places = {(q.id, s): i for i, (q, s) in enumerate(self._all())}
        adapter = None if subject.lora is None else ADAPTER
        for key, (item, sample) in enumerate(wanted):
            question = self._by_id[item]
            ids = tokenizer.encode_chat(question.messages) if chat else (
                tokenizer.encode(question.text)
            )  # fmt: skip
            params = SamplingParams(self.temperature, seed=self.seed + places[item, sample])
            try:
                engine.add(
                    key,
                    Request(
                        tuple(ids), params, self.max_tokens, tokenizer.eos_ids, adapter=adapter
                    ),
                )
            except GroundupError as error:
                for begun in range(key):
                    engine.cancel(begun)
                raise GroundupError(f"{self.name}, question {item}: {error}") from None
        streams = {key: tokenizer.stream() for key in range(len(wanted))}
        texts = dict.fromkeys(streams, "")
        try:
            while streams:
                for key, token in engine.step():
                    if key not in streams:
                        continue  # what came behind a stop, in the step that found it
                    ended = token.finish_reason is not None
                    if token.finish_reason != "stop":
                        texts[key] += streams[key].push(token.id)
                    if ended:
                        texts[key] += streams[key].finish()
                    text = cut(texts[key], stops)
                    if not ended and text == texts[key]:
                        continue
                    engine.cancel(key)
                    del streams[key], texts[key]
                    item, sample = wanted[key]
                    question = self._by_id[item]
                    verdict = self.judge(question, text, chat)
                    asked = question.messages[-1]["content"] if chat else question.text
                    yield Record(
                        item, sample, asked, text, " | ".join(question.expected),
                        verdict.scores, note=verdict.note,
                    )  # fmt: skip
        finally:  # interrupted: the engine serves the next task
            for key in streams:
                engine.cancel(key)

    def _all(self) -> list[tuple[Question, int]]:
        return [(q, sample) for q in self.questions for sample in range(self.samples)]


def cut(text: str, stops: Sequence[str]) -> str:
    """What stands before the first of the stops."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))]
