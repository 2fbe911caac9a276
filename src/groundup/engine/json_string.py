r"""How JSON writes the characters of a string (RFC 8259, section 7).

JSON has several spellings for most characters: ``A`` is also ``\u0041``. A string without
conditions may use all of them. Where the characters matter (a pattern, a property's name), each has
one spelling, the shortest: itself, or else ``\"``, ``\\``, ``\n`` and so on, or else ``\u001f``.
Language models write nothing else, and it keeps the automata small.
"""

import json
from functools import cache

from groundup.engine.regular_expression import Dfa, compile_regex, utf8_sequences

__all__ = [
    "any_character",
    "any_text",
    "characters",
    "shortest_spelling",
    "spelled",
    "spelled_text",
]

# Any spelling. Halves of a surrogate pair must come in pairs, or no UTF-8 could hold the string.
ANY_CHARACTER = (
    r'[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u('
    r"[0-9A-CEFa-cef][0-9A-Fa-f]{3}|[Dd][0-7][0-9A-Fa-f]{2}"
    r"|[Dd][89ABab][0-9A-Fa-f]{2}\\u[Dd][C-Fc-f][0-9A-Fa-f]{2})"
)


@cache
def any_character() -> Dfa:
    """One character of a string in any spelling."""
    return compile_regex(ANY_CHARACTER)


@cache
def any_text() -> Dfa:
    """What may stand between a string's quotation marks."""
    return compile_regex(f"(?:{ANY_CHARACTER})*")


@cache
def spelled_text() -> Dfa:
    """As `any_text`, each character in its shortest spelling."""
    return characters(0, None)


def characters(least: int, most: int | None) -> Dfa:
    """Texts of so many characters, each in its shortest spelling. Raises: as `compile_regex`."""
    return compile_regex(rf"[\s\S]{{{least},{'' if most is None else most}}}", shortest_spelling)


def shortest_spelling(first: int, last: int) -> list[tuple[tuple[int, int], ...]]:
    """The bytes of a range of characters in a JSON string, for `compile_regex`."""
    found: list[tuple[tuple[int, int], ...]] = []
    for code in range(first, min(last, ord("\\")) + 1):
        if code < 0x20 or chr(code) in '"\\':
            found.append(tuple((byte, byte) for byte in spelled(chr(code))))
    for low, high in ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0x10FFFF)):
        if first <= high and low <= last:
            found += utf8_sequences(max(first, low), min(last, high))
    return found


def spelled(text: str) -> bytes:
    """A text as it stands between a string's quotation marks, each character at its shortest."""
    return json.dumps(text, ensure_ascii=False)[1:-1].encode()
