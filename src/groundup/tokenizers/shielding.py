"""Keeps what people and documents write from becoming control tokens (prompt injection).

A chat template mixes its own control tokens with contents into one text. After that nobody can
tell ``<|im_end|>`` of the template from ``<|im_end|>`` of a document. So before rendering, the
first character of each control token in the data is replaced by a character that occurs nowhere
else; what is rendered then holds no control token but the template's own, and once those are
found, the characters are put back.
"""

from collections.abc import Collection, Iterator
from functools import lru_cache
from typing import Any

import regex

__all__ = ["shield"]


def shield(data: Any, control_tokens: Collection[str], template: str) -> tuple[Any, dict[int, str]]:
    """A copy of ``data`` without control tokens, and the table that restores its text.

    Arguments:
        data: strings in any nesting of dicts (keys too), lists and tuples; other values stay.
        control_tokens: the strings that must not survive in the data, none of them empty.
        template: the text that the data will be mixed with.

    Returns: the copy, its strings as long as before, and a table for ``str.translate``. No
    control token occurs in the copy, nor arises where two of its strings are put side by side,
    be it after white space at their ends was stripped. Only characters that occur in neither
    ``data``, ``template`` nor ``control_tokens`` stand for others, so restoring is exact.
    """
    used = set(template).union(*control_tokens, *strings_in(data))
    unused = (chr(code) for code in range(0xE000, 0x110000) if chr(code) not in used)
    markers = {first: next(unused) for first in sorted({token[0] for token in control_tokens})}
    pattern = any_of(tuple(control_tokens))
    longest = max(map(len, control_tokens), default=0)

    def guard(value: Any) -> Any:
        if isinstance(value, str):
            return guard_text(value)
        if isinstance(value, dict):
            return {guard(key): guard(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [guard(item) for item in value]
        return value

    def guard_text(text: str) -> str:
        if not control_tokens:
            return text
        starts = {match.start() for match in pattern.finditer(text, overlapped=True)}
        # "<|im_" at the end of one string and "end|>" at the start of the next are one token.
        end = len(text.rstrip())
        starts.update(
            start
            for start in range(max(0, end - longest + 1), end)
            if text[start] in markers and pattern.fullmatch(text, start, end, partial=True)
        )
        characters = list(text)
        for start in starts:
            characters[start] = markers[text[start]]
        return "".join(characters)

    return guard(data), {ord(marker): first for first, marker in markers.items()}


@lru_cache
def any_of(tokens: tuple[str, ...]) -> "regex.Pattern[str]":
    return regex.compile("|".join(map(regex.escape, tokens)))


def strings_in(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for key, item in data.items():
            yield from strings_in(key)
            yield from strings_in(item)
    elif isinstance(data, list | tuple):
        for item in data:
            yield from strings_in(item)
