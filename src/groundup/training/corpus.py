"""Documents of a corpus: which files, what is their text, which of them are held out."""

import gzip
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groundup.errors import GroundupError
from groundup.training.data_order import shuffled
from groundup.training.html_text import html_text
from groundup.training.man_page import man_text

__all__ = ["MAN_PAGE", "Piece", "cut", "find_documents", "hold_out", "read_piece"]

MAN_PAGE = re.compile(r"\.[1-8][a-z]*(\.gz)?$")
HTML = (".html", ".htm")
PLAIN = (".txt", ".md", ".rst", ".tex", ".py", ".c", ".h", ".rs", ".go", ".js", ".ts", ".java")
PIECE_BYTES = 8 << 20  # what one process tokenises at a time
HELD_OUT = 10  # one document in so many, or so large a part of a few


@dataclass(frozen=True)
class Piece:
    """Some of a document: the bytes from ``start`` to ``stop`` of its text in UTF-8."""

    path: Path
    start: int
    stop: int
    last: bool  # of its document: an end-of-text token follows


def find_documents(sources: Iterable[Path]) -> list[Path]:
    """The files that are named, and those in the folders that are named, in a fixed order.

    In a folder, files count whose names end as text, source code, HTML or manual pages do; hidden
    ones and links do not. A file that is named counts whatever its name.

    Raises:
        GroundupError: a source is not there, or nothing was found.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if source.is_file():
            found[source] = None
        elif source.is_dir():
            inside = (p for p in sorted(source.rglob("*")) if _is_text(p.relative_to(source)))
            found |= dict.fromkeys(p for p in inside if p.is_file() and not p.is_symlink())
        else:
            raise GroundupError(f"there is no {source}: name a text file, or a folder of them")
    if not found:
        named = ", ".join(map(str, sources))
        raise GroundupError(
            f"{named} holds no documents: expected files that end in {', '.join(PLAIN[:3])}, "
            ".html or as manual pages do (ls.1.gz)"
        )
    return list(found)


def _is_text(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and (path.suffix in (*PLAIN, *HTML) or bool(MAN_PAGE.search(path.name)))


def _bytes_of(path: Path) -> bytes:
    """The text of a file that is not plain, in UTF-8."""
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise GroundupError(f"cannot read {path}: {error}") from None
    text = _decoded(raw, path)
    return (html_text(text) if path.suffix in HTML else man_text(text)).encode()


def _decoded(raw: bytes, path: Path, start: int = 0) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise GroundupError(
            f"{path} is not UTF-8: byte {start + error.start:,} is 0x{raw[error.start]:02x}; "
            "convert it (iconv -f latin1 -t utf-8), or leave it out"
        ) from None


def _plain_file(path: Path) -> bool:
    return path.suffix not in HTML and not MAN_PAGE.search(path.name)


def hold_out(documents: Sequence[Path], seed: int = 0) -> tuple[list[Piece], list[Piece]]:
    """What is trained on, and what is held out for validation.

    Of ten documents or more, one in ten is held out, by a shuffled order; of fewer, the last tenth
    of each. Empty documents are left out.

    Raises:
        GroundupError: a document cannot be read.
    """
    training: list[Piece] = []
    validation: list[Piece] = []
    if len(documents) >= HELD_OUT:
        places = shuffled(np.arange(len(documents)), len(documents), seed)
        for path, place in zip(documents, places, strict=True):
            (training if place % HELD_OUT else validation).append(Piece(path, 0, -1, True))
        return training, validation
    for path in documents:
        size = path.stat().st_size if _plain_file(path) else len(_bytes_of(path))
        if size:
            border = _character_border(path, size - size // HELD_OUT)
            training.append(Piece(path, 0, border, last=False))
            validation.append(Piece(path, border, size, last=True))
    return training, validation


def cut(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Groups of pieces of about `PIECE_BYTES`; large plain files are cut between lines."""
    group: list[Piece] = []
    weight = 0
    for piece in pieces:
        for part in _cut_one(piece):
            size = part.path.stat().st_size if part.stop < 0 else part.stop - part.start
            group.append(part)
            weight += size
            if weight >= PIECE_BYTES:
                yield group
                group, weight = [], 0
    if group:
        yield group


def _cut_one(piece: Piece) -> Iterator[Piece]:
    if not _plain_file(piece.path):
        yield piece
        return
    stop = piece.path.stat().st_size if piece.stop < 0 else piece.stop
    start = piece.start
    with piece.path.open("rb") as file:
        while stop - start > PIECE_BYTES * 3 // 2:
            file.seek(start)
            # After the last line break; in a text without any, between two characters.
            border = file.read(PIECE_BYTES).rfind(b"\n") + 1
            after = start + border if border else _character_border(piece.path, start + PIECE_BYTES)
            yield Piece(piece.path, start, after, last=False)
            start = after
    yield Piece(piece.path, start, stop, piece.last)


def _character_border(path: Path, at: int) -> int:
    """``at``, or up to three bytes later, where a character begins."""
    if _plain_file(path):
        with path.open("rb") as file:
            file.seek(at)
            following = file.read(4)
    else:
        following = _bytes_of(path)[at : at + 4]
    continued = 0
    while continued < min(3, len(following)) and following[continued] & 0xC0 == 0x80:
        continued += 1
    return at + continued


def read_piece(piece: Piece) -> str:
    """The text of a piece.

    HTML and manual pages are read without their marks.

    Raises:
        GroundupError: the file cannot be read, or is not UTF-8; says at which byte.
    """
    if not _plain_file(piece.path):
        raw = _bytes_of(piece.path)
        return raw[piece.start : len(raw) if piece.stop < 0 else piece.stop].decode()
    try:
        with piece.path.open("rb") as file:
            file.seek(piece.start)
            raw = file.read(-1 if piece.stop < 0 else piece.stop - piece.start)
    except OSError as error:
        raise GroundupError(f"cannot read {piece.path}: {error.strerror}") from None
    return _decoded(raw, piece.path, piece.start)
