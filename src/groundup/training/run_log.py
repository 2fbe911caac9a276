"""What a training measures, a line for each step, as JSON and as CSV."""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from groundup.atomic_write import write_text
from groundup.errors import GroundupError

__all__ = ["RunLog", "read_log"]

COLUMNS = ("step", "tokens", "seconds", "loss", "validation_loss", "learning_rate",
           "gradient_norm", "tokens_per_second", "reward", "divergence", "mismatch")  # fmt: skip


class RunLog:
    """Appends to ``log.jsonl`` and ``log.csv``; lines of steps that are done again are dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        """Go on after ``step`` steps; the folder is made where it is missing.

        Raises:
            GroundupError: the files cannot be written.
        """
        self.folder = folder
        kept = [line for line in read_log(folder) if line["step"] <= step]
        self.seconds = kept[-1]["seconds"] if kept else 0.0
        with self._explained():
            folder.mkdir(parents=True, exist_ok=True)
            write_text(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in kept))
            self.jsonl = (folder / "log.jsonl").open("a", encoding="utf-8")
            self.csv = (folder / "log.csv").open("w", encoding="utf-8", newline="")
            self.writer = csv.DictWriter(self.csv, COLUMNS)
            self.writer.writeheader()
            self.writer.writerows(kept)

    def write(self, line: Mapping[str, float]) -> dict[str, float]:
        """Add a line, whose entries are among `COLUMNS`, and return what was written.

        ``seconds`` of the line are the step's; those that are written, since the first step.

        Raises:
            GroundupError: it cannot be written: the disk is full.
        """
        self.seconds += line["seconds"]
        written = {**line, "seconds": self.seconds}
        with self._explained():
            self.jsonl.write(json.dumps(written) + "\n")
            self.jsonl.flush()
            self.writer.writerow(written)
            self.csv.flush()
        return written

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise GroundupError(
                f"cannot write the log in {self.folder}: {error.strerror}; make room on the disk "
                "and run the same command again"
            ) from None

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in (self.jsonl, self.csv):
            with suppress(OSError):  # of a full disk, which was told when the line was written
                file.close()


def read_log(folder: Path) -> list[dict[str, float]]:
    """The whole lines of a training's log; one that a killed process left half is passed over."""
    path = folder / "log.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text("utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]
