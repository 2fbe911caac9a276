"""Small interactive pictures: each belongs to a part, and is computed by the library itself."""

import importlib
import pkgutil
from functools import cache

from groundup.app.picture import Picture

__all__ = ["find_pictures"]


@cache
def find_pictures() -> dict[str, tuple[str, Picture]]:
    """By the part's id: the name of the picture's file, and the picture.

    A file of this folder that defines ``PICTURE`` is one.
    """
    found: dict[str, tuple[str, Picture]] = {}
    for module in pkgutil.iter_modules(__path__):
        picture: Picture = importlib.import_module(f"{__name__}.{module.name}").PICTURE
        found[picture.part] = (module.name, picture)
    return found
