"""The different words of a corpus, and how often each occurs: what tokenizers are trained on."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import local

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError

from .pieces import Pieces
from .string_table import StringTable, grown

__all__ = ["WordCounts", "corpus_files", "count_words", "read_blocks"]

BLOCK = 1 << 20  # characters that are read at once


class WordCounts:
    """Words by index, and the count of each."""

    def __init__(self) -> None:
        self.words = StringTable()
        self._counts = np.zeros(1 << 10, np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """(words,)"""
        return self._counts[: len(self.words)]

    def add(self, words: Pieces, counts: NDArray[np.int64] | None = None) -> None:
        """Count words, each once or as often as ``counts`` says."""
        known = len(self.words)
        indices = self.words.intern(words.codes, words.starts, words.ends)
        self._counts = grown(self._counts, len(self.words))
        self._counts[known : len(self.words)] = 0
        n = len(self.words)
        if counts is None:
            self._counts[:n] += np.bincount(indices, minlength=n)
        else:
            np.add.at(self._counts, indices, counts)

    def merge(self, other: "WordCounts") -> None:
        """Add the words of another count."""
        ends = other.words.ends
        self.add(Pieces(other.words.codes, ends[:-1], ends[1:]), other.counts)


def count_words(
    blocks: Iterable[str], cut: Callable[[str], Pieces], threads: int = 1
) -> WordCounts:
    """Cut texts into words and count them, in several threads.

    At most two blocks for each thread are held at a time.
    """
    own = local()
    parts: list[WordCounts] = []

    def count(block: str) -> None:
        if not hasattr(own, "counts"):
            own.counts = WordCounts()
            parts.append(own.counts)
        own.counts.add(cut(block))

    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for block in blocks:
            waiting.append(pool.submit(count, block))
            if len(waiting) > 2 * threads:
                waiting.popleft().result()
        for future in waiting:
            future.result()
    total = parts[0] if parts else WordCounts()
    for part in parts[1:]:
        total.merge(part)
    return total


def corpus_files(path: Path, pattern: str = "*") -> list[Path]:
    """The file itself, or the files of a folder and those below it whose names fit a pattern.

    Hidden ones are left out. Raises: GroundupError if there is none.
    """
    if path.is_file():
        return [path]
    found = [
        file
        for file in sorted(path.rglob(pattern))
        if file.is_file() and not any(p.startswith(".") for p in file.relative_to(path).parts)
    ]
    if not found:
        what = f"holds no file that fits {pattern!r}" if path.is_dir() else "does not exist"
        raise GroundupError(f"{path} {what}, expected a text file or a folder of text files")
    return found


def read_blocks(files: Iterable[Path], advance: Callable[[int], None]) -> Iterator[str]:
    """The text of files, a block of whole lines at a time; ``advance`` is told of the bytes read.

    Raises: GroundupError naming the file that is not UTF-8.
    """
    for path in files:
        with path.open(encoding="utf-8", newline="") as file:
            try:
                while block := file.read(BLOCK):
                    block += file.readline(BLOCK)
                    advance(len(block.encode()))
                    yield block
            except UnicodeDecodeError as error:
                raise GroundupError(
                    f"{path} is not UTF-8 ({error.reason}: byte {error.object[error.start]:#04x}), "
                    "expected text files in UTF-8; convert it, or leave it out with --files"
                ) from None
