"""The patterns that cut texts into words, as loops over code points instead of regular expressions.

What follows finds where the word at a place ends, as the alternatives of a pattern do when they are
tried in their order, but without going back and forth: these patterns need at most one character of
look-ahead.

Sources: Radford et al. 2019, `encoder.py` of GPT-2; OpenAI's `tiktoken` for cl100k and o200k;
Devlin et al. 2018, BERT's `BasicTokenizer`; Kudo and Richardson 2018, "SentencePiece".
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from groundup.tokenizers.character_classes import (
    CJK,
    LETTER,
    LOWER,
    NEWLINE,
    NUMBER,
    PUNCTUATION,
    SPACE,
    UPPER,
    character_classes,
)

__all__ = ["BERT", "CL100K", "DIGITS", "GPT2", "METASPACE", "O200K", "scan"]
__all__ += ["CL100K_PATTERN", "GPT2_PATTERN", "O200K_PATTERN"]

GPT2, CL100K, O200K, DIGITS, BERT, METASPACE = range(6)
LOWER_BLOCK = 0x2581  # ▁, which stands for a space

CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K_PATTERN = (
    CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
O200K_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    f"{CONTRACTIONS}?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    f"{CONTRACTIONS}?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def scan(
    codes: NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64], kind: int,
    digits: int = 0,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:  # fmt: skip
    """Cut each piece of a text into words, in order; a piece's end is the end of a text to it.

    Which characters are letters, numbers, spaces and so on, `character_classes` says: its entry for
    a code point has the bit of each class that the character is of.

    Arguments:
        codes: (n,) the text's code points.
        starts, ends: (pieces,) where each piece begins, and one more than where it ends. Pieces are
            in order and do not overlap; what lies between them is not looked at.
        kind: where words end:

            - GPT2, CL100K, O200K: the words are the matches of the pattern of that name, one after
              another. Every character is in one of them.
            - DIGITS: runs of numbers, and runs of everything else.
            - BERT: each mark of punctuation and each Chinese character (class CJK) is a word, and
              so is each run of characters that are neither of them nor spaces. Spaces are in none.
            - METASPACE: a word begins at each ▁, and at the beginning.
        digits: the most numbers in one word, for DIGITS, and for CL100K and O200K in the place of
            the 3 of ``\\p{N}{1,3}``; 0 is any number.

    Returns: starts and ends of the words, (words,) each, in order; none of them is empty.
    Time: O(n) for all texts, also for a million spaces.
    Example: " a  b's" is cut by GPT2 into " a", " ", " b", "'s".
    """
    most = int((ends - starts).sum())
    found = np.empty((2, most), np.int64)
    n = _scan(codes, starts, ends, character_classes(), kind, digits or most, found)
    return found[0, :n], found[1, :n]


@njit(cache=True, nogil=True)
def _scan(
    codes: Any, starts: Any, ends: Any, classes: Any, kind: int, digits: int, found: Any
) -> Any:
    n = 0
    for piece in range(len(starts)):
        i, end = starts[piece], ends[piece]
        while i < end:
            if kind == BERT and classes[codes[i]] & SPACE:
                i += 1
                continue
            if kind == GPT2:
                j = _gpt2(codes, classes, i, end)
            elif kind == CL100K:
                j = _cl100k(codes, classes, i, end, digits)
            elif kind == O200K:
                j = _o200k(codes, classes, i, end, digits)
            elif kind == DIGITS:
                number = classes[codes[i]] & NUMBER
                j = i + 1
                while j < end and classes[codes[j]] & NUMBER == number:
                    if number and j - i >= digits:
                        break
                    j += 1
            elif kind == BERT:
                j = i + 1
                if not classes[codes[i]] & (PUNCTUATION | CJK):
                    while j < end and not classes[codes[j]] & (SPACE | PUNCTUATION | CJK):
                        j += 1
            else:
                j = i + 1
                while j < end and codes[j] != LOWER_BLOCK:
                    j += 1
            found[0, n], found[1, n] = i, j
            n += 1
            i = j
    return n


@njit(cache=True, nogil=True)
def _run(codes: Any, classes: Any, i: int, end: int, wanted: int) -> Any:
    """The end of the run of characters of a class."""
    while i < end and classes[codes[i]] & wanted:
        i += 1
    return i


@njit(cache=True, nogil=True)
def _others(codes: Any, classes: Any, i: int, end: int) -> Any:
    """The end of the run of what is neither letter, number nor space."""
    while i < end and not classes[codes[i]] & (LETTER | NUMBER | SPACE):
        i += 1
    return i


@njit(cache=True, nogil=True)
def _spaces(codes: Any, classes: Any, i: int, end: int) -> Any:
    r"""The end of a run of spaces, which leaves its last one to a word behind: \s+(?!\S)|\s+"""
    j = _run(codes, classes, i, end, SPACE)
    return j if j == end or j == i + 1 else j - 1


@njit(cache=True, nogil=True)
def _contraction(codes: Any, i: int, end: int, any_case: bool) -> Any:
    """The end of 's, 't, 're, 've, 'm, 'll or 'd at a place; the place itself if none is there."""
    if codes[i] != ord("'") or i + 1 >= end:
        return i
    a = codes[i + 1]
    b = codes[i + 2] if i + 2 < end else np.uint32(0)
    if any_case:
        if a == 0x17F:  # ſ is an s, whatever its case
            return i + 2
        a |= np.uint32(32) if a < 128 else np.uint32(0)
        b |= np.uint32(32) if b < 128 else np.uint32(0)
    if a == ord("s") or a == ord("t") or a == ord("m") or a == ord("d"):
        return i + 2
    if ((a == ord("r") or a == ord("v")) and b == ord("e")) or (a == ord("l") and b == ord("l")):
        return i + 3
    return i


@njit(cache=True, nogil=True)
def _gpt2(codes: Any, classes: Any, i: int, end: int) -> Any:
    j = _contraction(codes, i, end, False)
    if j > i:
        return j
    j = i + 1 if codes[i] == 32 and i + 1 < end else i
    found = classes[codes[j]]
    if found & LETTER:
        return _run(codes, classes, j, end, LETTER)
    if found & NUMBER:
        return _run(codes, classes, j, end, NUMBER)
    if not found & SPACE:
        return _others(codes, classes, j, end)
    return _spaces(codes, classes, i, end)


@njit(cache=True, nogil=True)
def _numbers_marks_spaces(
    codes: Any, classes: Any, i: int, end: int, digits: int, slash: bool
) -> Any:
    r"""\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
    if classes[codes[i]] & NUMBER:
        return _run(codes, classes, i, min(end, i + digits), NUMBER)
    j = i + 1 if codes[i] == 32 else i
    k = _others(codes, classes, j, end)
    if k > j:
        while k < end and (classes[codes[k]] & NEWLINE or (slash and codes[k] == ord("/"))):
            k += 1
        return k
    j = _run(codes, classes, i, end, SPACE)
    while j > i and not classes[codes[j - 1]] & NEWLINE:
        j -= 1
    return j if j > i else _spaces(codes, classes, i, end)


@njit(cache=True, nogil=True)
def _cl100k(codes: Any, classes: Any, i: int, end: int, digits: int) -> Any:
    j = _contraction(codes, i, end, True)
    if j > i:
        return j
    found = classes[codes[i]]
    if found & LETTER:
        return _run(codes, classes, i, end, LETTER)
    if not found & (NUMBER | NEWLINE) and i + 1 < end and classes[codes[i + 1]] & LETTER:
        return _run(codes, classes, i + 1, end, LETTER)
    return _numbers_marks_spaces(codes, classes, i, end, digits, False)


@njit(cache=True, nogil=True)
def _o200k(codes: Any, classes: Any, i: int, end: int, digits: int) -> Any:
    prefix = 0 if classes[codes[i]] & (LETTER | NUMBER | NEWLINE) else 1
    for start in range(i + prefix, i - 1, -1):  # [upper]*[lower]+ behind one other character
        upper = _run(codes, classes, start, end, UPPER)
        j = _run(codes, classes, upper, end, LOWER)
        if j == upper:  # the last that counts as both is given back to be the lower one
            while j > start and not classes[codes[j - 1]] & LOWER:
                j -= 1
        if j > start:
            return max(j, _contraction(codes, j, end, True)) if j < end else j
    for start in range(i + prefix, i - 1, -1):  # [upper]+, as no lower one follows
        j = _run(codes, classes, start, end, UPPER)
        if j > start:
            return _contraction(codes, j, end, True) if j < end else j
    return _numbers_marks_spaces(codes, classes, i, end, digits, True)
