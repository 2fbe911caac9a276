"""API keys with limits and budgets: a file that holds their hashes, and never a key itself."""

import secrets
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from groundup.atomic_write import write_text
from groundup.errors import GroundupError
from groundup.home import home
from groundup.serving.toml_file import read_toml

__all__ = [
    "ApiKey",
    "default_key_file",
    "digest_of",
    "new_key",
    "read_keys",
    "write_keys",
]

Amount = Annotated[int, Meta(ge=1, le=10**15)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]

HEAD = """\
# API keys of groundup serve and groundup gateway: hashes and limits. groundup keys writes this
# file. Limits may be changed by hand; servers that run take changes up within a second or two.
"""


class ApiKey(Struct, frozen=True, forbid_unknown_fields=True):
    """One key. What is None is not limited."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]  # of the key
    requests_per_minute: Amount | None = None
    tokens_per_minute: Amount | None = None
    request_budget: Amount | None = None  # in each period
    token_budget: Amount | None = None  # of prompts and answers together, in each period
    period: Annotated[str, Meta(pattern="^(day|month|total)$")] = "month"  # in UTC
    created: str = ""


class _File(Struct, forbid_unknown_fields=True):
    keys: dict[Name, ApiKey] = {}


def default_key_file() -> Path:
    """The file that is used where none is named."""
    return home() / "keys.toml"


def digest_of(key: bytes) -> str:
    """What is kept of a key.

    A key has 256 random bits, so nothing slower than SHA-256 is needed to keep it secret.
    """
    return sha256(key).hexdigest()


def new_key() -> tuple[str, str]:
    """A new key, and its digest."""
    key = f"gu-{secrets.token_urlsafe(32)}"
    return key, digest_of(key.encode())


def read_keys(path: Path) -> dict[str, ApiKey]:
    """The keys of a file, by name.

    Raises:
        GroundupError: it cannot be read or is not such a file, or two names have one key.
    """
    keys = read_toml(path, _File).keys
    names: dict[str, str] = {}
    for name, key in keys.items():
        if (other := names.setdefault(key.sha256, name)) != name:
            raise GroundupError(f"{path}: {other} and {name} are the same key: remove one of them")
    return keys


def write_keys(path: Path, keys: dict[str, ApiKey]) -> None:
    """Write the file, whole or not at all.

    Raises:
        GroundupError: it cannot be written, or a name is not of letters, digits, - and _.
    """
    lines = [HEAD]
    for name, key in keys.items():
        try:
            msgspec.convert(name, Name)
        except msgspec.ValidationError:
            raise GroundupError(
                f"a key's name is 1 to 64 letters, digits, - and _, got {name!r}"
            ) from None
        lines.append(f"[keys.{name}]")
        # Every value is a number, or a text without quotes and backslashes.
        for field, value in msgspec.structs.asdict(key).items():
            if value is not None:
                lines.append(
                    f"{field} = {value}" if isinstance(value, int) else f'{field} = "{value}"'
                )
        lines.append("")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "\n".join(lines))
    except OSError as error:
        raise GroundupError(f"cannot write {path}: {error.strerror}") from None
