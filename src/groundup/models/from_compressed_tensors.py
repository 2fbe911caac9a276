"""Weights from the layout of `compressed-tensors`, in which llm-compressor and vLLM keep integers.

A matrix ``name.weight`` of 8 bits is kept as it is, beside ``name.weight_scale``. One that is
packed lies in ``weight_packed``: 32-bit words with the first column in the lowest bits, each number
moved up so that it is not negative; ``weight_shape`` says how much of it counts. The numbers of
``weight_zero_point`` are packed by rows instead of columns.

Source: https://github.com/vllm-project/compressed-tensors, formats pack-quantized and
int-quantized.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.errors import GroundupError

__all__ = ["from_compressed_tensors"]


def from_compressed_tensors(
    weights: dict[str, Tensor], config: dict[str, Any], path: Path
) -> dict[str, Tensor]:
    """The tensors with matrices in float32, under their plain names.

    Args:
        weights: of the files.
        config: the entry ``quantization_config`` of the model's configuration.
        path: of the configuration, for messages.

    Raises:
        GroundupError: numbers that are not integers of 4 or 8 bits, or columns in another order.
    """
    bits = set()
    for group in config["config_groups"].values():
        kind = group["weights"]
        bits.add(kind["num_bits"])
        if kind["type"] != "int" or kind["num_bits"] not in (4, 8) or kind.get("actorder"):
            raise GroundupError(
                f"{path} has weights of type {kind['type']} with {kind['num_bits']} bits and "
                f"actorder {kind.get('actorder')}: expected int of 4 or 8 bits without actorder"
            )
    if len(bits) > 1:
        raise GroundupError(f"{path} has weights of {sorted(bits)} bits: expected one size")
    found = dict(weights)
    for name in weights:
        if not name.endswith(".weight_scale"):
            continue
        stem = name.removesuffix("_scale")  # name.weight
        scale, zero = found.pop(name).float(), found.pop(f"{stem}_zero_point", None)
        if (packed := found.pop(f"{stem}_packed", None)) is not None:
            M, K = found.pop(f"{stem}_shape").tolist()
            q = unpacked(packed, *bits)[:, :K]
            if zero is not None:
                zero = unpacked(zero.T.contiguous(), *bits)[:, :M].T
        else:
            q = found[stem]
        groups = q.reshape(*scale.shape, -1).float()  # (M, groups, K / groups)
        if zero is not None:
            groups = groups - zero[..., None]
        found[stem] = (groups * scale[..., None]).view(q.shape)
    return found


def unpacked(words: Tensor, bits: int) -> Tensor:
    """Signed numbers (M, n) of int32 words (M, n * bits / 32)."""
    found = words.view(torch.uint8)
    if bits == 4:
        found = torch.stack([found & 15, found >> 4], -1).flatten(1)
    return torch.sub(found.to(torch.int16), 2 ** (bits - 1))
