"""Which models a chat can be had with, and what they are called where there is little room."""

from groundup.models.fetch import PACKAGED_MODELS, is_fetched

__all__ = ["local_models", "short_name"]


def local_models(first: str) -> list[str]:
    """The model that the app was started with, and the packaged ones that are here."""
    here = [name for name, model in PACKAGED_MODELS.items() if is_fetched(model)]
    return list(dict.fromkeys([first, *here]))


def short_name(model: str) -> str:
    """A file's name without its folder and end; a hub id without its owner."""
    return model.rstrip("/").rpartition("/")[2].removesuffix(".gguf")
