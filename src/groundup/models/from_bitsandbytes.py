"""Weights from the layout of `bitsandbytes`: NF4 and FP4, and LLM.int8().

Four bits: ``name.weight`` has two indices of a code in each byte, the first in the high half. The
tensors beside it are the code (``quant_map``), a scale for each block (``absmax``), which may be
quantised in the same way (``nested_...``), and a JSON text of sizes (``quant_state...``). Eight
bits: ``name.SCB`` has the largest magnitude of each row.

Source: https://github.com/bitsandbytes-foundation/bitsandbytes, ``QuantState``.
"""

import json
from typing import Any

import torch
from torch import Tensor

__all__ = ["from_bitsandbytes"]

STATE = ".quant_state.bitsandbytes__"


def from_bitsandbytes(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with matrices in float32, under their plain names."""
    found = dict(weights)
    for name in weights:
        if STATE in name:
            stem = name.partition(STATE)[0]  # name.weight
            state = json.loads(bytes(found.pop(name).tolist()))
            found[stem] = four_bits(found, stem, state).view(state["shape"])
        elif name.endswith(".SCB"):
            stem = f"{name.removesuffix('.SCB')}.weight"
            found[stem] = found[stem].float() * (found.pop(name) / 127)[:, None]
            found.pop(f"{stem}_format", None)
    return found


def four_bits(tensors: dict[str, Tensor], stem: str, state: dict[str, Any]) -> Tensor:
    """The numbers of one matrix; takes what lies beside it out of ``tensors``."""
    absmax, code = tensors.pop(f"{stem}.absmax"), tensors.pop(f"{stem}.quant_map")
    if "nested_blocksize" in state:
        nested, outer = (
            tensors.pop(f"{stem}.nested_absmax"),
            tensors.pop(f"{stem}.nested_quant_map"),
        )
        absmax = scaled(outer[absmax.long()], nested, state["nested_blocksize"])
        absmax += state["nested_offset"]
    bytes_ = tensors[stem].flatten()
    q = torch.stack([bytes_ >> 4, bytes_ & 15], -1).flatten()[: torch.Size(state["shape"]).numel()]
    return scaled(code[q.long()], absmax, state["blocksize"])


def scaled(numbers: Tensor, scale: Tensor, block: int) -> Tensor:
    """Each number times the scale of its block."""
    return numbers * scale.repeat_interleave(block)[: len(numbers)]
