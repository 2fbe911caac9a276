"""Pre-tokenisation: cutting text into the words inside which byte-pair merges happen.

A splitter is a function from a text to its pieces; the pieces of the next splitter in a chain are
cut from those of the one before. Sources: the pattern of GPT-2 (Radford et al. 2019, `encoder.py`),
its descendants as Llama 3 and Qwen2 publish them in tokenizer.json, and the names that llama.cpp
gives them in GGUF files (`tokenizer.ggml.pre`).

The classes ``\\p{L}`` and ``\\p{N}`` follow the Unicode version of the installed ``regex`` package,
so characters newer than another library's tables may be cut differently there.
"""

from collections.abc import Callable
from itertools import chain
from typing import Any

import regex

from groundup.errors import GroundupError

__all__ = ["Splitter", "named_splitter", "splitter_from_json"]

Splitter = Callable[[str], list[str]]

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")  # digits in threes; else the same
DIGIT = r"\p{N}"
UNNAMED = [r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"]

NAMES: dict[str, list[str]] = {
    "default": UNNAMED,  # what llama.cpp does where a converter could not name the pattern
    "gpt-2": [GPT2],
    "llama-bpe": [LLAMA3],
    "llama3": [LLAMA3],
    "llama-v3": [LLAMA3],
    "qwen2": [QWEN2],
    "deepseek-r1-qwen": [QWEN2],
    "smollm": [DIGIT, GPT2],
    "starcoder": [DIGIT, GPT2],
}


def named_splitter(name: str) -> Splitter:
    """The splitter that a GGUF file names in ``tokenizer.ggml.pre``.

    Raises: GroundupError for a name that is not in the table.
    """
    if name not in NAMES:
        raise GroundupError(
            f"the pre-tokenizer {name!r} is not supported, expected one of "
            f"{', '.join(NAMES)}; take a model with one of these"
        )
    return in_sequence([matches_and_gaps(pattern) for pattern in NAMES[name]])


def splitter_from_json(spec: dict[str, Any]) -> Splitter:
    """The splitter that the ``pre_tokenizer`` object of a Hugging Face tokenizer.json describes.

    Supported: Sequence, ByteLevel (``use_regex``, ``add_prefix_space``), Digits, and Split by a
    regular expression with the behaviour Isolated or Removed, with or without ``invert``.
    Raises: GroundupError for anything else.
    """
    match spec:
        case {"type": "Sequence", "pretokenizers": list(parts)}:
            return in_sequence([splitter_from_json(part) for part in parts])
        case {"type": "ByteLevel"}:
            cut = matches_and_gaps(GPT2) if spec.get("use_regex", True) else whole
            return in_sequence([after_space, cut]) if spec["add_prefix_space"] else cut
        case {"type": "Digits", "individual_digits": bool(alone)}:
            return matches_and_gaps(DIGIT if alone else DIGIT + "+")
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated"}:
            return matches_and_gaps(pattern)
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Removed"}:
            return matches_only(pattern) if spec["invert"] else gaps_only(pattern)
    raise GroundupError(
        f"the pre-tokenizer {spec} is not supported, expected ByteLevel, Digits, Split by Regex "
        "(Isolated or Removed) or a Sequence of these; take a model with such a tokenizer"
    )


def in_sequence(splitters: list[Splitter]) -> Splitter:
    if len(splitters) == 1:
        return splitters[0]

    def split(text: str) -> list[str]:
        pieces = [text]
        for splitter in splitters:
            pieces = list(chain.from_iterable(map(splitter, pieces)))
        return pieces

    return split


def whole(text: str) -> list[str]:
    return [text]


def after_space(text: str) -> list[str]:
    return [text if text.startswith(" ") else " " + text]


def matches_and_gaps(pattern: str) -> Splitter:
    compiled = compile_pattern(f"({pattern})")
    return lambda text: [piece for piece in compiled.split(text) if piece]


def gaps_only(pattern: str) -> Splitter:
    compiled = compile_pattern(f"({pattern})")
    return lambda text: [piece for piece in compiled.split(text)[::2] if piece]


def matches_only(pattern: str) -> Splitter:
    compiled = compile_pattern(f"({pattern})")
    return lambda text: [piece for piece in compiled.split(text)[1::2] if piece]


def compile_pattern(pattern: str) -> "regex.Pattern[str]":
    """Compile a pattern in one group: ``split`` then returns gaps and matches in turn."""
    try:
        compiled = regex.compile(pattern)
    except regex.error as error:
        raise GroundupError(
            f"the pre-tokenizer's pattern {pattern} is not a valid regular expression ({error}); "
            "take a model with another tokenizer"
        ) from error
    if compiled.groups != 1:
        raise GroundupError(
            f"the pre-tokenizer's pattern {pattern} has groups of its own, expected none; "
            "write them as (?:...)"
        )
    return compiled
