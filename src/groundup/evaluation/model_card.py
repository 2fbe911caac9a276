"""The model card: what a model is, what it was trained on, and what it can and cannot do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from groundup.evaluation.summary import LOGARITHMIC, Comparison, Estimate

__all__ = ["CardData", "ModelCard", "comparison_table", "estimate_table", "write_model_card"]

PLAIN = frozenset({"bits_per_byte", "reward"})  # metrics that are no shares


@dataclass(frozen=True)
class CardData:
    """A file that the model was trained or evaluated on."""

    name: str
    sha256: str
    rows: int
    role: str = "training"  # or validation, evaluation


@dataclass(frozen=True)
class ModelCard:
    """What the card says. What is left out is said to be unknown: a card hides nothing."""

    name: str
    base: str  # the name of the model that it was made from; "" of one from nothing
    base_sha256: str
    method: str  # such as "LoRA"
    configuration: Mapping[str, Any]  # every setting, by name
    seed: int
    data: Sequence[CardData]
    results: Sequence[Estimate | Comparison]
    groundup: str  # the version that made it
    licence: str = ""
    intended_use: str = ""
    limitations: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)  # more sections, by title


def write_model_card(card: ModelCard) -> str:
    """The card as Markdown, with the sections of its source in their order.

    Source: Mitchell et al. 2018, "Model cards for model reporting", section 4 and figure 1.
    """
    training = [data for data in card.data if data.role != "evaluation"]
    evaluation = [data for data in card.data if data.role == "evaluation"]
    tasks = sorted({(r.first if isinstance(r, Comparison) else r).task for r in card.results})
    details = [
        f"- Name: {_cell(card.name)}",
        f"- Made by: groundup {card.groundup}, {_cell(card.method)}",
        f"- Base model: {_cell(card.base) or 'none, trained from nothing'}"
        + (f" (SHA-256 `{card.base_sha256}`)" if card.base_sha256 else ""),
        f"- Licence: {_cell(card.licence) or 'not stated; that of the base and of the data apply'}",
        f"- Seed: {card.seed}",
    ]
    unknown = "Not stated by whoever trained it."
    sections = {
        "Model details": "\n".join(details),
        "Intended use": card.intended_use or unknown,
        "Factors": "The results below are means over the evaluation data as a whole. How they "
        "differ between groups of people, topics or languages was not measured.",
        "Metrics": "Intervals have 95 % confidence: Wilson's for shares of items that are right or "
        "wrong, the percentile bootstrap over items for other means, the paired bootstrap for "
        "differences. p is that of McNemar's exact test."
        + (f"\n\nTasks: {', '.join(tasks)}." if tasks else ""),
        "Evaluation data": _data_table(evaluation) or unknown,
        "Training data": _data_table(training) or unknown,
        "Quantitative analyses": _results(card.results) or "Nothing was measured.",
        "Ethical considerations": "The model repeats what its data hold, wrong and hurtful things "
        "too, and states what is false as it states what is true. It was not checked for personal "
        "data that it might give away.",
        "Caveats and recommendations": card.limitations
        or "A difference whose interval holds 0 may be chance. Measure on data like those that "
        "the model will meet before relying on it.",
        **card.notes,
        "Configuration": _table(
            ("setting", "value"), [(k, _cell(str(v))) for k, v in card.configuration.items()]
        )
        if card.configuration
        else unknown,
    }
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"# Model card: {_cell(card.name)}\n\n{body}\n"


def estimate_table(results: Sequence[Estimate]) -> str:
    """Metrics of one model, as a Markdown table."""
    return _table(
        ("task", "metric", "items", "value", "95 % interval"),
        [(r.task, r.metric, str(r.items), shown(r.metric, r.value), interval(r)) for r in results],
    )


def comparison_table(results: Sequence[Comparison], first: str, second: str) -> str:
    """Metrics of two models and their difference, as a Markdown table."""
    return _table(
        ("task", "metric", "items", first, second, "difference", "95 % interval", "p"),
        [
            (
                r.first.task, r.first.metric, str(r.first.items),
                shown(r.first.metric, r.first.value), shown(r.second.metric, r.second.value),
                *difference(r),
            )
            for r in results
        ],
    )  # fmt: skip


def shown(metric: str, value: float) -> str:
    """A value with its unit: shares in percent."""
    if metric in LOGARITHMIC | PLAIN:
        return f"{value:.3f}"
    return f"{100 * value:.1f} %"


def difference(result: Comparison) -> tuple[str, str, str]:
    """The difference, its interval and p, as a table shows them."""
    if result.difference is None:
        return "other tokens", "", ""

    def signed(value: float) -> str:
        if result.first.metric in PLAIN:
            return f"{value:+.3f}"
        # Of shares it is in points of a percent, of perplexity in percent of the first.
        return f"{100 * value:+.1f}" + (" %" if result.first.metric in LOGARITHMIC else "")

    known = result.low is not None and result.high is not None
    span = f"{signed(result.low or 0)} to {signed(result.high or 0)}" if known else ""
    return signed(result.difference), span, "" if result.p is None else f"{result.p:.3g}"


def interval(result: Estimate) -> str:
    """Where a value lies with 95 % confidence; nothing of a single document."""
    if result.low is None or result.high is None:
        return ""
    return f"{shown(result.metric, result.low)} to {shown(result.metric, result.high)}"


def _results(results: Sequence[Estimate | Comparison]) -> str:
    alone = [r for r in results if isinstance(r, Estimate)]
    both = [r for r in results if isinstance(r, Comparison)]
    tables = [estimate_table(alone)] if alone else []
    if both:
        tables.append(comparison_table(both, "before", "after"))
    return "\n\n".join(tables)


def _data_table(data: Sequence[CardData]) -> str:
    rows = [(_cell(d.name), d.role, f"{d.rows:,}", f"`{d.sha256}`") for d in data]
    return _table(("file", "role", "rows", "SHA-256"), rows) if rows else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text that stays within its line and its cell, and is no markup."""
    flat = " ".join(text.split())
    for sign in "\\`*_[]<>|":
        flat = flat.replace(sign, f"\\{sign}")
    return flat
