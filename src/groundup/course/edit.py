"""A learner's file that several programs edit: no one writes over what another one wrote.

Whoever edits says which version their text began from. If the file holds another one by now,
nothing is written, and both texts are there to choose from.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from groundup.atomic_write import write_text
from groundup.errors import GroundupError

__all__ = ["EditConflictError", "Edition", "keep_aside", "read_edition", "save_edition"]

LONGEST = 1_000_000  # characters; a part has a few thousand


@dataclass(frozen=True)
class Edition:
    """A file's text, and the name of this version of it."""

    text: str
    version: str  # the hash of its bytes


class EditConflictError(Exception):
    """The file has changed since the version that a text began from."""

    def __init__(self, theirs: Edition) -> None:
        super().__init__("the file was changed elsewhere meanwhile")
        self.theirs = theirs  # what the file holds


def read_edition(file: Path) -> Edition | None:
    """What the file holds; None if it is not there.

    Raises:
        GroundupError: it cannot be read, or is not text.
    """
    try:
        content = file.read_bytes()
        return Edition(content.decode(), hashlib.sha256(content).hexdigest())
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise GroundupError(f"{file} is not text in UTF-8: open and save it as that") from None
    except OSError as error:
        raise GroundupError(f"cannot read {file}: {error.strerror}") from None


def save_edition(file: Path, text: str, base: str) -> Edition:
    """Write a text that began from the version ``base``.

    A file that is gone is written anew: nothing is lost by that. On return the text is there whole.

    Raises:
        EditConflictError: the file holds another version, and another text. It is left as it is.
        GroundupError: the text is too long, or the file cannot be written.
    """
    if len(text) > LONGEST:
        raise GroundupError(f"{len(text):,} characters: a part may have at most {LONGEST:,}")
    now = read_edition(file)
    if now is not None and now.text == text:
        return now
    if now is not None and now.version != base:
        raise EditConflictError(now)
    try:
        file.parent.mkdir(exist_ok=True)
        write_text(file.resolve(), text)
    except OSError as error:
        raise GroundupError(f"cannot write {file}: {error.strerror}") from None
    return Edition(text, hashlib.sha256(text.encode()).hexdigest())


def keep_aside(backups: Path, name: str, text: str) -> Path:
    """Put a text that lost, or may lose, into a folder.

    Returns:
        Its file: ``attention-20260105-093000-000001.py``.

    Raises:
        GroundupError: it cannot be written.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    file = backups / f"{name}-{stamp}.py"
    try:
        backups.mkdir(exist_ok=True)
        write_text(file, text)
    except OSError as error:
        raise GroundupError(f"cannot write {file}: {error.strerror}") from None
    return file
