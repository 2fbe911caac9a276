"""Checks of `groundup.tokenizers.normalization`. Oracles: Python's Unicode, `tokenizers`, spans."""

import json
import random
import unicodedata
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal

import numpy as np
from tokenizers.normalizers import BertNormalizer

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.errors import GroundupError
from groundup.tokenizers.character_classes import character_classes

FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")
# Letters with and without accents, in both ways of writing; signs that stand for several; Hangul
# whole and in parts; Chinese; spaces, controls, and what only seems to be empty.
CHARACTERS = [
    *("a", "B", "z", "É", "é", "e\u0301", "A\u030a", "o\u0323\u0302", "\u1ed9", "ñ", "n\u0303"),
    *("ﬁ", "½", "²", "Ω", "\u2126", "Ａ", "ｶ\uff9e", "각", "\u1100\u1161\u11a8", "\u1100\u1161"),
    *("中", "日本", "ß", "Σ", "İ", "я", "😀", "\u0301", "1", ".", "'", " ", "  ", "\u00a0"),
    *("\t", "\n", "\u3000", "\u2028", "\u200b", "\x00", "\x7f", "\ufffd", "\u00ad"),
]

Span = tuple[int, int]

character_classes()  # of which every process then has a copy


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(CHARACTERS, k=rng.randint(0, 12))) for _ in range(count)]


def normalised(normalize: Any, text: str) -> tuple[str, list[Span]]:
    """The new text, and the span of each of its characters, where None is one for each."""
    result = normalize(text)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], str):
        raise CheckFailure(f"{text!r} gives {result!r}: expected a text and its origins")
    new, origins = result
    if origins is None:
        if len(new) != len(text):
            raise CheckFailure(f"{text!r} became {new!r}: its origins cannot be None")
        return new, [(i, i + 1) for i in range(len(text))]
    if not isinstance(origins, np.ndarray) or origins.dtype != np.int64:
        raise CheckFailure(f"the origins for {text!r} should be an array of int64")
    assert_equal(origins.shape, (len(new), 2), f"the shape of the origins for {text!r}")
    return new, [(int(start), int(end)) for start, end in origins]


def compare(
    part: ModuleType, spec: dict[str, Any] | None, cases: dict[str, tuple[str, list[Span]]]
) -> None:
    """The texts and their origins."""
    normalize, name = part.normalizer_from_json(spec), "None" if spec is None else spec["type"]
    for text, (new, spans) in cases.items():
        got, found = normalised(normalize, text)
        assert_equal(got, new, f"{name} of {text!r}")
        assert_equal(found, spans, f"the origins of {name} of {text!r}")


def by_character(change: Callable[[str], str], text: str) -> tuple[str, list[Span]]:
    """What a change of each character by itself gives, one after another."""
    parts = [change(character) for character in text]
    return "".join(parts), [(i, i + 1) for i, part in enumerate(parts) for _ in part]


def check_forms(part: ModuleType) -> None:
    """NFC, NFD, NFKC and NFKD give what Unicode says"""
    cases = texts(80, 1)
    for form in FORMS:
        expected = [unicodedata.normalize(form, text) for text in cases]
        normalize = part.normalizer_from_json({"type": form})
        for text, want in zip(cases, expected, strict=True):
            assert_equal(normalised(normalize, text)[0], want, f"{form} of {text!r}")


def check_origins_of_forms(part: ModuleType) -> None:
    """A character and its marks are one: what becomes of them comes from all of them"""
    compare(part, {"type": "NFC"}, {
        "ae\u0301b": ("aéb", [(0, 1), (1, 3), (3, 4)]),
        "\u1100\u1161\u11a8.": ("각.", [(0, 3), (3, 4)]),
        "o\u0302\u0323": ("\u1ed9", [(0, 3)]),
    })  # fmt: skip
    compare(part, {"type": "NFD"}, {
        "aéb": ("ae\u0301b", [(0, 1), (1, 2), (1, 2), (2, 3)]),
        "\u1ed9": ("o\u0323\u0302", [(0, 1)] * 3),
    })  # fmt: skip
    compare(part, {"type": "NFKC"}, {
        "xﬁ½": ("xfi1\u20442", [(0, 1), (1, 2), (1, 2), (2, 3), (2, 3), (2, 3)]),
        "ｶ\uff9eＡ": ("ガA", [(0, 2), (2, 3)]),
    })  # fmt: skip


def check_spans(part: ModuleType) -> None:
    """The characters of each span are what its old text becomes by itself"""
    cases = texts(60, 2)
    for form in FORMS:
        normalize = part.normalizer_from_json({"type": form})
        for text in cases:
            new, spans = normalised(normalize, text)
            if spans != sorted(spans):
                raise CheckFailure(f"the origins of {form} of {text!r} are not in order: {spans}")
            for start, end in set(spans):
                got = "".join(c for c, span in zip(new, spans, strict=True) if span == (start, end))
                want = unicodedata.normalize(form, text[start:end])
                assert_equal(got, want, f"{form} of {text!r}: what comes from {start} to {end}")


def check_lowercase(part: ModuleType) -> None:
    """Lowercase: each letter by itself, also where it becomes two"""
    cases = ["", "ABC", "ÉΣ", "xİy", "Straße", *texts(30, 3)]
    compare(part, {"type": "Lowercase"}, {text: by_character(str.lower, text) for text in cases})


def check_strip_accents(part: ModuleType) -> None:
    """StripAccents: marks go, and composed letters stay as they are"""
    drop = lambda c: "" if unicodedata.category(c) == "Mn" else c  # noqa: E731
    cases = ["e\u0301a", "é", "\u0301", "o\u0323\u0302x", *texts(30, 4)]
    compare(part, {"type": "StripAccents"}, {text: by_character(drop, text) for text in cases})


def bert(
    clean: bool = True, chinese: bool = True, strip: bool | None = None, lower: bool = True
) -> tuple[dict[str, Any], BertNormalizer]:
    theirs = BertNormalizer(
        clean_text=clean, handle_chinese_chars=chinese, strip_accents=strip, lowercase=lower
    )
    return json.loads(theirs.__getstate__()), theirs


def check_bert(part: ModuleType) -> None:
    """BertNormalizer: every combination of its four options, as in the library"""
    cases = ["Héllo\tWorld", "中文abc", "a\u200b\x00\ufffdb", "\u00a0\u3000x", *texts(25, 5)]
    options = [
        bert(clean, chinese, strip, lower)
        for clean in (True, False)
        for chinese in (True, False)
        for strip in (None, True, False)
        for lower in (True, False)
    ]
    expected = [[theirs.normalize_str(text) for text in cases] for _, theirs in options]
    for (spec, _), wanted in zip(options, expected, strict=True):
        normalize = part.normalizer_from_json(spec)
        for text, want in zip(cases, wanted, strict=True):
            assert_equal(normalised(normalize, text)[0], want, f"{spec} of {text!r}")


def check_origins_of_bert(part: ModuleType) -> None:
    """BertNormalizer: what is dropped has no place, and added spaces are their character's"""
    spec, _ = bert()
    compare(part, spec, {
        "É中\x00x": ("e 中 x", [(0, 1), (1, 2), (1, 2), (1, 2), (3, 4)]),
        "A\tB": ("a b", [(0, 1), (1, 2), (2, 3)]),
        "e\u0301": ("e", [(0, 1)]),
        "\x00\u200b中": (" 中 ", [(2, 3)] * 3),
        "\u200b": ("", []),
    })  # fmt: skip


def check_missing_strip_accents(part: ModuleType) -> None:
    """BertNormalizer: a file without strip_accents strips where it lowers"""
    for lower, want in ((True, "e"), (False, "É")):
        spec, _ = bert(lower=lower)
        del spec["strip_accents"]
        got, _ = normalised(part.normalizer_from_json(spec), "É")
        assert_equal(got, want, f"É, lowercase={lower},")


def check_sequence(part: ModuleType) -> None:
    """Sequence: one after another, with origins in the first text"""
    steps = [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "NFC"}]
    compare(part, {"type": "Sequence", "normalizers": steps}, {
        "aÉb": ("aeb", [(0, 1), (1, 2), (2, 3)]),
        "xİe\u0301": ("xie", [(0, 1), (1, 2), (2, 4)]),
        "": ("", []),
    })  # fmt: skip
    clean, _ = bert(chinese=False, strip=False, lower=False)
    compare(part, {"type": "Sequence", "normalizers": [clean, {"type": "NFC"}]}, {
        "\x00e\u0301x": ("éx", [(1, 3), (3, 4)]),
    })  # fmt: skip
    compare(part, {"type": "Sequence", "normalizers": []}, {"Aé": ("Aé", [(0, 1), (1, 2)])})


def check_nothing(part: ModuleType) -> None:
    """None changes nothing, and empty texts stay empty"""
    compare(part, None, {"Aé\x00": ("Aé\x00", [(0, 1), (1, 2), (2, 3)]), "": ("", [])})
    assert_equal(part.as_it_is("Aé"), ("Aé", None), "as_it_is")
    for spec in ({"type": "NFKC"}, {"type": "Lowercase"}, {"type": "StripAccents"}, bert()[0]):
        compare(part, spec, {"": ("", [])})


def check_repeated_use(part: ModuleType) -> None:
    """A normaliser gives the same for a text that comes again, after others"""
    normalize = part.normalizer_from_json({"type": "Lowercase"})
    got = [normalize(text)[0] for text in ("AB", "CİA", "AB", "İ")]
    assert_equal(got, ["ab", "ci\u0307a", "ab", "i\u0307"], "the list of texts")


def check_unknown(part: ModuleType) -> None:
    """What is not supported raises GroundupError"""
    part.normalizer_from_json(None)
    for spec in ({"type": "Nmt"}, {"type": "nfc"}, {}, {"type": "Sequence"}):
        call = lambda spec=spec: part.normalizer_from_json(spec)  # noqa: E731
        assert_raises(GroundupError, call, f"the description is {spec}", "not supported")
    nested = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]}
    assert_raises(GroundupError, lambda: part.normalizer_from_json(nested), "one in a Sequence is "
                  "not supported", "Nmt")  # fmt: skip


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: BERT's normaliser over ``size`` thousand characters."""
    text = ("Héllo wörld, this is Ünïcode. " * 40 * size)[: 1000 * size]
    normalize = part.normalizer_from_json(bert()[0])
    return lambda: normalize(text)


SIZE = 100
