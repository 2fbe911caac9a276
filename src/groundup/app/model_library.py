"""The models of this machine: packaged ones, those fetched from the hub, and users' own folders."""

import json
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groundup.atomic_write import write_text
from groundup.errors import GroundupError
from groundup.home import home
from groundup.models.fetch import PACKAGED_MODELS, is_fetched

__all__ = ["ModelLibrary", "StoredModel"]

Kind = Literal["packaged", "hub", "own"]


@dataclass(frozen=True)
class StoredModel:
    """A model that can be run here, or fetched."""

    name: str  # as ``groundup serve --model`` takes it
    kind: Kind
    here: bool  # it need not be fetched
    size: int  # bytes, on this disk or of what is to be fetched
    about: str


class ModelLibrary:
    """What there is. Users' own models are named in a file of the app's; threads may share it."""

    def __init__(self, folder: Path) -> None:
        """Arguments:
        folder: the app's, where ``models.json`` lies or will lie.
        """
        self._path = folder / "models.json"
        self._turn = threading.Lock()

    def all(self) -> list[StoredModel]:
        """Packaged ones first, then those of the hub, then users' own.

        Raises:
            GroundupError: the file of users' own cannot be read.
        """
        packaged = [
            StoredModel(
                name, "packaged", is_fetched(m), m.file_size, f"{m.description} {m.licence}."
            )
            for name, m in PACKAGED_MODELS.items()
        ]
        return [*packaged, *from_hub(), *map(of_own, self._own())]

    def names(self) -> list[str]:
        """Those that are here."""
        return [model.name for model in self.all() if model.here]

    def add(self, path: str) -> str:
        """Take up a GGUF file or a folder of the user's; returns its name.

        Raises:
            GroundupError: there is no model, or the file cannot be written.
        """
        place = Path(path.strip()).expanduser()
        if not path.strip() or not place.is_absolute():
            raise GroundupError(
                f"expected the whole path of a model, as /home/me/m.gguf, got {path!r}"
            )
        good = place.suffix == ".gguf" if place.is_file() else (place / "config.json").is_file()
        if not good:
            raise GroundupError(
                f"there is no model at {place}: name a .gguf file, or a folder with config.json "
                "and safetensors"
            )
        with self._turn:
            self._write([*(own for own in self._own() if own != str(place)), str(place)])
        return str(place)

    def remove(self, name: str) -> None:
        """Delete a model that was fetched; of users' own, only the entry goes, not the files.

        Raises:
            GroundupError: it is not here, or cannot be deleted.
        """
        model = next((model for model in self.all() if model.name == name and model.here), None)
        if model is None:
            raise GroundupError(f"there is no model {name[:200]!r} here")
        if model.kind == "own":
            with self._turn:
                self._write([own for own in self._own() if own != name])
            return
        place = PACKAGED_MODELS[name].path.parent if model.kind == "packaged" else hub_folder(name)
        try:
            shutil.rmtree(place)
        except OSError as error:
            raise GroundupError(f"cannot delete {place}: {error.strerror or error}") from None

    def _own(self) -> list[str]:
        try:
            own = json.loads(self._path.read_bytes())
            if not isinstance(own, list) or not all(isinstance(each, str) for each in own):
                raise ValueError("expected a list of paths")
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise GroundupError(
                f"the list of models {self._path} cannot be read ({error}): mend or remove it"
            ) from None
        return own

    def _write(self, own: list[str]) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_text(self._path, json.dumps(own, indent=1) + "\n", 0o600)
        except OSError as error:
            raise GroundupError(f"cannot write {self._path}: {error.strerror}") from None


def hub_folder(name: str) -> Path:
    """Where the hub's library keeps a model."""
    return home() / "hub" / f"models--{name.replace('/', '--')}"


def from_hub() -> list[StoredModel]:
    """The hub's models that were wholly fetched."""
    models = []
    for folder in sorted((home() / "hub").glob("models--*--*")):
        if any(folder.glob("snapshots/*/config.json")) and not any(
            folder.glob("blobs/*.incomplete")
        ):
            owner, _, name = folder.name.removeprefix("models--").partition("--")
            about = "From the Hugging Face hub."
            models.append(StoredModel(f"{owner}/{name}", "hub", True, size_of(folder), about))
    return models


def of_own(path: str) -> StoredModel:
    place = Path(path)
    there = place.exists()
    about = "Your own files." if there else "The files are gone: they were moved or deleted."
    return StoredModel(path, "own", there, size_of(place) if there else 0, about)


def size_of(place: Path) -> int:
    """Bytes of a file, or of a folder's files; links are not followed."""
    if place.is_file():
        return place.stat().st_size
    files = (file for file in place.rglob("*") if not file.is_symlink() and file.is_file())
    return sum(file.stat().st_size for file in files)
