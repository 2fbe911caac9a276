"""``groundup train gpt``: a language model from text, on one processor or on several."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console

    from groundup.models.gpt2 import GPT2Config
    from groundup.training.model_size import ModelSize
    from groundup.training.rows import Rows
    from groundup.training.trainer import Plan
    from groundup.training.world import World

__all__ = ["gpt", "plan_for", "processors", "put_parts_in_place", "train_and_save"]


def gpt(
    data: Annotated[list[Path], typer.Option(help="A text file, or a folder of documents.")],
    size: Annotated[
        int, typer.Option(help="Layers; width, heads, batch, steps and rates follow from it.")
    ] = 4,
    out: Annotated[
        Path | None, typer.Option(help="The model's folder.", show_default="gpt-<data>-<size>")
    ] = None,
    vocabulary: Annotated[
        str, typer.Option(help="characters, or how many byte-pair tokens to learn.")
    ] = "characters",
    steps: Annotated[int | None, typer.Option(min=1, show_default="from the size")] = None,
    context: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a row.", show_default="from the size")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Rows of a step.", show_default="from the size")
    ] = None,
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Rows at a time.", show_default="all")
    ] = None,
    optimizer: Annotated[
        str, typer.Option(help="muon, with AdamW for what is no hidden matrix; or adamw.")
    ] = "muon",
    schedule: Annotated[str, typer.Option(help="cosine or wsd.")] = "cosine",
    dropout: Annotated[float, typer.Option(min=0, max=0.9)] = 0.0,
    precision: Annotated[
        str, typer.Option(help="auto, bfloat16 or float32: what products are computed in.")
    ] = "auto",
    compile: Annotated[
        bool, typer.Option(help="Compile the layers: a minute that long trainings gain back.")
    ] = False,
    parallel: Annotated[str, typer.Option(help="Under torchrun: ddp or fsdp.")] = "ddp",
    seed: Annotated[int, typer.Option(min=0, max=2**31)] = 0,
) -> None:
    """Train a GPT on text; the same command again goes on where it was stopped.

    Under torchrun it trains in several processes. The folder opens in groundup chat.
    """
    if optimizer not in ("muon", "adamw"):
        raise GroundupError(f"--optimizer is {optimizer!r}: expected muon or adamw")
    if precision not in ("auto", "bfloat16", "float32"):
        raise GroundupError(f"--precision is {precision!r}: expected auto, bfloat16 or float32")
    if vocabulary != "characters" and not vocabulary.isdecimal():
        raise GroundupError(f"--vocabulary is {vocabulary!r}: expected characters or a number")
    wanted = None if vocabulary == "characters" else int(vocabulary)

    from rich.console import Console

    from groundup.cli.training_display import preparation_bar
    from groundup.models.gpt2 import GPT2Config
    from groundup.models.load_tokenizer import load_tokenizer
    from groundup.training.model_size import model_size
    from groundup.training.preparation import prepare
    from groundup.training.rows import StreamRows
    from groundup.training.token_shards import TokenShards
    from groundup.training.world import join_world

    put_parts_in_place()
    shape = model_size(size)
    out = out or Path(f"gpt-{data[0].stem}-{size}")
    world = join_world(parallel)
    console = Console(highlight=False, quiet=world.rank > 0)

    with world.first_alone() as first, preparation_bar(console) as progress:
        if first:
            prepare(data, out, wanted, workers=processors(), progress=progress)
    tokens = TokenShards(out / "data" / "training"), TokenShards(out / "data" / "validation")
    context = context or shape.context
    batch = batch or shape.batch
    plan = plan_for(
        shape,
        steps or shape.steps,
        batch=batch,
        micro_batch=micro_batch or max(1, batch // world.size),
        muon=optimizer == "muon",
        schedule=schedule,
        precision=precision,
        compile=compile,
        seed=seed,
    )
    config = GPT2Config(
        vocabulary=load_tokenizer(str(out)).size,
        context=context,
        dim=shape.dim,
        layers=shape.layers,
        heads=shape.heads,
        dropout=dropout,
    )
    training, validation = (StreamRows(part, context, seed) for part in tokens)
    train_and_save(config, training, validation, plan, out, world, console)
    console.print(f"the model is in {out}: groundup chat --model {out}", markup=False)


def put_parts_in_place() -> None:
    """Let the learner's parts train; what does not serve is said."""
    from groundup.course.swap import find_swaps, install_swaps
    from groundup.course.workspace import find_workspace

    swaps = install_swaps(find_swaps(find_workspace()))
    if swaps.parts:
        typer.echo(f"running on your own: {', '.join(part.id for part in swaps.parts)}", err=True)
    for problem in swaps.problems:
        typer.echo(f"groundup: {problem}", err=True)


def plan_for(
    shape: "ModelSize",
    steps: int,
    *,
    seed: int,
    compile: bool,
    batch: int | None = None,
    micro_batch: int | None = None,
    muon: bool = True,
    schedule: str = "cosine",
    precision: str = "auto",
    scale: float = 1.0,
) -> "Plan":
    """The plan that follows from a size; ``scale`` is of both learning rates."""
    from groundup.models.load import fastest_dtype
    from groundup.training.trainer import Plan

    batch = batch or shape.batch
    now_and_then = max(1, min(250, steps // 4))
    return Plan(
        steps=steps,
        batch=batch,
        micro_batch=micro_batch or batch,
        learning_rate=scale * shape.learning_rate,
        matrix_learning_rate=scale * shape.matrix_learning_rate if muon else 0.0,
        schedule=schedule,
        warmup=min(100, steps // 10),
        seed=seed,
        bfloat16=(str(fastest_dtype()) if precision == "auto" else precision).endswith("bfloat16"),
        compile=compile,
        evaluate_every=now_and_then,
        checkpoint_every=now_and_then,
    )


def train_and_save(
    config: "GPT2Config",
    training: "Rows",
    validation: "Rows",
    plan: "Plan",
    out: Path,
    world: "World",
    console: "Console",
    *,
    begin: Path | None = None,
    prompt: str = "\n",
) -> None:
    """Train a GPT-2 in ``out``, show how it goes, and write the model and the plot of its losses.

    Args:
        config: the model's shape.
        training, validation: what it learns, and what it is evaluated on.
        plan: how.
        out: holds the tokenizer already.
        world: the processes.
        console: what is shown goes there.
        begin: a folder with a model of this shape, whose weights are the first; None draws them.
        prompt: what the samples during training go on from.

    Raises:
        GroundupError: as `groundup.training.trainer.train`.
        typer.Exit: it was interrupted.
    """
    import torch

    from groundup.cli.training_display import TrainingDisplay
    from groundup.engine.generate import generate
    from groundup.engine.sampling_params import SamplingParams
    from groundup.models import attention, fused_attention
    from groundup.models.gpt2 import GPT2
    from groundup.models.gpt2_hugging_face import gpt2_from_hugging_face, gpt2_to_hugging_face
    from groundup.models.load_tokenizer import load_tokenizer
    from groundup.training.checkpoint import latest_checkpoint, read_checkpoint
    from groundup.training.loss_curve import save_plot
    from groundup.training.run_log import read_log
    from groundup.training.trainer import Interrupted, train

    # A learner's attention that is swapped in is the one that trains.
    swapped = Path(attention.__file__ or "").parent != Path(fused_attention.__file__).parent
    attend = attention.attention if swapped else fused_attention.fused_attention
    torch.manual_seed(plan.seed)
    model = gpt2_from_hugging_face(begin, attend=attend) if begin else GPT2(config, attend)
    model.to(world.device)
    tokenizer = load_tokenizer(str(out))
    display = TrainingDisplay(console, out, plan.steps)

    def sample() -> None:
        ids = tokenizer.encode(prompt) or [0]
        params = SamplingParams(temperature=0.8, top_p=0.95, seed=plan.seed)
        written = generate(model, ids, params, max_tokens=200, stop_ids=tokenizer.eos_ids)
        display.wrote(tokenizer.decode(list(written)))

    try:
        with display.shown():
            train(
                model,
                training,
                plan,
                out,
                validation=validation,
                world=world,
                report=display.report,
                sample=sample,
            )
    except Interrupted:
        console.print("stopped; the same command goes on from here")
        raise typer.Exit(130) from None
    with world.first_alone() as first:
        if first:
            newest = latest_checkpoint(out / "checkpoints")
            assert newest is not None
            # From the checkpoint, where a sharded model's parameters are whole.
            weights = read_checkpoint(newest)[0]["model"]
            trained = GPT2(config)
            trained.load_state_dict({**weights, "lm_head.weight": weights["wte.weight"]})
            gpt2_to_hugging_face(trained, out)
            try:
                save_plot(read_log(out), out / "losses.svg", out.name)
            except GroundupError as error:  # matplotlib is an extra
                console.print(str(error), style="yellow", markup=False)


def processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
