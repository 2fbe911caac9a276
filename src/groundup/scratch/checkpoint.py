"""A training's state in a file that is there whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from groundup.atomic_write import write_bytes
from groundup.errors import GroundupError
from groundup.scratch.tensor import Array

__all__ = ["load_checkpoint", "save_checkpoint"]

Settings = Mapping[str, int | float | str]


def save_checkpoint(path: Path, state: Mapping[str, Array], settings: Settings) -> None:
    """Write arrays as safetensors, which holds no code, with the settings beside them.

    Raises:
        OSError: the disk is full or not writable; a file that was there before still is.
    """
    arrays = {name: np.array(array, order="C") for name, array in state.items()}
    content = safetensors.numpy.save(arrays, {"settings": json.dumps(dict(settings))})
    write_bytes(path, content)


def load_checkpoint(path: Path, settings: Settings) -> dict[str, Array]:
    """The arrays of a checkpoint that was made with these settings.

    Raises:
        GroundupError: the file is damaged, or the settings are others.
    """
    try:
        with safe_open(path, "numpy") as file:
            found = json.loads((file.metadata() or {})["settings"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise GroundupError(
            f"{path} is not a checkpoint of this training ({error}): --overwrite begins anew"
        ) from None
    if changed := [
        f"{name} was {found.get(name)!r} and is {value!r}"
        for name, value in settings.items()
        if found.get(name) != value
    ]:
        raise GroundupError(
            f"{path} was trained with other settings: {'; '.join(changed)}. Go on with its own, "
            "name another folder with --out, or begin anew with --overwrite"
        )
    return state
