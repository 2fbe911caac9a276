"""``groundup tokenizer``: train a tokenizer, and look at what one makes of a text."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["tokenizer_app"]

tokenizer_app = typer.Typer(
    help="Train tokenizers, and see what they make of texts.", no_args_is_help=True
)


class Kind(StrEnum):
    bpe = "bpe"
    wordpiece = "wordpiece"
    unigram = "unigram"


class Words(StrEnum):
    gpt2 = "gpt2"
    cl100k = "cl100k"
    qwen2 = "qwen2"
    o200k = "o200k"


TokenizerName = Annotated[
    str,
    typer.Argument(
        metavar="TOKENIZER",
        help="A tokenizer.json, a folder with one, a GGUF file, or a model's name.",
    ),
]


@tokenizer_app.callback()
def tokenizer() -> None:
    """Train tokenizers, and see what they make of texts."""


@tokenizer_app.command()
def train(
    corpus: Annotated[Path, typer.Argument(help="A text file in UTF-8, or a folder of such.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A folder, or a file that ends in .json.")
    ],
    kind: Annotated[Kind, typer.Option(help="How words become tokens.")] = Kind.bpe,
    vocab_size: Annotated[int, typer.Option(min=1, help="Tokens, special ones included.")] = 8192,
    pattern: Annotated[
        Words, typer.Option(help="How bpe cuts words: as the models of this name.")
    ] = Words.cl100k,
    lowercase: Annotated[
        bool, typer.Option("--lowercase", help="Of wordpiece and unigram: without capitals.")
    ] = False,
    special: Annotated[
        list[str] | None, typer.Option(help="A special token more; may be repeated.")
    ] = None,
    min_frequency: Annotated[
        int, typer.Option(min=1, help="Of bpe and wordpiece: join no pair found less often.")
    ] = 1,
    coverage: Annotated[
        float, typer.Option(help="Of wordpiece and unigram: the share of characters with tokens.")
    ] = 0.9995,
    files: Annotated[str, typer.Option(help="Which files of a folder, such as '*.txt'.")] = "*",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="That read and count.", show_default="one for each core"),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Learn a vocabulary, and write it as a Hugging Face tokenizer.json."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    put_parts_in_place()
    from groundup.tokenizers.tokenizer_json import save_tokenizer
    from groundup.tokenizers.tokenizer_training import train_tokenizer
    from groundup.tokenizers.word_counts import corpus_files, read_blocks

    written = out if out.suffix == ".json" else out / "tokenizer.json"
    if written.exists() and not overwrite:
        raise GroundupError(f"{written} is there already: --overwrite replaces it")
    paths = corpus_files(corpus, files)
    total = sum(path.stat().st_size for path in paths)
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
            reading = progress.add_task(f"Reading {total / 1e6:,.1f} MB", total=max(total, 1))
            learning = progress.add_task("Learning", total=None)

            def advance(tokens: int) -> None:
                done = min(tokens, vocab_size) if kind is not Kind.unigram else None
                left = f"Learning: {tokens:,} tokens"
                progress.update(
                    learning,
                    total=vocab_size if done else None,
                    completed=done or 0,
                    description=left,
                )

            spec = train_tokenizer(
                read_blocks(paths, lambda read: progress.advance(reading, read)),
                kind.value,
                vocab_size,
                pattern=pattern.value,
                lowercase=lowercase,
                special=special or [],
                least=min_frequency,
                coverage=coverage,
                threads=threads or os.cpu_count() or 1,
                advance=advance,
            )
            progress.update(learning, total=1, completed=1)
    except KeyboardInterrupt:
        console.print("Interrupted. Nothing was written.")
        raise typer.Exit(130) from None
    save_tokenizer(spec, out)
    found = len(spec["model"]["vocab"])
    console.print(f"{found:,} tokens: [bold]{written}[/]", highlight=False)
    if found < vocab_size:
        console.print(f"The corpus has no more; {vocab_size:,} were asked for.", highlight=False)


@tokenizer_app.command()
def encode(
    tokenizer: TokenizerName,
    text: Annotated[
        str | None, typer.Argument(help="The text.", show_default="standard input")
    ] = None,
    ids: Annotated[bool, typer.Option("--ids", help="The ids alone, in one line.")] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Special tokens in the text are plain text.")
    ] = False,
    sample: Annotated[
        float | None,
        typer.Option(help="Of unigram: words are cut at random, at this temperature."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of --sample: the same each time.")] = None,
) -> None:
    """Show a text's tokens, their ids, and the characters that each stands for."""
    chosen = load(tokenizer)
    if text is None:
        text = standard_input()
    if sample is not None:
        if sample <= 0:
            raise GroundupError(f"--sample is {sample}, expected a temperature above 0")
        drawn = chosen.sample(text, sample, Random(seed), special=not plain)
        typer.echo(" ".join(map(str, drawn) if ids else map(chosen.token_of, drawn)))
        return
    encoding = chosen.encode_with_spans(text, special=not plain)
    if ids:
        typer.echo(" ".join(map(str, encoding.ids.tolist())))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("id", "token", "start", "end", "text", box=None)
    for token_id, (start, end) in zip(encoding.ids.tolist(), encoding.spans.tolist(), strict=True):
        shown = repr(text[start:end])[1:-1]
        name = Text(chosen.token_of(token_id), "bold")
        table.add_row(str(token_id), name, str(start), str(end), Text(shown))
    console = Console(highlight=False)
    console.print(table)
    count, size = len(encoding.ids), len(text.encode(errors="replace"))
    console.print(f"{count:,} tokens, {size / max(count, 1):.2f} bytes a token")


@tokenizer_app.command()
def decode(
    tokenizer: TokenizerName,
    ids: Annotated[list[int], typer.Argument(help="Ids of tokens.")],
    skip_special: Annotated[
        bool, typer.Option("--skip-special", help="Leave out special tokens.")
    ] = False,
) -> None:
    """Show the text of ids."""
    chosen = load(tokenizer)
    for token_id in ids:
        chosen.token_of(token_id)  # an id that is none is an error here
    typer.echo(chosen.decode(ids, skip_special=skip_special))


def load(name: str) -> "Tokenizer":
    """Raises: GroundupError: there is no such tokenizer."""
    put_parts_in_place()
    from groundup.tokenizers.from_hugging_face import tokenizer_from_path

    path = Path(name).expanduser()
    if path.suffix == ".json" or path.is_dir():
        return tokenizer_from_path(path)
    from groundup.models.load_tokenizer import load_tokenizer

    return load_tokenizer(name)


def put_parts_in_place() -> None:
    """Let the learner's parts serve; what does not is said."""
    from groundup.course.swap import find_swaps, install_swaps
    from groundup.course.workspace import find_workspace

    for problem in install_swaps(find_swaps(find_workspace())).problems:
        typer.echo(f"groundup: {problem}", err=True)


def standard_input() -> str:
    """Raises: GroundupError: it is not UTF-8."""
    data = sys.stdin.buffer.read()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise GroundupError(
            f"standard input is not UTF-8 (byte {data[error.start]:#04x} at {error.start}), "
            "expected text in UTF-8; convert it first"
        ) from None
