"""Models that answer elsewhere: endpoints of OpenAI's API, and the keys for them.

They lie in a file that its user alone can read. A model of an endpoint is named by both:
``name/model``.
"""

import json
import re
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import msgspec

from groundup.app.model_server import Endpoint
from groundup.atomic_write import write_text
from groundup.errors import GroundupError

__all__ = ["Endpoints", "Remote", "offered_models"]

LARGEST_LIST = 4 << 20  # bytes of an endpoint's list of models
PATIENCE = 15.0  # seconds to wait for it


@dataclass(frozen=True)
class Remote:
    """An endpoint elsewhere."""

    name: str  # letters, digits, "-", "_" and "."
    base_url: str  # https://host/v1
    key: str = field(default="", repr=False)
    models: tuple[str, ...] = ()  # that may be talked to

    @property
    def masked_key(self) -> str:
        """What may be shown of the key: its last four characters, of one that is long."""
        if not self.key:
            return ""
        return f"…{self.key[-4:]}" if len(self.key) >= 16 else "…"

    @property
    def is_exposed(self) -> bool:
        """Whether its key travels to another machine in clear text."""
        parts = urlsplit(self.base_url)
        here = ("localhost", "127.0.0.1", "::1")
        return bool(self.key) and parts.scheme == "http" and parts.hostname not in here


class Endpoints:
    """The file of endpoints. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Arguments:
        folder: the app's, where ``endpoints.json`` lies or will lie.
        """
        self._path = folder / "endpoints.json"
        self._turn = threading.Lock()

    def all(self) -> list[Remote]:
        """The endpoints, by name.

        Raises:
            GroundupError: the file cannot be read.
        """
        try:
            content = self._path.read_bytes()
            return msgspec.json.decode(content, type=list[Remote])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as error:
            raise GroundupError(
                f"the endpoints in {self._path} cannot be read ({error}): mend the file, or remove "
                f"it and enter them again"
            ) from None

    def put(self, remote: Remote) -> None:
        """Add an endpoint, or change the one of this name.

        Raises:
            GroundupError: its name, URL, key or models cannot be used, or the file not written.
        """
        remote = _checked(remote)
        with self._turn:
            others = [r for r in self.all() if r.name != remote.name]
            self._write([*others, remote])

    def remove(self, name: str) -> None:
        """Forget an endpoint and its key. Nothing happens if there is none of this name.

        Raises:
            GroundupError: the file cannot be read or written.
        """
        with self._turn:
            self._write([r for r in self.all() if r.name != name])

    def models(self) -> list[str]:
        """All models that may be talked to, as ``name/model``.

        Raises:
            GroundupError: the file cannot be read.
        """
        return [f"{remote.name}/{model}" for remote in self.all() for model in remote.models]

    def find(self, model: str) -> Endpoint | None:
        """Where ``name/model`` answers; None if it is none of these.

        Raises:
            GroundupError: the file cannot be read.
        """
        for remote in self.all():
            name, _, asked = model.partition("/")
            if name == remote.name and asked in remote.models:
                return Endpoint(remote.base_url, asked, remote.key)
        return None

    def _write(self, remotes: list[Remote]) -> None:
        listed = [asdict(remote) for remote in sorted(remotes, key=lambda r: r.name)]
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_text(self._path, json.dumps(listed, indent=2) + "\n", 0o600)
        except OSError as error:
            raise GroundupError(f"cannot write {self._path}: {error.strerror}") from None


async def offered_models(remote: Remote) -> list[str]:
    """Ask an endpoint which models it has; this tries its URL and key as well.

    Raises:
        GroundupError: it does not answer, refuses the key, or answers something else.
    """
    remote = _checked(remote)
    headers = {"Authorization": f"Bearer {remote.key}"} if remote.key else {}
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            # A redirect would carry the key to another place.
            session.get(
                f"{remote.base_url}/models", headers=headers, allow_redirects=False
            ) as response,
        ):
            content = b""
            while len(content) < LARGEST_LIST and (piece := await response.content.readany()):
                content += piece
            status = response.status
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise GroundupError(
            f"{remote.base_url} does not answer ({str(error) or 'no answer in time'}): check the "
            f"URL, and that the server runs"
        ) from None
    if status in (401, 403):
        raise GroundupError(f"{remote.base_url} refuses the key ({status}): check it")
    try:
        if status != 200:
            raise ValueError(f"status {status}")
        return [str(model["id"]) for model in json.loads(content)["data"]]
    except (ValueError, TypeError, KeyError) as error:
        raise GroundupError(
            f"{remote.base_url}/models is no list of models as OpenAI's API has it ({error}): such "
            f"a URL often ends in /v1"
        ) from None


def _checked(remote: Remote) -> Remote:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", remote.name):
        raise GroundupError(
            f"an endpoint's name is 1 to 64 letters, digits, '.', '_' and '-', got "
            f"{remote.name[:80]!r}"
        )
    base_url = remote.base_url.strip().rstrip("/")
    try:
        parts = urlsplit(base_url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        good &= not (parts.query or parts.fragment or parts.username or parts.password)
        good &= parts.port != 0 and base_url.isascii() and base_url.isprintable()
        good &= " " not in base_url
    except ValueError:
        good = False
    if not good:
        raise GroundupError(
            "an endpoint's URL is like https://host/v1, without a user, a query or spaces, got "
            f"{base_url[:200]!r}"
        )
    key = remote.key.strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise GroundupError("a key is made of ASCII characters without spaces: copy it again")
    models = tuple(dict.fromkeys(model.strip() for model in remote.models if model.strip()))
    return Remote(remote.name, base_url, key, models)
