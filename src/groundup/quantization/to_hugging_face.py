"""A quantised model as a folder that others read: `compressed-tensors` or `bitsandbytes`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.models.llama import Llama
from groundup.models.llama_to_hugging_face import llama_to_hugging_face
from groundup.quantization.dynamic_code import dynamic_code
from groundup.quantization.grouped_int4 import GroupedInt4
from groundup.quantization.grouped_int8 import GroupedInt8
from groundup.quantization.int4_grids import symmetric_grid
from groundup.quantization.nf4 import BLOCK, SCALE_BLOCK, Nf4, QuantizedScales, nf4_code
from groundup.quantization.quantize_model import Quantization, Quantized

__all__ = ["quantized_to_hugging_face"]

OTHER = torch.bfloat16  # of all that is not quantised: one dtype, as published models have


def quantized_to_hugging_face(
    folder: Path,
    model: Llama,
    weights: Mapping[str, Quantized],
    how: Quantization,
    entries: Mapping[str, Any],
) -> None:
    """Write ``config.json`` and ``model.safetensors``; what is not quantised in bfloat16.

    NF4 and LLM.int8() are written in the layout of `bitsandbytes`, whose methods they are; the
    others in that of `compressed-tensors`. `transformers` reads both where the packages are there.

    Args:
        folder: is made.
        model: of which all else is taken.
        weights: quantised layers by name.
        how: what they were quantised by.
        entries: for the configuration, beside the model's own.

    Raises:
        ValueError: 4-bit weights whose minimum is not a whole number of scales.
        GroundupError: the folder cannot be written, or no published family has this shape.
    """
    state: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        layer = name.removesuffix(".weight")
        if layer in weights:
            state |= {f"{layer}.{key}": t for key, t in stored(weights[layer], how).items()}
        else:
            state[name] = tensor.to(OTHER)
    more = {
        **entries,
        "dtype": str(OTHER).removeprefix("torch."),
        "quantization_config": configuration(weights, how),
    }
    llama_to_hugging_face(model, folder, state=state, entries=more)


def stored(weight: Quantized, how: Quantization) -> dict[str, Tensor]:
    """The tensors of one layer, by what follows its name."""
    match weight:
        case GroupedInt8() if how.method == "llm-int8":
            return {
                "weight": weight.q,
                "SCB": weight.scale[:, 0] * 127,
                "weight_format": torch.tensor(0, dtype=torch.uint8),  # rows
            }
        case GroupedInt8() if how.outlier is not None:
            return {"weight": weight.q, "weight_scale": weight.scale}
        case GroupedInt8():
            return packed(weight.q.to(torch.int16) + 128, 8) | {"weight_scale": weight.scale}
        case GroupedInt4():
            return (
                packed(weight.q, 4)
                | {"weight_scale": weight.scale.half()}
                | zero_point(weight, how)
            )
        case Nf4():
            return nf4_tensors(weight)


def packed(q: Tensor, bits: int) -> dict[str, Tensor]:
    """Numbers (M, K) of 0 to 2**bits - 1 in 32-bit words, the first one in the lowest bits."""
    return {"weight_packed": words(q, bits), "weight_shape": torch.tensor(q.shape)}


def words(q: Tensor, bits: int) -> Tensor:
    """(M, K) as int32 (M, ceil(K * bits / 32)), zeros behind."""
    q = torch.nn.functional.pad(q.to(torch.uint8), (0, -q.shape[1] % (32 // bits)))
    if bits == 4:
        q = q[:, ::2] | q[:, 1::2] << 4
    return q.clone(memory_format=torch.contiguous_format).view(torch.int32)


def zero_point(weight: GroupedInt4, how: Quantization) -> dict[str, Tensor]:
    """The level that is zero, for each group; nothing where the grid is symmetric."""
    zero = (-weight.minimum / weight.scale).round()
    if not torch.equal(-zero * weight.scale, weight.minimum):
        raise ValueError("the minimum of a group is not a whole number of its scale: write GGUF")
    if how.grid is symmetric_grid:
        return {}
    return {"weight_zero_point": words(zero.T, 4).T.contiguous()}


def nf4_tensors(weight: Nf4) -> dict[str, Tensor]:
    """Packed indices, the code, the scales, and the sizes as JSON."""
    scales = weight.scales
    assert isinstance(scales, QuantizedScales)
    state = {
        "quant_type": "nf4",
        "blocksize": BLOCK,
        "dtype": "bfloat16",
        "shape": list(weight.shape),
        "nested_blocksize": SCALE_BLOCK,
        "nested_dtype": "float32",
        "nested_offset": scales.mean.item(),
    }
    return {
        "weight": weight.packed[:, None],
        "weight.absmax": scales.q,
        "weight.quant_map": nf4_code().clone(),
        "weight.nested_absmax": scales.scale,
        "weight.nested_quant_map": dynamic_code().clone(),
        "weight.quant_state.bitsandbytes__nf4": torch.tensor(list(json.dumps(state).encode()),
                                                             dtype=torch.uint8),
    }  # fmt: skip


def configuration(weights: Mapping[str, Quantized], how: Quantization) -> dict[str, Any]:
    """The entry ``quantization_config``."""
    if how.method in ("nf4", "llm-int8"):
        four = how.method == "nf4"
        return {
            "quant_method": "bitsandbytes",
            "load_in_4bit": four,
            "load_in_8bit": not four,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": "bfloat16",
            "bnb_4bit_quant_storage": "uint8",
            "llm_int8_threshold": how.outlier or 6.0,
            "llm_int8_skip_modules": ["lm_head"],
        }
    first = next(iter(weights.values()))
    grouped = how.group is not None
    form: dict[str, Any] = {
        "num_bits": 4 if isinstance(first, GroupedInt4) else 8,
        "type": "int",
        "symmetric": not isinstance(first, GroupedInt4) or how.grid is symmetric_grid,
        "strategy": "group" if grouped else "channel",
        "group_size": how.group,
        "dynamic": False,
    }
    inputs = None
    if how.outlier is not None:
        inputs = {
            "num_bits": 8,
            "type": "int",
            "symmetric": True,
            "strategy": "token",
            "dynamic": True,
        }
    name = "pack-quantized" if inputs is None else "int-quantized"
    return {
        "quant_method": "compressed-tensors",
        "format": name,
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {"targets": ["Linear"], "weights": form, "input_activations": inputs}
        },
        "ignore": ["lm_head"],
    }
