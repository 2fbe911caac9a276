"""What came of one item of a task: plain data, a line of JSON."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from groundup.errors import GroundupError

__all__ = ["Record", "RecordLog"]


@dataclass(frozen=True)
class Record:
    """One answer and its scores."""

    item: str  # of the task: the question or the document
    sample: int  # 0, or which of several answers to it
    prompt: str
    answer: str
    expected: str
    scores: Mapping[str, float]  # by metric
    weights: Mapping[str, float] = field(default_factory=dict)  # by metric, where it is not 1
    note: str = ""  # why it is wrong, or what was taken for the answer


class RecordLog:
    """The records of one task and one model, appended to a file as they come.

    Its first line says what was asked of whom. A file with another first line is of something else
    and is refused; a last line that a killed process left half is dropped.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Open the file, or begin it; the folder is made where it is missing.

        Raises:
            GroundupError: the file is of other settings, damaged, or cannot be written.
        """
        self.path = path
        header = json.dumps(settings, sort_keys=True, default=str)
        self.records: list[Record] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            whole = path.read_bytes() if path.exists() else b""
            whole = whole[: whole.rfind(b"\n") + 1]
            first, *lines = whole.decode().splitlines() if whole else [header]
            if first != header:
                raise GroundupError(
                    f"{path} holds the answers of another evaluation: name another --out, or "
                    "delete it"
                )
            self.records = [Record(**json.loads(line)) for line in lines]
            self._file: IO[bytes] = path.open("r+b" if whole else "w+b")
            self._file.truncate(len(whole))
            self._file.seek(len(whole))
            if not whole:
                self._write(header)
        except OSError as error:
            raise GroundupError(
                f"cannot write {path}: {error.strerror}; name another --out"
            ) from None
        except (ValueError, TypeError) as error:
            if isinstance(error, GroundupError):
                raise
            raise GroundupError(f"{path} is damaged ({error}): delete it") from None

    @staticmethod
    def digest(settings: Mapping[str, Any]) -> str:
        """Eight characters that stand for settings in a file's name."""
        text = json.dumps(settings, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def add(self, record: Record) -> None:
        """Append a record; once this returns, it is on the disk.

        Raises:
            GroundupError: the disk is full.
        """
        try:
            self._write(json.dumps(asdict(record), ensure_ascii=False))
        except OSError as error:
            raise GroundupError(
                f"cannot write {self.path}: {error.strerror}; make room and run the same command "
                "again: it goes on from here"
            ) from None
        self.records.append(record)

    def close(self) -> None:
        self._file.close()

    def _write(self, line: str) -> None:
        self._file.write(line.encode("utf-8", "replace") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
