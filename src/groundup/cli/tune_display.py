"""What ``groundup tune`` shows: the data, one example as it is learned, and what came of it."""

from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from groundup.evaluation.model_card import difference
from groundup.evaluation.summary import Comparison
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.tuning.data_file import DataFile
from groundup.tuning.examples import Encoded, Split
from groundup.tuning.loss_mask import MaskedSequence

__all__ = ["Sample", "show_data", "show_example", "show_result"]

LEARNED, GIVEN = "bold green", "dim"
SHOWN_TOKENS = 600  # of an example
SHOWN_CHARACTERS = 400  # of a text in the table of answers


class Sample(NamedTuple):
    """A held-out question, and what was answered."""

    asked: str
    expected: str
    before: str
    after: str


def show_data(console: Console, file: DataFile, split: Split, context: int) -> None:
    """How the file is understood, and the counts."""
    form = {"chat": "chats", "alpaca": "instructions", "preference": "preferences, of which the "
            "chosen is learned", "text": "plain texts"}[file.form]  # fmt: skip
    console.print(f"{file.path.name}: {len(file.examples):,} rows of {form}", markup=False)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name in ("examples", "tokens", "that are learned"):
        table.add_column(name, justify="right")
    for name, part in (("training", split.training), ("held out", split.validation)):
        table.add_row(name, *_counts(part))
    console.print(table)
    for rows, what in (
        (split.duplicates, "rows that repeat an earlier one, left out"),
        (
            split.training.cut + split.validation.cut,
            f"rows of more than {context:,} tokens, of which the end is cut off",
        ),
        (
            split.training.left_out + split.validation.left_out,
            f"rows with nothing to learn in their first {context:,} tokens, left out",
        ),
    ):
        if rows:
            named = ", ".join(map(str, sorted(set(rows))[:5]))
            more = ", …" if len(set(rows)) > 5 else ""
            console.print(f"{what}: {len(set(rows)):,} (row {named}{more})", style="yellow")


def _counts(part: Encoded) -> tuple[str, str, str]:
    tokens = sum(len(s.ids) for s in part.sequences)
    learned = sum(sum(s.counts) for s in part.sequences)
    share = f"{learned:,} ({learned / tokens:.0%})" if tokens else "0"
    return f"{len(part.sequences):,}", f"{tokens:,}", share


def show_example(console: Console, tokenizer: Tokenizer, sequence: MaskedSequence) -> None:
    """The first tokens of an example as the model reads them, and which of them it learns.

    Where there are no colours, what is learned stands between « and ».
    """
    text = Text()
    plain = console.color_system is None
    ids, counts = sequence.ids[:SHOWN_TOKENS], sequence.counts[:SHOWN_TOKENS]
    start = 0
    for end in range(1, len(ids) + 1):
        if end == len(ids) or counts[end] != counts[start]:
            piece = tokenizer.decode(ids[start:end])
            if counts[start]:
                text.append(f"«{piece}»" if plain else piece, LEARNED)
            else:
                text.append(piece, GIVEN)
            start = end
    if len(sequence.ids) > SHOWN_TOKENS:
        text.append(f" … ({len(sequence.ids) - SHOWN_TOKENS:,} tokens more)", "italic")
    console.print(Panel(text, title="the first example, as the model reads it"))
    legend = Text("the model learns to write what is ")
    legend.append("«marked»" if plain else "green", LEARNED)
    legend.append("; the rest is given to it")
    console.print(legend)


def show_result(console: Console, results: list[Comparison], samples: list[Sample]) -> None:
    """Answers side by side, and what each token of a held-out answer costs before and after."""
    for sample in samples:
        table = Table(box=SIMPLE_HEAD, expand=True, pad_edge=False)
        for name in ("before", "after", "in the data"):
            table.add_column(name, ratio=1)
        table.add_row(*(Text(_short(t)) for t in (sample.before, sample.after, sample.expected)))
        console.print(Text(_short(sample.asked), "bold"))
        console.print(table)
    for result in results:
        _, span, _ = difference(result)
        console.print(
            f"{result.first.metric} of {result.first.items:,} {result.first.task}: "
            f"{result.first.value:.3f} before, [bold]{result.second.value:.3f}[/] after"
            + (f" ({span} with 95 % confidence)" if span else "")
        )


def _short(text: str) -> str:
    text = text.strip()
    return text if len(text) <= SHOWN_CHARACTERS else f"… {text[-SHOWN_CHARACTERS:]}"
