"""Pre-tokenisation: cutting text into the words inside which tokens are found.

A splitter is a chain of steps; the pieces of the next step are cut from those of the one before.
The well-known patterns are loops (``word_scanner.py``), any other is a regular expression. Sources:
the pattern of GPT-2 (Radford et al. 2019, `encoder.py`), its descendants as Llama 3 and Qwen2
publish them in tokenizer.json and OpenAI in `tiktoken`, BERT's and SentencePiece's words as Hugging
Face's files describe them, and the names that llama.cpp gives the patterns in GGUF files
(`tokenizer.ggml.pre`).
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import regex

from groundup.errors import GroundupError

from .pieces import Pieces
from .word_scanner import (
    BERT,
    CL100K,
    CL100K_PATTERN,
    DIGITS,
    GPT2,
    GPT2_PATTERN,
    METASPACE,
    O200K,
    O200K_PATTERN,
    scan,
)

__all__ = [
    "PATTERNS",
    "Splitter",
    "named_splitter",
    "pattern_step",
    "splitter_from_json",
    "splitter_name",
]

Step = Callable[[Pieces], Pieces]

QWEN2_PATTERN = CL100K_PATTERN.replace("{1,3}", "")  # digits one by one; else the same
PATTERNS = {
    "gpt2": GPT2_PATTERN,
    "cl100k": CL100K_PATTERN,
    "qwen2": QWEN2_PATTERN,
    "o200k": O200K_PATTERN,
}
SCANNED: dict[str, tuple[int, int]] = {  # patterns that are loops: the kind, and most digits
    GPT2_PATTERN: (GPT2, 0),
    CL100K_PATTERN: (CL100K, 3),
    QWEN2_PATTERN: (CL100K, 1),
    O200K_PATTERN: (O200K, 3),
    r"\p{N}": (DIGITS, 1),
    r"\p{N}+": (DIGITS, 0),
}
UNNAMED = [r"[\p{P}\$\+<=>\^~\|]+", GPT2_PATTERN, r"\p{N}+", r"[0-9][0-9][0-9]"]

NAMES: dict[str, list[str]] = {
    "default": UNNAMED,  # what llama.cpp does where a converter could not name the pattern
    "gpt-2": [GPT2_PATTERN],
    "llama-bpe": [CL100K_PATTERN],
    "llama3": [CL100K_PATTERN],
    "llama-v3": [CL100K_PATTERN],
    "qwen2": [QWEN2_PATTERN],
    "deepseek-r1-qwen": [QWEN2_PATTERN],
    "smollm": [r"\p{N}", GPT2_PATTERN],
    "starcoder": [r"\p{N}", GPT2_PATTERN],
}


class Splitter:
    """Cuts texts into words by its steps, in their order."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self.steps = list(steps)

    def cut(self, pieces: Pieces) -> Pieces:
        """The words of each piece."""
        for step in self.steps:
            pieces = step(pieces)
        return pieces

    def __call__(self, text: str) -> list[str]:
        """The words of a text."""
        return self.cut(Pieces.of(text)).strings()


def named_splitter(name: str) -> Splitter:
    """The splitter that a GGUF file names in ``tokenizer.ggml.pre``.

    Raises: GroundupError for a name that is not in the table.
    """
    if name not in NAMES:
        raise GroundupError(
            f"the pre-tokenizer {name!r} is not supported, expected one of "
            f"{', '.join(NAMES)}; take a model with one of these"
        )
    return Splitter(map(pattern_step, NAMES[name]))


def splitter_name(spec: dict[str, Any] | None) -> str:
    """The name in GGUF of what a ``pre_tokenizer`` object of a tokenizer.json describes.

    Raises: GroundupError if there is none, or as `splitter_from_json`.
    """

    def steps(splitter: Splitter) -> list[object]:
        return [(s.func, s.args, s.keywords) if isinstance(s, partial) else s
                for s in splitter.steps]  # fmt: skip

    wanted = steps(splitter_from_json(spec))
    for name in NAMES:
        if steps(named_splitter(name)) == wanted:
            return name
    raise GroundupError(
        f"GGUF has no name for the pre-tokenizer {spec}: write the model in another format"
    )


def splitter_from_json(spec: dict[str, Any] | None) -> Splitter:
    """The splitter that the ``pre_tokenizer`` object of a Hugging Face tokenizer.json describes.

    Supported: Sequence, ByteLevel (``use_regex``, ``add_prefix_space``), Digits, BertPreTokenizer,
    Metaspace, and Split by a regular expression with the behaviour Isolated or Removed, with or
    without ``invert``; None leaves a text whole.
    Raises: GroundupError for anything else.
    """
    match spec:
        case None:
            return Splitter([])
        case {"type": "Sequence", "pretokenizers": list(parts)}:
            return Splitter(step for part in parts for step in splitter_from_json(part).steps)
        case {"type": "ByteLevel"}:
            cut = [pattern_step(GPT2_PATTERN)] if spec.get("use_regex", True) else []
            return Splitter([after_space, *cut] if spec["add_prefix_space"] else cut)
        case {"type": "Digits", "individual_digits": bool(alone)}:
            return Splitter([pattern_step(r"\p{N}" if alone else r"\p{N}+")])
        case {"type": "BertPreTokenizer"}:
            return Splitter([partial(scanned, kind=BERT)])
        case {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always" | "never"}:
            before = [after_mark] if spec["prepend_scheme"] == "always" else []
            cut = [partial(scanned, kind=METASPACE)] if spec.get("split", True) else []
            return Splitter([spaces_marked, *before, *cut])
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated"}:
            return Splitter([pattern_step(pattern)])
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Removed"}:
            inverted = spec["invert"]
            return Splitter([partial(matched, find(pattern), gaps=not inverted, matches=inverted)])
    raise GroundupError(
        f"the pre-tokenizer {spec} is not supported, expected ByteLevel, Digits, BertPreTokenizer, "
        "Metaspace, Split by Regex (Isolated or Removed) or a Sequence of these; take a model with "
        "such a tokenizer"
    )


def pattern_step(pattern: str) -> Step:
    """The step that cuts at a pattern's matches: they and what lies between them are words."""
    if pattern in SCANNED:
        kind, digits = SCANNED[pattern]
        return partial(scanned, kind=kind, digits=digits)
    return partial(matched, find(pattern))


def scanned(pieces: Pieces, kind: int, digits: int = 0) -> Pieces:
    starts, ends = scan(pieces.codes, pieces.starts, pieces.ends, kind, digits)
    return pieces._replace(starts=starts, ends=ends)


def after_space(pieces: Pieces) -> Pieces:
    return pieces.with_prefix(ord(" "))


def after_mark(pieces: Pieces) -> Pieces:
    return pieces.with_prefix(ord("▁"))


def spaces_marked(pieces: Pieces) -> Pieces:
    mark = np.where(pieces.codes == ord(" "), np.uint32(ord("▁")), pieces.codes)
    return pieces._replace(codes=mark)


def matched(
    pattern: "regex.Pattern[str]", pieces: Pieces, gaps: bool = True, matches: bool = True
) -> Pieces:
    """The matches of a regular expression in each piece, what lies between them, or both."""
    spans: list[tuple[int, int]] = []
    for start, text in zip(pieces.starts.tolist(), pieces.strings(), strict=True):
        done = 0
        for match in pattern.finditer(text):
            first, last = match.span()
            if gaps and done < first:
                spans.append((start + done, start + first))
            if matches and first < last:
                spans.append((start + first, start + last))
            done = last
        if gaps and done < len(text):
            spans.append((start + done, start + len(text)))
    found = np.array(spans, np.int64).reshape(-1, 2)
    return pieces._replace(starts=found[:, 0].copy(), ends=found[:, 1].copy())


def find(pattern: str) -> "regex.Pattern[str]":
    """The compiled pattern. Raises: GroundupError if it is not valid."""
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise GroundupError(
            f"the pre-tokenizer's pattern {pattern} is not a valid regular expression ({error}); "
            "take a model with another tokenizer"
        ) from error
