"""What 4 bits cost the first blocks' layers: the squared error of their outputs on held-out text.

python benchmarks/quantization_layers.py TEXT_FILE [--blocks 3] [--tokens 24576]

Much cheaper than perplexity. Each layer alone is quantised and reads what the float32 model gives.
It is calibrated on the text's last tokens and measured on its first 2,048. Printed is the error
beside the outputs' own square, in thousandths, the geometric mean over all layers: for the weights
as they came, and for the same layers with inputs and weights rotated at random. These compute the
same, and the weights of a model that was rounded before then lie on no grid.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from groundup.models.llama import Block, Llama
from groundup.models.load import load_model
from groundup.quantization.awq import awq_scale
from groundup.quantization.calibration import Calibration, calibrated
from groundup.quantization.gptq import gptq
from groundup.quantization.grouped_int4 import Grid, GroupedInt4, grid
from groundup.quantization.int4_grids import symmetric_grid, zero_point_grid
from groundup.quantization.nf4 import Nf4
from groundup.quantization.quantize_model import read
from groundup.quantization.shared_inputs import linear, shared_inputs

WINDOW = 512
HELD_OUT = 2048
GRIDS: dict[str, Grid] = {"Q4_0": symmetric_grid, "Q4_1": grid, "zero point": zero_point_grid}
Layer = tuple[Tensor, Calibration, Tensor]  # weight (M, K), what it read, and H (K, K) held out


def observed(model: Llama, states: list[Tensor], number: int) -> dict[str, Calibration]:
    """What each layer of a block reads; states become the block's outputs."""
    block = model.layers[number]
    assert isinstance(block, Block)
    names = [name for shared in shared_inputs(block) for name in shared.readers]
    with calibrated((name, linear(block, name)) for name in names) as seen:
        states[:] = read(model, block, states)
    return seen


def layers(model: Llama, ids: list[int], tokens: int, blocks: int) -> Iterator[Layer]:
    """Every layer of the first blocks, with what it reads."""
    texts = ids[-tokens:], ids[:HELD_OUT]
    calibration, held_out = (
        [model.embed_tokens(row[None]) for row in torch.tensor(text).view(-1, WINDOW)]
        for text in texts
    )
    for number in range(blocks):
        block = model.layers[number]
        seen = observed(model, calibration, number)
        read_there = observed(model, held_out, number)
        for name, calibrated_on in seen.items():
            yield linear(block, name).weight, calibrated_on, read_there[name].hessian


def rotated(layer: Layer) -> Layer:
    weight, seen, hessian = layer
    q = torch.linalg.qr(torch.randn(weight.shape[1], weight.shape[1]))[0]
    turned = Calibration(q.T @ seen.hessian @ q, seen.largest, [row @ q for row in seen.rows])
    return weight @ q, turned, q.T @ hessian @ q


def square(weight: Tensor, hessian: Tensor) -> Tensor:
    """The sum of a layer's squared outputs, over the inputs of which H is the sum of x x.T."""
    return ((weight @ hessian) * weight).sum()


def awq(weight: Tensor, seen: Calibration, levels: Grid) -> Tensor:
    scale = awq_scale(torch.cat(seen.rows), [weight], grid=levels)
    return GroupedInt4.of(weight * scale, grid=levels).dequantize() / scale


METHODS: dict[str, Callable[[Tensor, Calibration, Grid], Tensor]] = {
    "rounding": lambda w, seen, levels: GroupedInt4.of(w, grid=levels).dequantize(),
    "awq": awq,
    "gptq, damping 0.01": lambda w, seen, g: gptq(w, seen.hessian, grid=g).dequantize(),
    "gptq, damping 0.1": lambda w, seen, g: gptq(w, seen.hessian, damping=0.1, grid=g).dequantize(),
}


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("text", type=Path)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=24576)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    options = parser.parse_args()
    torch.manual_seed(0)
    loaded = load_model(options.model, torch.float32)
    ids = loaded.tokenizer.encode(options.text.read_text(), special=False)
    if len(ids) < HELD_OUT + options.tokens:
        parser.error(f"the text has {len(ids):,} tokens, expected {HELD_OUT + options.tokens:,}")
    plain = list(layers(loaded.model, ids, options.tokens, options.blocks))
    turned = [rotated(layer) for layer in plain]
    print("| | levels | as it came | rotated |\n|---|---|---|---|")
    cases = [(name, *each, how) for each in GRIDS.items() for name, how in METHODS.items()]
    cases.append(("nf4", "NF4", grid, lambda w, seen, levels: Nf4.of(w.contiguous()).dequantize()))
    for name, levels, chosen, how in cases:
        errors = [
            [
                square(how(w, seen, chosen) - w, hessian) / square(w, hessian)
                for w, seen, hessian in kind
            ]
            for kind in (plain, turned)
        ]
        means = (1000 * torch.stack(e).clamp_min(1e-12).log().mean().exp() for e in errors)
        print(f"| {name} | {levels} | {' | '.join(f'{mean:.2f}' for mean in means)} |", flush=True)


if __name__ == "__main__":
    main()
