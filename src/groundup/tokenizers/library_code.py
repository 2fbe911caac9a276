"""Whether a module is the library's, or a learner's that is swapped in."""

from pathlib import Path
from types import ModuleType

__all__ = ["is_library_code"]


def is_library_code(module: ModuleType) -> bool:
    """True for a module of this folder; its compiled twin may then take its place."""
    return Path(module.__file__ or "").parent == Path(__file__).parent
