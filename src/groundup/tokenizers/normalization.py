"""Normalisation: writing in one way what can be written in several, before words are cut.

A normaliser gives the new text, and for each of its characters where in the old one it comes from.
Sources: Unicode Standard Annex 15 (NFC, NFD, NFKC, NFKD), and BERT's `BasicTokenizer` (Devlin et
al. 2018), as Hugging Face's tokenizer.json files describe them.
"""

import unicodedata
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import regex
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.tokenizers.character_classes import CJK, character_classes

__all__ = ["Normalizer", "as_it_is", "normalizer_from_json"]

# Text to (n characters, (n, 2) start and end of what each was); None where nothing moved.
Origins = NDArray[np.int64] | None
Normalizer = Callable[[str], tuple[str, Origins]]

# A character with those that may be composed with it: marks, and the parts of Hangul syllables.
CLUSTER = regex.compile(r".[\p{M}\u1160-\u11ff\uff9e\uff9f]*", regex.DOTALL)


def as_it_is(text: str) -> tuple[str, Origins]:
    """No change."""
    return text, None


def normalizer_from_json(spec: dict[str, Any] | None) -> Normalizer:
    """The normaliser that the ``normalizer`` object of a tokenizer.json describes.

    Supported: NFC, NFD, NFKC and NFKD, the forms of Unicode (`by_cluster`); Lowercase and
    StripAccents, which change each character by itself (`ByCharacter`); BertNormalizer
    (`bert_normalizer`); Sequence, whose ``normalizers`` come one after another (`in_sequence`); and
    None, which changes nothing.

    Returns: a function of a text. It gives the new text and its origins: for each new character
    where what it was starts and ends in the text that was given. The origins are None where every
    character became one.
    Raises: GroundupError for anything else.
    Example: NFC of "ae\u0301" is "aé" with the origins ((0, 1), (1, 3)).
    """
    match spec:
        case None:
            return as_it_is
        case {"type": "NFC" | "NFD" | "NFKC" | "NFKD" as form}:
            return partial(by_cluster, partial(unicodedata.normalize, form))
        case {"type": "Lowercase"}:
            return ByCharacter(str.lower)
        case {"type": "StripAccents"}:
            return ByCharacter(without_accents)
        case {"type": "BertNormalizer"}:
            return bert_normalizer(spec)
        case {"type": "Sequence", "normalizers": list(parts)}:
            return in_sequence([normalizer_from_json(part) for part in parts])
    raise GroundupError(
        f"the normalizer {spec} is not supported, expected NFC, NFD, NFKC, NFKD, Lowercase, "
        "StripAccents, BertNormalizer or a Sequence of these; take a model with such a tokenizer"
    )


def by_cluster(change: Callable[[str], str], text: str) -> tuple[str, Origins]:
    """Change a text whose characters may be joined with those behind them.

    What becomes of a character and its marks (a match of ``CLUSTER``) comes from all of them: each
    new character has the whole cluster's span. If changing cluster by cluster gives another text
    than changing all of it does, the latter is right, and each character comes from the whole text.
    """
    if text.isascii() or (changed := change(text)) == text:
        return text, None
    parts = CLUSTER.findall(text)
    becomes = [change(part) for part in parts]
    if "".join(becomes) != changed:  # a cluster that this pattern does not know
        parts, becomes = [text], [changed]
    return changed, origins_of(list(map(len, parts)), list(map(len, becomes)))


class ByCharacter:
    """Changes each character by itself. What becomes of it is found out once."""

    def __init__(self, change: Callable[[str], str]) -> None:
        """``change``: one character to what it becomes: none, one or several."""
        self._change = change
        self._becomes: dict[int, str] = {}
        self._lengths = np.full(0x110000, -1, np.int8)  # of what a code point becomes

    def __call__(self, text: str) -> tuple[str, Origins]:
        """The new text and its origins, as `normalizer_from_json` says."""
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        for code in np.unique(codes[self._lengths[codes] < 0]).tolist():
            self._becomes[code] = self._change(chr(code))
            self._lengths[code] = len(self._becomes[code])
        changed, lengths = text.translate(self._becomes), self._lengths[codes]
        if (lengths == 1).all():
            return changed, None
        places = np.repeat(np.arange(len(codes)), lengths)
        return changed, np.stack((places, places + 1), axis=1)


def origins_of(old: list[int], new: list[int]) -> NDArray[np.int64]:
    """The spans of the old parts of these lengths, one row for each character of the new ones."""
    ends = np.array([*accumulate(old)], np.int64)
    spans = np.stack((ends - np.array(old, np.int64), ends), axis=1)
    return np.repeat(spans, np.array(new, np.int64), axis=0)


def in_sequence(normalizers: list[Normalizer]) -> Normalizer:
    """One after another. The origins are in the first one's text.

    What came from several characters, of which each came from somewhere, comes from the first one's
    start to the last one's end.
    """

    def normalize(text: str) -> tuple[str, Origins]:
        origins: Origins = None
        for normalizer in normalizers:
            text, new = normalizer(text)
            if new is not None and origins is not None and len(new):
                new = np.stack((origins[new[:, 0], 0], origins[new[:, 1] - 1, 1]), axis=1)
            origins = origins if new is None else new
        return text, origins

    return normalize


def without_accents(text: str) -> str:
    """Without marks that take no room of their own (category Mn)."""
    return "".join(c for c in text if unicodedata.category(c) != "Mn")


def bert_normalizer(spec: dict[str, Any]) -> Normalizer:
    """BERT's: each character passes these, as far as the file has them on.

    - ``clean_text``: tab, line ends and the separators (Zs, Zl, Zp) become U+0020; other controls
      (Cc, Cf, Co) and U+FFFD are dropped.
    - ``handle_chinese_chars``: a character of the class CJK gets a space on each side.
    - ``strip_accents``: it is decomposed (NFD) and loses its accents. Where the file has None for
      it, or nothing, it is as ``lowercase`` says.
    - ``lowercase``: it is lowered.
    """
    lowercase: bool = spec["lowercase"]
    strip = lowercase if spec.get("strip_accents") is None else spec["strip_accents"]

    def becomes(character: str) -> str:
        if spec["clean_text"]:
            category = unicodedata.category(character)
            if character in "\t\n\r" or category in ("Zs", "Zl", "Zp"):
                return " "
            if character == "\ufffd" or category in ("Cc", "Cf", "Co"):
                return ""
        if spec["handle_chinese_chars"] and character_classes()[ord(character)] & CJK:
            character = f" {character} "
        if strip:
            character = without_accents(unicodedata.normalize("NFD", character))
        return character.lower() if lowercase else character

    return ByCharacter(becomes)
