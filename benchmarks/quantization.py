"""What narrower numbers cost a model: its perplexity on a text, beside float32's.

python benchmarks/quantization.py TEXT_FILE [--tokens 4096] [--windows 16] [--only gptq,awq]
    [--calibration lessons]

Lines are printed as they are measured: first the forms in which the engine reads weights, then the
methods of `groundup quantize`, each applied to the float32 weights anew. They are calibrated on the
end of the same text, or on the lessons, as the command does by default.
"""

import argparse
import time
from pathlib import Path

import torch

from groundup.cli.quantize import packaged_text
from groundup.engine.fused_llama import FusedLlama, WeightBits
from groundup.engine.paged_cache import PagedCache
from groundup.engine.scheduler import Chunk
from groundup.engine.sequence import Sequence
from groundup.evaluation.perplexity import perplexity
from groundup.models.llama import Llama
from groundup.models.load import load_model
from groundup.quantization.int4_grids import symmetric_grid, zero_point_grid
from groundup.quantization.quantize_model import Quantization, int8_inputs, quantize_model

WINDOW = 512
METHODS = {
    "int8, a scale for each row": Quantization("int8", None),
    "int8, Q8_0": Quantization("int8", 32),
    "llm-int8, inputs too": Quantization("llm-int8", None),
    "smoothquant, inputs too": Quantization("smoothquant", None),
    "nf4": Quantization("nf4"),
    "int4, Q4_0": Quantization("int4", 32, symmetric_grid),
    "awq, Q4_0": Quantization("awq", 32, symmetric_grid),
    "gptq, Q4_0": Quantization("gptq", 32, symmetric_grid),
    "int4, zero point, groups of 64": Quantization("int4", 64, zero_point_grid),
    "awq, zero point, groups of 64": Quantization("awq", 64, zero_point_grid),
    "gptq, zero point, groups of 64": Quantization("gptq", 64, zero_point_grid),
    "int4, zero point, groups of 32": Quantization("int4", 32, zero_point_grid),
    "gptq, zero point, groups of 32": Quantization("gptq", 32, zero_point_grid),
}


def engine_loss(model: Llama, ids: list[int], *, bits: WeightBits | None, chunk: int) -> float:
    """The engine's mean negative log-likelihood of a token, in windows that each begin anew.

    ``chunk`` tokens are read together: all of a window as a prompt is, or one as in an answer.
    """
    cache = PagedCache(model.config, WINDOW // 16, 16, model.embed_tokens.weight.dtype)
    reader = FusedLlama(model, cache, weight_bits=bits)
    losses = []
    for start in range(0, len(ids) - WINDOW + 1, WINDOW):
        window = ids[start : start + WINDOW]
        sequence = Sequence(window, WINDOW, WINDOW, blocks=list(range(WINDOW // 16)))
        parts = []
        for sequence.read in range(0, WINDOW, chunk):
            parts.append(reader.read([Chunk(sequence, chunk, outputs=chunk)]))
        logits = torch.cat(parts)
        losses.append(torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(window[1:])))
    return float(torch.stack(losses).mean())


def method_perplexity(
    name: str, ids: list[int], how: Quantization | None, windows: torch.Tensor
) -> tuple[float, float]:
    """Of a model quantised so, and the seconds that quantising took; None quantises nothing."""
    model = load_model(name, torch.float32).model

    def measured() -> float:
        return perplexity(model, ids, context=WINDOW, stride=WINDOW).value

    if how is None:
        return measured(), 0.0
    start = time.perf_counter()
    weights = quantize_model(model, how, windows)
    seconds = time.perf_counter() - start
    if how.outlier is None:
        return measured(), seconds
    with int8_inputs(model, weights, how.outlier):
        return measured(), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("text", type=Path)
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--calibration", choices=["text", "lessons"], default="text")
    parser.add_argument("--only", help="methods whose names begin so, with commas between")
    options = parser.parse_args()
    tokenizer = load_model(options.model).tokenizer
    ids = tokenizer.encode(options.text.read_text(), special=False)[: options.tokens]
    source = packaged_text() if options.calibration == "lessons" else options.text.read_text()
    read = tokenizer.encode(source, special=False)
    if options.calibration == "lessons":
        read = read[: options.windows * WINDOW]
    else:
        read = read[options.tokens :][-options.windows * WINDOW :]
    windows = torch.tensor(read).view(-1, WINDOW)
    wanted = tuple(options.only.split(",")) if options.only else ("",)
    exact, _ = method_perplexity(options.model, ids, None, windows)
    print(f"{'float32':32} {exact:8.3f}", flush=True)
    if not options.only:
        first = 0.0
        forms: tuple[tuple[str, torch.dtype, WeightBits | None], ...] = (
            ("float32", torch.float32, None),
            ("bfloat16", torch.bfloat16, None),
            ("int8", torch.bfloat16, 8),
            ("int4", torch.bfloat16, 4),
        )
        for form, dtype, bits in forms:
            for chunk, how_read in ((WINDOW, "a prompt"), (1, "token by token")):
                model = load_model(options.model, dtype).model
                loss = engine_loss(model, ids, bits=bits, chunk=chunk)
                value = float(torch.tensor(loss).exp())
                first = first or value
                line = f"engine, {form}, {how_read}"
                print(f"{line:32} {value:8.3f} {value / first - 1:+8.2%}", flush=True)
    for name, how in METHODS.items():
        if name.startswith(wanted):
            value, seconds = method_perplexity(options.model, ids, how, windows)
            print(f"{name:32} {value:8.3f} {value / exact - 1:+8.2%} {seconds:6.0f} s", flush=True)


if __name__ == "__main__":
    main()
