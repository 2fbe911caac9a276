"""Small interactive pictures: each belongs to a part, and is computed by the library itself."""

import importlib
import pkgutil
from functools import cache

from groundup.app.picture import Picture

__all__ = ["find_pictures"]


@cache
def find_pictures() -> dict[str, Picture]:
    """All pictures, by the part's id. A file of this folder that defines ``PICTURE`` is one."""
    found: dict[str, Picture] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        picture = getattr(importlib.import_module(module.name), "PICTURE", None)
        if isinstance(picture, Picture):
            found[picture.part] = picture
    return found
