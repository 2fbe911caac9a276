"""A quantised model as a GGUF file that llama.cpp runs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.models.ggml_blocks import q4_0_blocks, q4_1_blocks, q8_0_blocks
from groundup.models.gguf import GGMLType, GGUFTensor
from groundup.models.gguf_writer import write_gguf
from groundup.models.llama import Llama
from groundup.models.llama_to_gguf import gguf_name, paired_rows, rotary_factors
from groundup.quantization.grouped_int4 import GROUP, GroupedInt4
from groundup.quantization.grouped_int8 import GroupedInt8
from groundup.quantization.quantize_model import Quantized

__all__ = ["FILE_TYPES", "quantized_to_gguf"]

FILE_TYPES = {GGMLType.Q4_0: 2, GGMLType.Q4_1: 3, GGMLType.Q8_0: 7}  # llama.cpp's, of whole files
QUANTIZATION_VERSION = 2


def quantized_to_gguf(
    path: Path, model: Llama, weights: Mapping[str, Quantized], metadata: Mapping[str, Any]
) -> None:
    """Write the model: quantised layers in blocks, the embeddings in Q8_0, norms and biases whole.

    8-bit weights become Q8_0, symmetric 4-bit ones Q4_0, others Q4_1: without another rounding.

    Args:
        path: of the file.
        model: of which all else is taken.
        weights: quantised layers by name, all of one type, in groups of 32.
        metadata: of the file, but for what kind of file it is.

    Raises:
        ValueError: weights have a form that no such type of GGML has.
        GroundupError: the file cannot be written.
    """
    found = list(tensors(model, weights))
    kind = next(t.type for t in found if t.name.endswith("attn_q.weight"))
    more = {
        "general.file_type": FILE_TYPES[kind],
        "general.quantization_version": QUANTIZATION_VERSION,
    }
    write_gguf(path, {**metadata, **more}, found)


def tensors(model: Llama, weights: Mapping[str, Quantized]) -> Iterator[GGUFTensor]:
    """What the file holds, in the model's order."""
    if (factors := rotary_factors(model)) is not None:
        yield GGUFTensor("rope_freqs.weight", factors.shape, GGMLType.F32, bytes_of(factors))
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tied_embeddings:
            continue
        layer = name.removesuffix(".weight")
        rows = paired_rows(name, model.config)
        if layer in weights:
            kind, raw = blocks(weights[layer], rows)
        elif tensor.ndim == 2 and tensor.shape[1] % GROUP == 0:
            kind, raw = blocks(GroupedInt8.of(tensor, GROUP), rows)
        else:
            whole = tensor.float().numpy()
            kind, raw = GGMLType.F32, bytes_of(whole if rows is None else whole[rows])
        yield GGUFTensor(gguf_name(name), tuple(tensor.shape), kind, raw)


def blocks(weight: Quantized, rows: NDArray[np.int64] | None) -> tuple[GGMLType, NDArray[np.uint8]]:
    """The type that has such weights, and their blocks, the rows in this order."""

    def array(tensor: Tensor) -> NDArray[Any]:
        whole: NDArray[Any] = tensor.numpy()
        return whole if rows is None else whole[rows]

    match weight:
        case GroupedInt8() if weight.scale.shape[1] * GROUP == weight.q.shape[1]:
            return GGMLType.Q8_0, q8_0_blocks(array(weight.q), array(weight.scale))
        case GroupedInt4() if weight.group == GROUP:
            q, scale = array(weight.q), array(weight.scale)
            if torch.equal(weight.minimum, -8 * weight.scale):
                return GGMLType.Q4_0, q4_0_blocks(q, scale)
            if torch.equal(weight.minimum, weight.minimum.half().float()):
                return GGMLType.Q4_1, q4_1_blocks(q, scale, array(weight.minimum))
    raise ValueError(
        "GGML has 8 bits, or 4 bits symmetric or with a minimum that float16 holds, in groups of "
        f"{GROUP}: got {type(weight).__name__} of another form"
    )


def bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The memory of a float32 array."""
    return np.ascontiguousarray(array, np.float32).view(np.uint8).reshape(-1)
