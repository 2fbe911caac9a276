"""Checkpoints: a training's whole state in a folder that is there whole or not at all."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from groundup.errors import GroundupError

__all__ = ["latest_checkpoint", "read_checkpoint", "write_checkpoint"]

STATE = "state.json"


def write_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]
) -> Path:
    """Write ``folder/step-00001000``, and delete all but it and the one before it.

    Nothing is pickled: each group of tensors is a safetensors file, the rest is JSON. The files are
    written into a folder of another name, brought to the disk, and the folder is renamed last: at
    any moment the newest complete checkpoint is the newest that bears its name.

    Args:
        folder: where a training's checkpoints lie; made if it is missing.
        step: steps done.
        tensors: for each file (``model``, ``optimizer``) its tensors by name.
        state: what JSON can hold.

    Raises:
        GroundupError: it cannot be written, as when the disk is full; older checkpoints are whole.
    """
    path = folder / f"step-{step:08}"
    temporary = folder / f".{path.name}.part"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for name, group in tensors.items():
            file = temporary / f"{name}.safetensors"
            save_file({key: t.detach().contiguous() for key, t in group.items()}, file)
            _to_disk(file)
        (temporary / STATE).write_text(json.dumps({"step": step, **state}, indent=2), "utf-8")
        _to_disk(temporary / STATE)
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
        _to_disk(folder)
    except (OSError, SafetensorError) as error:
        kept = latest_checkpoint(folder)
        raise GroundupError(
            f"cannot write the checkpoint of step {step} to {folder}: {error}; "
            + (f"the last one, {kept.name}, is whole: " if kept else "")
            + "make room on the disk and run the same command again"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in _complete(folder)[:-2]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def _to_disk(path: Path) -> None:
    """A rename may reach the disk before what was written, unless it is brought there."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _complete(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if (path / STATE).is_file())


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    found = _complete(folder)
    return found[-1] if found else None


def read_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What `write_checkpoint` was given, ``step`` included in the state.

    Raises:
        GroundupError: a file is damaged.
    """
    tensors: dict[str, dict[str, Tensor]] = {}
    try:
        state: dict[str, Any] = json.loads((path / STATE).read_text("utf-8"))
        for file in sorted(path.glob("*.safetensors")):
            with safe_open(file, framework="pt") as found:
                tensors[file.stem] = {n: found.get_tensor(n) for n in found.keys()}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as error:
        raise GroundupError(
            f"{path} is damaged ({error}): delete it, and training goes on from the one before"
        ) from None
    return tensors, state
