"""``groundup train talker``: from documentation to a model that answers questions about it."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.tokenizers.tokenizer import Tokenizer
    from groundup.training.conversations import Turns

__all__ = ["talker"]

# What Debian's packages of documentation install, and the packages' names.
PACKAGED = {
    Path("/usr/share/doc/python3.11/html/_sources"): "python3.11-doc",
    Path("/usr/share/doc/debian-handbook/html/en-US"): "debian-handbook",
    Path("/usr/share/man/man1"): "manpages",
    Path("/usr/share/man/man7"): "manpages",
    Path("/usr/share/man/man8"): "manpages",
}
HELD_OUT = 20  # one question in so many is not taught; others about the same thing are
EPOCHS = 3  # of the conversations
PROMPT = "<|im_start|>user\nWhat does ls do?<|im_end|>\n<|im_start|>assistant\n"


def talker(
    data: Annotated[
        list[Path] | None,
        typer.Option(help="Folders of documents.", show_default="the documentation installed"),
    ] = None,
    out: Annotated[Path, typer.Option(help="The model's folder.")] = Path("talker"),
    size: Annotated[int, typer.Option(help="Layers; the rest follows from it.")] = 6,
    vocabulary: Annotated[int, typer.Option(min=300, help="Byte-pair tokens.")] = 4096,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Of pretraining.", show_default="from the size")
    ] = None,
    compile: Annotated[
        bool, typer.Option(help="Compile the layers: a minute that long trainings gain back.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, max=2**31)] = 0,
) -> None:
    """Tokenizer, pretraining and chat in one: a small model that answers from documentation.

    It learns the language of the documents, then the questions that manual pages and Python's
    modules answer. The same command again goes on where it was stopped.
    """
    from rich.console import Console

    from groundup.cli.train_gpt import plan_for, processors, put_parts_in_place, train_and_save
    from groundup.cli.training_display import preparation_bar
    from groundup.models.gpt2 import GPT2Config
    from groundup.models.load_tokenizer import load_tokenizer
    from groundup.training.conversations import conversations
    from groundup.training.corpus import find_documents
    from groundup.training.model_size import model_size
    from groundup.training.preparation import prepare
    from groundup.training.rows import PackedRows, StreamRows
    from groundup.training.world import World

    put_parts_in_place()
    shape = model_size(size)
    sources = data or [path for path in PACKAGED if path.is_dir()]
    if not sources:
        packages = " ".join(dict.fromkeys(PACKAGED.values()))
        raise GroundupError(
            f"no documentation is installed: on Debian, apt install {packages}; elsewhere name "
            "folders by --data"
        )
    console = Console(highlight=False)
    before = out / "pretraining"
    with preparation_bar(console) as progress:
        tokens = prepare(
            sources, before, vocabulary, chat=True, workers=processors(), progress=progress
        )
    tokenizer = load_tokenizer(str(before))
    console.print(
        f"{len(tokens[0]) + len(tokens[1]):,} tokens of {tokenizer.size:,} kinds from "
        f"{', '.join(map(str, sources))}",
        markup=False,
    )
    config = GPT2Config(tokenizer.size, shape.context, shape.dim, shape.layers, shape.heads)
    training, held_out = (StreamRows(part, shape.context, seed) for part in tokens)
    plan = plan_for(shape, steps or shape.steps, seed=seed, compile=compile)
    train_and_save(config, training, held_out, plan, before, World(), console)

    with console.status("looking for questions and answers"):
        taught, asked = _encoded(conversations(find_documents(sources)), tokenizer, seed)
    rows = PackedRows(taught, shape.context, seed), PackedRows(asked, shape.context, seed)
    console.print(f"{len(taught):,} questions are taught, {len(asked):,} held out")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(before / name, out / name)
    chat_steps = max(1, EPOCHS * len(rows[0]) // shape.batch)
    plan = plan_for(shape, chat_steps, seed=seed, compile=compile, scale=0.5)
    train_and_save(
        config, *rows, plan, out, World(), console, begin=before, prompt=PROMPT
    )  # fmt: skip
    console.print(f"talk to it: groundup chat --model {out}", markup=False)


def _encoded(
    found: "Iterator[Turns]", tokenizer: "Tokenizer", seed: int
) -> tuple[list[list[int]], list[list[int]]]:
    """The conversations' tokens: those that are taught, and those that are held out."""
    import numpy as np

    from groundup.training.data_order import shuffled

    encoded = [tokenizer.encode_chat(turns, add_generation_prompt=False) for turns in found]
    if len(encoded) < 2 * HELD_OUT:
        raise GroundupError(
            f"the documents hold {len(encoded)} questions and answers: expected at least "
            f"{2 * HELD_OUT}, from manual pages or the sources of Python's documentation"
        )
    places = shuffled(np.arange(len(encoded)), len(encoded), seed) % HELD_OUT
    taught = [ids for ids, place in zip(encoded, places, strict=True) if place]
    return taught, [ids for ids, place in zip(encoded, places, strict=True) if not place]
