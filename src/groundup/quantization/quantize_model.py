"""A model's matrices in few bits, block by block."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.llama import Block, Llama
from groundup.models.rotary import rotary_table
from groundup.quantization.awq import awq_scale
from groundup.quantization.calibration import Calibration, calibrated
from groundup.quantization.finished_blocks import FinishedBlocks
from groundup.quantization.gptq import gptq
from groundup.quantization.grouped_int4 import GROUP, Grid, GroupedInt4, grid
from groundup.quantization.grouped_int8 import GroupedInt8
from groundup.quantization.llm_int8 import OUTLIER, LlmInt8Matrix
from groundup.quantization.nf4 import Nf4
from groundup.quantization.shared_inputs import SharedInput, linear, move_scale, shared_inputs
from groundup.quantization.smooth_quant import smoothing_scale

__all__ = ["METHODS", "Quantization", "Quantized", "int8_inputs", "quantize_model"]

Quantized = GroupedInt8 | GroupedInt4 | Nf4

METHODS = {
    "int8": "8 bits, rounded to the nearest; inputs stay as they are",
    "llm-int8": "8 bits, inputs too, except for columns with outliers",
    "smoothquant": "8 bits, inputs too, whose large columns the weights take over",
    "int4": "4 bits in groups, rounded to the nearest",
    "nf4": "4 bits at the quantiles of the normal distribution",
    "gptq": "4 bits in groups; later weights make good what rounding costs",
    "awq": "4 bits in groups; weights that meet large inputs are rounded more finely",
}
CALIBRATED = {"smoothquant", "gptq", "awq"}
# Of GPTQ. On text of another kind than the calibration's, ten times the paper's loses less: a few
# thousand tokens say little about the Hessian's small directions (docs/lab-notes.md).
DAMPING = 0.1
EIGHT_BITS = {"int8", "llm-int8", "smoothquant"}


@dataclass(frozen=True)
class Quantization:
    """How a model is quantised: a method of `METHODS`, and the form of its numbers.

    ``group``: weights that share a scale; None is a whole row. ``grid``: the levels of the methods
    int4, gptq and awq. NF4 has blocks and levels of its own.

    Raises:
        GroundupError: there is no such method.
    """

    method: str
    group: int | None = GROUP
    grid: Grid = grid

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            known = ", ".join(METHODS)
            raise GroundupError(f"there is no method {self.method!r}: choose one of {known}")
        if self.group is None and self.method not in EIGHT_BITS:
            raise GroundupError(f"{self.method} needs groups, such as of 32 or 64 weights")

    @property
    def calibrated(self) -> bool:
        """Whether the method goes by what the layers read."""
        return self.method in CALIBRATED

    @property
    def outlier(self) -> float | None:
        """From which magnitude on inputs stay floats; None: all of them do."""
        return {"llm-int8": OUTLIER, "smoothquant": torch.inf}.get(self.method)


@torch.no_grad()
def quantize_model(
    model: Llama,
    how: Quantization,
    windows: Tensor | None = None,
    advance: Callable[[int], None] = lambda done: None,
    finished: FinishedBlocks | None = None,
) -> dict[str, Quantized]:
    """Quantise each linear layer of the model's blocks; embeddings and output layer stay.

    A block is calibrated on what the quantised blocks before it give, so that it makes good some of
    what they lost. Memory holds the inputs of one block for all windows.

    Args:
        model: float32. Its layers take the rounded weights; norms take over scales.
        how: the method.
        windows: (N, T) ids of calibration text, for methods that are calibrated.
        advance: is told how many blocks are done.
        finished: keeps each block once it is quantised, and has those of a run that was stopped.
            For methods that are calibrated: the others take seconds.

    Returns:
        The quantised weights, by the layers' names.

    Raises:
        GroundupError: the model has experts, a layer does not fit the group, or its weights cannot
            be quantised (the message names it).
    """
    states: list[Tensor] = []
    if how.calibrated:
        if windows is None:
            raise ValueError(f"{how.method} needs windows of calibration text")
        states = [model.embed_tokens(row[None]) for row in windows]
    found: dict[str, Quantized] = {}
    for number, block in enumerate(model.layers):
        assert isinstance(block, Block)
        made: Mapping[str, Quantized] | None = None
        if finished is not None:
            made = finished.read(number, block)
        if made is None:
            made = quantize_block(model, number, how, states)
            if finished is not None:
                finished.write(number, block, made)
        for name, weight in made.items():
            linear(block, name).weight.copy_(weight.dequantize())
            found[f"layers.{number}.{name}"] = weight
        if how.calibrated:
            states = read(model, block, states)
        advance(number + 1)
    return found


def quantize_block(
    model: Llama, number: int, how: Quantization, states: list[Tensor]
) -> dict[str, Quantized]:
    """A block's quantised layers by name, calibrated on its inputs; norms take over scales."""
    block = model.layers[number]
    assert isinstance(block, Block)
    shared = shared_inputs(block)
    seen: dict[str, Calibration] = {}
    if how.calibrated:
        firsts = [each.readers[0] for each in shared]
        with calibrated((name, linear(block, name)) for name in firsts) as seen:
            read(model, block, states)
    if how.method in ("awq", "smoothquant"):
        for each in shared:
            if each.source is not None:
                move_scale(block, each, scale_of(block, each, how, seen[each.readers[0]]))
    made: dict[str, Quantized] = {}
    for each in shared:
        for name in each.readers:
            try:
                made[name] = rounded(linear(block, name).weight, how, seen.get(each.readers[0]))
            except ValueError as error:
                raise GroundupError(f"cannot quantise layers.{number}.{name}: {error}") from error
    return made


def read(model: Llama, block: Block, states: list[Tensor]) -> list[Tensor]:
    """The block's outputs, (1, T, C) for each of its inputs."""
    T = states[0].shape[1]
    assert isinstance(model.frequencies, Tensor)
    cos, sin = rotary_table(torch.arange(T), model.frequencies.float())
    return [block(x, cos, sin, None, T) for x in states]


def scale_of(
    block: Block, shared: SharedInput, how: Quantization, calibration: Calibration
) -> Tensor:
    """By what the inputs are to be divided."""
    weights: list[Tensor] = [linear(block, name).weight for name in shared.readers]
    if how.method == "smoothquant":
        return smoothing_scale(calibration.largest, weights)
    assert how.group is not None
    return awq_scale(torch.cat(calibration.rows), weights, group=how.group, grid=how.grid)


def rounded(weight: Tensor, how: Quantization, calibration: Calibration | None) -> Quantized:
    """One matrix (M, K) by the method."""
    if how.method in EIGHT_BITS:
        return GroupedInt8.of(weight, how.group)
    if how.method == "nf4":
        return Nf4.of(weight)
    assert how.group is not None
    if how.method == "gptq":
        assert calibration is not None
        return gptq(weight, calibration.hessian, group=how.group, damping=DAMPING, grid=how.grid)
    return GroupedInt4.of(weight, how.group, how.grid)


@contextmanager
def int8_inputs(
    model: nn.Module, weights: Mapping[str, Quantized], threshold: float
) -> Iterator[None]:
    """Within it, the layers of 8-bit weights multiply inputs of 8 bits: see `LlmInt8Matrix`.

    Raises:
        ValueError: weights have groups smaller than a row.
    """
    layers = {}
    for name, weight in weights.items():
        if not isinstance(weight, GroupedInt8) or weight.scale.shape[1] != 1:
            raise ValueError(f"{name} has not 8 bits with a scale for each row")
        layers[linear(model, name)] = LlmInt8Matrix(weight.q, weight.scale, threshold)
    try:
        for layer, matrix in layers.items():
            layer.forward = partial(product, matrix, layer.bias)  # type: ignore[method-assign]
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def product(matrix: LlmInt8Matrix, bias: Tensor | None, x: Tensor) -> Tensor:
    """What a linear layer with such a weight gives."""
    y = matrix(x)
    return y if bias is None else y + bias
