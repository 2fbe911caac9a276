"""Blocks that a run has quantised, on disk until it ends: another run goes on behind them."""

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from groundup.atomic_write import write_bytes
from groundup.errors import GroundupError
from groundup.quantization.grouped_int4 import GroupedInt4
from groundup.quantization.grouped_int8 import GroupedInt8
from groundup.quantization.nf4 import Nf4

__all__ = ["FinishedBlocks", "fingerprint"]

KEY = "key"  # the file that says what run the folder is of


class FinishedBlocks:
    """A folder with a file for each finished block: its quantised weights, and all else it holds.

    What a run of another key left is thrown away.
    """

    def __init__(self, folder: Path, key: str) -> None:
        """Args:
            folder: is made.
            key: of the run, as `fingerprint` gives it.

        Raises:
            GroundupError: the folder cannot be written.
        """
        self.folder = folder
        try:
            if folder.exists() and not (
                (folder / KEY).is_file() and (folder / KEY).read_text("utf-8") == key
            ):
                shutil.rmtree(folder)
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / KEY, key.encode())
        except OSError as error:
            raise GroundupError(f"cannot keep finished blocks in {folder}: {error}") from error

    def __len__(self) -> int:
        return len(list(self.folder.glob("*.safetensors")))

    def read(self, number: int, block: nn.Module) -> dict[str, GroupedInt4 | GroupedInt8] | None:
        """A block's quantised weights, by its layers' names; all else is copied into the block.

        None: it is not finished, or its file cannot be read.
        """
        try:
            stored = load(self._path(number).read_bytes())
        except (OSError, SafetensorError):
            return None
        parameters = dict(block.named_parameters())
        matrices: dict[str, dict[str, Tensor]] = {}
        for name, tensor in stored.items():
            layer, _, field = name.partition("/")
            if field:
                matrices.setdefault(layer, {})[field] = tensor
            else:
                parameters[layer].data.copy_(tensor)
        return {
            layer: (GroupedInt4 if "minimum" in tensors else GroupedInt8)(**tensors)
            for layer, tensors in matrices.items()
        }

    def write(
        self, number: int, block: nn.Module, weights: Mapping[str, GroupedInt4 | GroupedInt8 | Nf4]
    ) -> None:
        """Keep a block.

        Raises:
            ValueError: weights in NF4, which takes no calibration and so no time worth keeping.
            GroundupError: the file cannot be written.
        """
        tensors = {
            name: parameter.detach()
            for name, parameter in block.named_parameters()
            if name.removesuffix(".weight") not in weights
        }
        for layer, weight in weights.items():
            if isinstance(weight, Nf4):
                raise ValueError(f"{layer} is in NF4, expected integers in groups")
            tensors |= {f"{layer}/{f.name}": getattr(weight, f.name) for f in fields(weight)}
        try:
            whole = save({name: tensor.contiguous() for name, tensor in tensors.items()})
            write_bytes(self._path(number), whole)
        except OSError as error:
            raise GroundupError(f"cannot keep a block in {self.folder}: {error}") from error

    def discard(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"block-{number:04d}.safetensors"


def fingerprint(model: nn.Module, windows: Tensor, how: str) -> str:
    """Of all that a run's result depends on: the model's weights, the text, and the method."""
    made = hashlib.sha256(how.encode())
    for tensor in [*model.state_dict().values(), windows]:
        made.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return made.hexdigest()
