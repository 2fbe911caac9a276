"""What ``groundup doctor`` looks at."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from groundup.errors import GroundupError
from groundup.home import home

__all__ = ["diagnoses"]

FREE_BYTES = 2 << 30


def diagnoses() -> Iterator[tuple[str, str | None, str]]:
    """Yield what was looked at, what is wrong with it (None: nothing), and what to do."""
    for name, look, advice in (
        ("Python", _python, "Make the environment anew with Python 3.11 or later"),
        ("PyTorch", _torch, "Reinstall with `pip install --force-reinstall torch`"),
        ("the cache folder", _cache, "Name another with the environment variable GROUNDUP_HOME"),
        ("the default model", _model, "Fetch it with `groundup models pull`"),
        ("the workspace", _workspace, "Make one with `groundup init`"),
        ("the swapped parts", _swaps, "The reference serves in their place until they pass again"),
        ("the grader", _grader, "Remove that folder or file and try again"),
    ):
        yield name, look(), advice


def _python() -> str | None:
    return None if sys.version_info >= (3, 11) else f"this is Python {sys.version.split()[0]}"


def _torch() -> str | None:
    try:
        import torch
    except (ImportError, OSError) as error:
        return f"it cannot be imported: {error}"
    return None if torch.ones(2).sum().item() == 2 else "it adds wrongly"


def _cache() -> str | None:
    folder = home()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror}"
    free = shutil.disk_usage(folder).free
    return None if free > FREE_BYTES else f"{folder} has only {free / 1e9:.1f} GB free"


def _model() -> str | None:
    from groundup.models.fetch import DEFAULT_MODEL, PACKAGED_MODELS, is_fetched

    fetched = is_fetched(PACKAGED_MODELS[DEFAULT_MODEL])
    return None if fetched else f"{DEFAULT_MODEL} is not here, or damaged"


def _workspace() -> str | None:
    from groundup.course.workspace import find_workspace

    return _message(lambda: None if find_workspace() else "there is none here or above")


def _swaps() -> str | None:
    from groundup.course.swap import find_swaps
    from groundup.course.workspace import find_workspace

    return _message(lambda: "; ".join(find_swaps(find_workspace()).problems) or None)


def _grader() -> str | None:
    """Grades the reference of one part, from start to end."""
    import tempfile

    from groundup.course.grader.client import grade
    from groundup.course.parts.table import PARTS

    part = next(iter(PARTS.values()))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{part.stem}.py"
        shutil.copy(part.reference, file)
        return _message(lambda: next((r.message for r in grade(part, file) if not r.passed), None))


def _message(look: Callable[[], str | None]) -> str | None:
    """What a look finds, or the error that it ends with."""
    try:
        return look()
    except GroundupError as error:
        return str(error)
