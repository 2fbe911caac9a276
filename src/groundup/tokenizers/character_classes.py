"""What kind of character each code point is, as bits in one table that compiled loops look up.

The classes follow the Unicode version of the installed ``regex`` package, so characters newer than
another library's tables may be cut differently there.
"""

from functools import cache

import numpy as np
import regex
from numpy.typing import NDArray

__all__ = ["CJK", "LETTER", "LOWER", "NEWLINE", "NUMBER", "PUNCTUATION", "SPACE", "UPPER"]
__all__ += ["character_classes"]

LETTER, NUMBER, SPACE, NEWLINE, UPPER, LOWER, PUNCTUATION, CJK = (1 << bit for bit in range(8))

PATTERNS = {
    LETTER: r"\p{L}+",
    NUMBER: r"\p{N}+",
    SPACE: r"\s+",
    NEWLINE: r"[\r\n]+",
    # Letters without case, and marks, count as both, as in the pattern of o200k.
    UPPER: r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+",
    LOWER: r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]+",
    # BERT's: ASCII symbols such as $ and + count as punctuation, others do not.
    PUNCTUATION: r"[!-/:-@\[-`{-~\p{P}]+",
    # BERT's blocks of Chinese characters, which have no spaces between words.
    CJK: "[\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f]+",
}


@cache
def character_classes() -> NDArray[np.uint8]:
    """(0x110000,) the bits of each code point; surrogates have none. Built once, in 0.2 s."""
    # Surrogates keep their places, so that a match's span is a range of code points.
    every = "".join(map(chr, range(0x110000)))
    table = np.zeros(0x110000, np.uint8)
    for bit, pattern in PATTERNS.items():
        for match in regex.finditer(pattern, every):
            table[match.start() : match.end()] |= bit
    return table
