"""What models are called where there is little room."""

__all__ = ["short_name"]


def short_name(model: str) -> str:
    """A file's name without its folder and end; a hub id without its owner."""
    return model.rstrip("/").rpartition("/")[2].removesuffix(".gguf")
