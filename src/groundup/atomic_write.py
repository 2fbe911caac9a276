"""Files that are there whole or not at all."""

import os
import tempfile
from pathlib import Path

__all__ = ["write_bytes", "write_text"]


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """``write_bytes`` of the text as UTF-8."""
    write_bytes(path, text.encode(), mode)


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file under a temporary name beside it, then rename it.

    Args:
        path: of the file.
        content: all of it.
        mode: who may read and write it. Until it is whole, its owner alone.

    Raises:
        OSError: the folder is not there, cannot be written, or the disk is full; ``path`` is then
            as it was before.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
