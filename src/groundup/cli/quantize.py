"""``groundup quantize``: a model in fewer bits."""

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from groundup.models.gguf import GGUFFile
    from groundup.models.llama import Llama
    from groundup.quantization.quantize_model import Quantization, Quantized
    from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["packaged_text", "quantize"]

WINDOW = 512  # tokens that are read at once, for calibration and perplexity
LEAST = 4  # windows of calibration text: fewer do not show what a layer reads


def quantize(
    model: Annotated[str, typer.Argument(help="A model's name, a GGUF file or a folder.")],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="A file that ends in .gguf, or a folder (safetensors)."),
    ],
    method: Annotated[
        str,
        typer.Option(help="int8, llm-int8, smoothquant, int4, nf4, gptq or awq; see the README."),
    ] = "gptq",
    symmetric: Annotated[
        bool,
        typer.Option(
            "--symmetric/--asymmetric",
            help="4 bits: levels around zero (Q4_0), or from a minimum (Q4_1) or zero point.",
        ),
    ] = True,
    group: Annotated[int, typer.Option(min=1, help="4 bits: weights that share a scale.")] = 32,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Text to calibrate smoothquant, gptq and awq on.", show_default="the lessons"
        ),
    ] = None,
    calibration_tokens: Annotated[int, typer.Option(min=1, help="How much of it.")] = 8192,
    text: Annotated[
        Path | None,
        typer.Option(help="Text to measure perplexity on.", show_default="other lessons"),
    ] = None,
    tokens: Annotated[int, typer.Option(min=0, help="How much of it; 0 measures nothing.")] = 2048,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Write a model with its matrices in 8 or 4 bits, and show what that costs.

    A GGUF file is for llama.cpp, a folder for transformers and vLLM; both open here.
    """
    from rich.console import Console

    from groundup.course.swap import find_swaps, install_swaps
    from groundup.course.workspace import find_workspace

    console = Console(stderr=True, highlight=False)
    for problem in install_swaps(find_swaps(find_workspace())).problems:
        console.print(f"groundup: {problem}", markup=False)
    how = form(method, out, symmetric, group)
    if out.exists() and not overwrite:
        raise GroundupError(f"{out} is there already: --overwrite replaces it")
    try:
        _quantize(console, model, out, how, (calibration, calibration_tokens), (text, tokens))
    except KeyboardInterrupt:
        what = f"{out} is as it was, or whole" if out.exists() else "Nothing was written"
        console.print(f"Interrupted. {what}.")
        if unfinished(out).exists():
            console.print(f"The same command goes on with the blocks in {unfinished(out)}.")
        raise typer.Exit(130) from None


def unfinished(out: Path) -> Path:
    """Where the blocks of a run are kept until it ends."""
    return out.with_name(f"{out.name}.unfinished")


def form(method: str, out: Path, symmetric: bool, group: int) -> "Quantization":
    """The method with the numbers that the format has.

    Raises:
        GroundupError: there is no such method, or the format cannot hold what it makes.
    """
    from groundup.quantization.grouped_int4 import grid
    from groundup.quantization.int4_grids import symmetric_grid, zero_point_grid
    from groundup.quantization.quantize_model import EIGHT_BITS, Quantization

    if out.suffix != ".gguf":
        levels = symmetric_grid if symmetric else zero_point_grid
        return Quantization(method, None if method in EIGHT_BITS else group, levels)
    how = Quantization(method, 32, symmetric_grid if symmetric else grid)
    if method in ("nf4", "llm-int8"):
        raise GroundupError(
            f"GGUF has no form for {method}: choose int8, smoothquant, int4, gptq or awq, or write "
            "a folder (--out without .gguf)"
        )
    if group != 32 and method not in EIGHT_BITS:
        raise GroundupError(f"GGUF's groups have 32 weights, got --group {group}")
    return how


def _quantize(
    console: Any,
    name: str,
    out: Path,
    how: "Quantization",
    calibration: tuple[Path | None, int],
    measured: tuple[Path | None, int],
) -> None:
    import torch
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from groundup.models.gguf import read_gguf
    from groundup.models.llama_to_gguf import architecture_of, llama_metadata
    from groundup.models.llama_to_hugging_face import hugging_face_config
    from groundup.models.load import load_model
    from groundup.models.locate import locate
    from groundup.quantization.finished_blocks import FinishedBlocks, fingerprint
    from groundup.quantization.quantize_model import quantize_model
    from groundup.quantization.to_gguf import quantized_to_gguf
    from groundup.quantization.to_hugging_face import quantized_to_hugging_face
    from groundup.tokenizers.to_gguf import tokenizer_metadata
    from groundup.tuning.model_folder import save_tokenizer

    source = locate(name)
    file = None if source.is_dir() else read_gguf(source)
    refuse_quantised(source, file, out, how)
    loaded = load_model(name, torch.float32)
    model, tokenizer = loaded.model.cpu().float(), loaded.tokenizer
    if model.config.experts:
        raise GroundupError(f"{name} has experts, which are not quantised: choose one without")
    context = min(WINDOW, model.config.context)
    windows = calibration_windows(tokenizer, *calibration, context) if how.calibrated else None
    held_out = read_text(measured[0], odd=True)
    ids = tokenizer.encode(held_out, special=False)[: measured[1]] if measured[1] else []
    refuse_full_disk(out, model)
    metadata: dict[str, Any] = {}
    if out.suffix != ".gguf":
        hugging_face_config(model)  # for its errors, before the work
    elif file is not None:
        architecture_of(model.config)
        metadata = dict(file.stored)
    else:
        metadata = llama_metadata(model.config, source.name)
        metadata |= tokenizer_metadata(source, model.config.vocabulary)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:

        def told(what: str) -> "Callable[[int, int], None]":
            task = bar.add_task(what, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        before = after = None
        if ids:
            before = measure(model, ids, context, told("Perplexity before"))
        advance = told(f"{how.method}, block by block")
        blocks = len(model.layers)
        finished = None
        if windows is not None:
            key = fingerprint(model, windows, f"{how.method} {how.group} {how.grid.__name__}")
            finished = FinishedBlocks(unfinished(out), key)
            if len(finished):
                console.print(f"{len(finished)} of {blocks} blocks are there from a stopped run.")
        weights = quantize_model(model, how, windows, lambda done: advance(done, blocks), finished)
        told("Writing")
        if out.suffix == ".gguf":
            quantized_to_gguf(out, model, weights, metadata)
        else:
            save_tokenizer(source, out)  # before what makes the folder a model's
            quantized_to_hugging_face(out, model, weights, how, token_ids(tokenizer))
        if finished is not None:
            finished.discard()
        again = load_model(str(out), torch.float32).model.cpu().float()  # as others will read it
        after = (
            measure(again, ids, context, told("Perplexity after"), how, weights) if ids else None
        )
    show(console, (name, source, before), (how.method, out, after), model)


def refuse_quantised(source: Path, file: "GGUFFile | None", out: Path, how: "Quantization") -> None:
    """Raises:
    GroundupError: the model's matrices have the form already that it is to be given.
    """
    from groundup.models.gguf import GGMLType
    from groundup.models.hugging_face_folder import read_config
    from groundup.quantization.int4_grids import symmetric_grid
    from groundup.quantization.quantize_model import EIGHT_BITS

    if file is None:
        if found := read_config(source).get("quantization_config"):
            raise GroundupError(
                f"{source} is quantised already ({found.get('quant_method')}): take the model that "
                "it was made from"
            )
        return
    if how.method in EIGHT_BITS:
        wanted = GGMLType.Q8_0
    else:
        wanted = GGMLType.Q4_0 if how.grid is symmetric_grid else GGMLType.Q4_1
    types = {tensor.type for name, tensor in file.tensors.items() if ".attn_q.weight" in name}
    if out.suffix == ".gguf" and types == {wanted}:
        raise GroundupError(
            f"the matrices of {source} are {wanted.name} already: choose another method, "
            "--symmetric or --asymmetric, or take the model that it was made from"
        )


def refuse_full_disk(out: Path, model: "Llama") -> None:
    """Raises:
    GroundupError: the disk has less room than two bytes for each weight, which is always enough.
    """
    import shutil

    folder = next(parent for parent in out.absolute().parents if parent.exists())
    need = 2 * sum(p.numel() for p in model.parameters())
    if (free := shutil.disk_usage(folder).free) < need:
        raise GroundupError(
            f"{folder} has {free / 1e6:,.0f} MB left, and the model may take {need / 1e6:,.0f}: "
            "make room, or choose another --out"
        )


def calibration_windows(tokenizer: "Tokenizer", path: Path | None, count: int, length: int) -> Any:
    """Ids (N, length) of the calibration text.

    Raises:
        GroundupError: it is too short, or cannot be read.
    """
    import torch

    ids = tokenizer.encode(read_text(path, odd=False), special=False)[:count]
    if len(ids) < LEAST * length:
        raise GroundupError(
            f"the calibration text has {len(ids):,} tokens, expected at least {LEAST * length:,}: "
            "name a longer one by --calibration, or raise --calibration-tokens"
        )
    return torch.tensor(ids[: len(ids) // length * length]).view(-1, length)


def read_text(path: Path | None, *, odd: bool) -> str:
    """A file's text, or every second of the packaged lessons.

    Raises:
        GroundupError: the file cannot be read or is not UTF-8.
    """
    if path is None:
        return packaged_text(odd=odd)
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise GroundupError(f"cannot read {path} as text in UTF-8: {error}") from error


def packaged_text(*, odd: bool = False) -> str:
    """The lessons, English with mathematics and code: every second one, or (odd) the others."""
    parts = resources.files("groundup.course").joinpath("parts")
    found = (part.joinpath("lesson.md") for part in parts.iterdir() if part.is_dir())
    lessons = sorted((each for each in found if each.is_file()), key=str)
    return "\n\n".join(each.read_text("utf-8") for each in lessons[odd::2])


def token_ids(tokenizer: "Tokenizer") -> dict[str, Any]:
    """What the model's configuration says of its tokens."""
    return {"bos_token_id": tokenizer.bos_id, "eos_token_id": sorted(tokenizer.eos_ids) or None}


def measure(
    model: "Llama",
    ids: list[int],
    context: int,
    report: "Callable[[int, int], None]",
    how: "Quantization | None" = None,
    weights: "dict[str, Quantized] | None" = None,
) -> float:
    """The perplexity; where the method rounds inputs too, with such inputs."""
    from contextlib import AbstractContextManager, nullcontext

    from groundup.evaluation.perplexity import perplexity
    from groundup.quantization.quantize_model import int8_inputs

    inputs: AbstractContextManager[None] = nullcontext()
    if how is not None and weights is not None and how.outlier is not None and how.group is None:
        inputs = int8_inputs(model, weights, how.outlier)
    with inputs:
        return perplexity(model, ids, context=context, stride=context, report=report).value


def show(
    console: Any,
    before: tuple[str, Path, float | None],
    after: tuple[str, Path, float | None],
    model: "Llama",
) -> None:
    """The table: size, bits a weight, perplexity."""
    from rich.table import Table

    table = Table("", "size", "bits a weight", "perplexity", box=None)
    weights = sum(parameter.numel() for parameter in model.parameters())
    for name, path, value in (before, after):
        files = list(path.glob("*.safetensors")) if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files)
        cost = ""
        if value is not None:
            first = before[2] or value
            cost = f"{value:.3f}" + (f" ({value / first - 1:+.2%})" if name != before[0] else "")
        table.add_row(name, f"{size / 1e6:,.1f} MB", f"{8 * size / weights:.2f}", cost)
    console.print(table)
    console.print(f"[bold]{after[1]}[/]")
