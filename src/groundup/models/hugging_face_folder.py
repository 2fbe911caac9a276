"""A model's folder in Hugging Face's layout: ``config.json`` and ``*.safetensors``."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from groundup.atomic_write import write_text
from groundup.errors import GroundupError

__all__ = ["read_config", "read_weights", "rename", "write_folder"]


def read_config(folder: Path, *model_types: str) -> dict[str, Any]:
    """What ``config.json`` says.

    Args:
        folder: where it lies.
        model_types: the values of ``model_type`` that the caller reads; none takes all.

    Raises:
        GroundupError: it is missing or damaged, or describes a model of another type.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise GroundupError(f"{folder} is not a model's folder: it has no config.json")
    try:
        config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise GroundupError(f"{path} is not valid JSON: {error}") from None
    kind = config.get("model_type")
    if model_types and kind not in model_types:
        raise GroundupError(
            f"{path} describes a model of type {kind!r}: expected one of {', '.join(model_types)}"
        )
    return config


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the folder's safetensors files, by name, on the CPU.

    Raises:
        GroundupError: a file is missing or damaged.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        files = [folder / Path(name).name for name in names]
    else:
        files = [folder / "model.safetensors"]
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as tensors:
                weights |= {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
        except FileNotFoundError:
            raise GroundupError(f"{folder} lacks the weights {file.name}") from None
        except SafetensorError as error:
            raise GroundupError(f"{file} is truncated or not safetensors: {error}") from None
    return weights


def write_folder(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write both files, each whole or not at all; the folder is made where it is missing.

    Raises:
        GroundupError: the folder cannot be written.
    """
    file = folder / "model.safetensors"
    temporary = folder / f".{file.name}.part"
    tensors = {name: weight.detach().contiguous() for name, weight in weights.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata={"format": "pt"})
        temporary.replace(file)
        write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
    except (OSError, SafetensorError) as error:
        raise GroundupError(f"cannot write the model to {folder}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def rename(state: Mapping[str, Tensor], pairs: Iterable[tuple[str, str]]) -> dict[str, Tensor]:
    """The same tensors, under names in which, pair by pair, the first text became the second."""
    renamed = {}
    for name, tensor in state.items():
        for old, new in pairs:
            name = name.replace(old, new)
        renamed[name] = tensor
    return renamed
