"""What a task is: items, and a way to measure a model on each of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from groundup.evaluation.record import Record, RecordLog
from groundup.evaluation.subject import Subject

__all__ = ["Score", "Task", "evaluate", "mean_scores"]


class Score(NamedTuple):
    """What one item counts in a metric."""

    value: float
    weight: float = 1.0


class Task(Protocol):
    """Something to measure models by."""

    @property
    def name(self) -> str: ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that the answers depend on besides the model; the data by its hash."""

    @property
    def wanted(self) -> Sequence[tuple[str, int]]:
        """Each item's id, once for each sample of it: (id, 0), (id, 1), ..."""

    def run(self, subject: Subject, wanted: Sequence[tuple[str, int]]) -> Iterator[Record]:
        """Yield the record of each that is wanted, in any order."""

    def scores(self, records: Sequence[Record]) -> dict[str, Score]:
        """An item's score in each metric, from the records of its samples."""


def mean_scores(records: Sequence[Record]) -> dict[str, Score]:
    """The scores' means over an item's samples."""
    return {
        metric: Score(
            sum(r.scores[metric] for r in records) / len(records),
            records[0].weights.get(metric, 1.0),
        )
        for metric in records[0].scores
    }


def evaluate(
    subject: Subject,
    task: Task,
    folder: Path,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Record], Path]:
    """Measure a model by a task, going on from what the folder's file has of it already.

    However it ends, each answer that was finished is kept, and is not asked for again.

    Args:
        subject: the model.
        task: what it is asked.
        folder: where a file for these two is kept; other settings have another file.
        report: is told how many records there are, and of how many.

    Returns:
        All records, in the task's order, and the file.

    Raises:
        GroundupError: as the task, and `RecordLog`.
    """
    settings = {"model": subject.sha256, "task": task.name, **task.settings}
    digest = RecordLog.digest(settings)
    log = RecordLog(folder / f"{subject.name}-{task.name}-{digest}.jsonl", settings)
    try:
        there = {(r.item, r.sample) for r in log.records}
        missing = [key for key in task.wanted if key not in there]
        report(len(task.wanted) - len(missing), len(task.wanted))
        for record in task.run(subject, missing) if missing else ():
            log.add(record)
            report(len(log.records), len(task.wanted))
    finally:
        log.close()
    by_key = {(r.item, r.sample): r for r in log.records}
    return [by_key[key] for key in task.wanted], log.path
