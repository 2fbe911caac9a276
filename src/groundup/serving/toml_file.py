"""A TOML file that people write, read into a type, or an error that says where it is wrong."""

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from groundup.errors import GroundupError

__all__ = ["read_toml"]

T = TypeVar("T")
PLACE = re.compile(r" - at `(key in )?\$?\.?([^`]*)`$")  # in msgspec's messages
FIELD = re.compile(r"(?:unknown|missing required) field (.*)")


def read_toml(path: Path, kind: type[T]) -> T:
    """The file's content.

    Args:
        path: of the file.
        kind: a msgspec struct; what it does not name is an error.

    Raises:
        GroundupError: the file cannot be read, is not TOML, or is not of the kind. The message
            names the file, the key, what was got and what was expected.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GroundupError(f"cannot read {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GroundupError(f"{path} is not TOML: {error}") from None
    try:
        return msgspec.convert(document, kind)
    except msgspec.ValidationError as error:
        raise GroundupError(f"{path}: {_explained(str(error), document)}") from None


def _explained(message: str, document: Any) -> str:
    place = PLACE.search(message)
    where = place[2] if place and not place[1] else ""
    message = PLACE.sub("", message).replace("`", "")
    if field := FIELD.search(message):
        within = f" in {where}" if where else ""
        if "unknown" in message:
            return f"there is no key {field[1]!r}{within}: correct its name, or leave it out"
        return f"the key {field[1]!r} is missing{within}"
    said = message[0].lower() + message[1:]
    if where and "[...]" not in where:  # [...] stands for a key of any name
        said = f"{said.partition(', got')[0]}, got {_value_at(document, where)!r}"
    return f"{where or 'the file'}: {said}"


def _value_at(document: Any, where: str) -> Any:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", where):
        document = document[int(index)] if index else document[name]
    return document
