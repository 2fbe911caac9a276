"""The folder of a tuning: what is tuned there, whether it is done, and its model card."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.atomic_write import write_text
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console

    from groundup.evaluation.summary import Comparison

__all__ = ["begin", "finish", "is_tuned"]

SETTINGS = "tune.json"
CARD = "README.md"
CHECKPOINTS = "checkpoints"


def is_tuned(folder: Path, settings: Mapping[str, Any], console: "Console") -> bool:
    """Whether a folder holds this tuning's result, which is said: its card is written last.

    Raises:
        GroundupError: it holds another tuning, or what it holds cannot be read.
    """
    path = folder / SETTINGS
    if not path.exists():
        return False
    try:
        was = json.loads(path.read_text("utf-8"))
        other = [name for name in settings if settings[name] != was.get(name)]
    except (OSError, ValueError, AttributeError) as error:
        raise GroundupError(f"{path} cannot be read: {error}; name another --out") from None
    if other:
        changes = ", ".join(f"{n} {was.get(n)} (now {settings[n]})" for n in other)
        raise GroundupError(f"{folder} holds another tuning: {changes}; go on with that one, or "
                            "name another --out")  # fmt: skip
    done = (folder / CARD).exists()
    if done:
        console.print(f"{folder} is tuned already", markup=False)
    return done


def begin(folder: Path, settings: Mapping[str, Any], **more: Any) -> None:
    """Make the folder, and note what is tuned there; each of ``more`` in a JSON file of its name.

    Raises:
        GroundupError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in ({f"{key}.json": value for key, value in more.items()}
                              | {SETTINGS: settings}).items():  # fmt: skip
            write_text(folder / name, json.dumps(content, indent=2, ensure_ascii=False))
    except OSError as error:
        raise GroundupError(f"cannot write to {folder}: {error.strerror}") from None


def finish(
    folder: Path,
    settings: Mapping[str, Any],
    source: Path,
    rows: Mapping[str, int],
    results: "Sequence[Comparison]",
    notes: Mapping[str, str],
) -> None:
    """Write the model card, and remove the checkpoints, which nothing goes on from any more.

    Args:
        folder: holds the result already.
        settings: as `begin` was given them.
        source: the base's file or folder.
        rows: how many there are, by what they were for: training, validation.
        results: before and after.
        notes: more sections of the card, by title.
    """
    from groundup import __version__
    from groundup.evaluation.model_card import CardData, ModelCard, write_model_card
    from groundup.evaluation.subject import fingerprint

    card = ModelCard(
        name=folder.name,
        base=settings["model"],
        base_sha256=fingerprint(source),
        method=settings["method"],
        configuration=settings,
        seed=settings["seed"],
        data=[
            CardData(settings["data"], settings["data_sha256"], count, role)
            for role, count in rows.items()
        ],
        results=results,
        groundup=__version__,
        notes=notes,
    )
    write_text(folder / CARD, write_model_card(card))
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
