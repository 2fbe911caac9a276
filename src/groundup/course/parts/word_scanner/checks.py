"""Checks of `groundup.tokenizers.word_scanner`. Oracle: regular expressions, as published.

Numba is switched off for the part: compiling it takes seconds, and every check has a process of its
own. Loops give the same when they are interpreted.
"""

import random
from collections.abc import Callable
from types import ModuleType

import numba
import numpy as np
import regex

from groundup.course.grader.compare import assert_close, assert_equal
from groundup.tokenizers.character_classes import character_classes

END = r"|\s+(?!\S)|\s+"
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UP, LOW = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
MARK = r"[!-/:-@\[-`{-~\p{P}]"
CHINESE = "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df]"

# Characters of every class, those that patterns name, and pieces that they treat in their own way.
LETTERS = ["a", "b", "S", "T", "é", "ß", "я", "Д", "ǅ", "ʰ", "中", "日", "ا", "\u0301", "ſ"]
NUMBERS = ["0", "7", "42", "2024", "½", "٣", "Ⅻ"]
SPACES = [" ", " ", "  ", "   ", "\t", "\n", "\n", "\r\n", "\u00a0", "\u3000", " \n "]
MARKS = [".", ",", "!", "'", "'", "/", "$", "_", "€", "😀", "▁", "«"]
SHORTS = ["'s", "'S", "'re", "'Ve", "'LL", "'d", "'ſ", "'x", "it's", "WE'RE"]
CHARACTERS = [*LETTERS, *LETTERS, *NUMBERS, *SPACES, *SPACES, *MARKS, *SHORTS]

character_classes()  # of which every process then has a copy


def gpt2(digits: int = 0) -> str:
    return r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + END


def cl100k(digits: int = 3) -> str:
    most = digits or ""
    return (
        SHORT + rf"|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,{most}}}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+" + END
    )


def o200k(digits: int = 3) -> str:
    before, most = r"[^\r\n\p{L}\p{N}]?", digits or ""
    return (
        f"{before}{UP}*{LOW}+{SHORT}?|{before}{UP}+{LOW}*{SHORT}?"
        rf"|\p{{N}}{{1,{most}}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+" + END
    )


def runs_of_numbers(digits: int = 0) -> str:
    return rf"\p{{N}}{{1,{digits or ''}}}|\P{{N}}+"


BERT = rf"{MARK}|{CHINESE}|(?:(?!{MARK}|{CHINESE})\S)+"
METASPACE = "▁[^▁]*|[^▁]+"


def texts(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(CHARACTERS, k=rng.randint(0, 30))) for _ in range(count)]


def words(pattern: str, text: str) -> list[str]:
    return [match.group() for match in regex.finditer(pattern, text)]


def cut(part: ModuleType, text: str, kind: str, digits: int = 0) -> list[str]:
    """The part's words."""
    numba.config.DISABLE_JIT = True
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    starts, ends = np.zeros(1, np.int64), np.array([len(text)])
    found = part.scan(codes, starts, ends, getattr(part, kind), digits)
    return [text[a:b] for a, b in zip(*(side.tolist() for side in found), strict=True)]


def compare(part: ModuleType, kind: str, pattern: str, cases: list[str], digits: int = 0) -> None:
    expected = [words(pattern, text) for text in cases]
    for text, want in zip(cases, expected, strict=True):
        assert_equal(cut(part, text, kind, digits), want, f"the list of words of {text!r}")


def check_gpt2(part: ModuleType) -> None:
    """GPT2: words, numbers and marks with the space before them"""
    cases = ["Hello world", " a  b's", "we'll, they've", "x  1234 !?", "it'S 'tis", "a\n\nb", ""]
    compare(part, "GPT2", gpt2(), cases)
    compare(part, "GPT2", gpt2(), texts(150, 1))


def check_spaces(part: ModuleType) -> None:
    """Of several spaces the last one is left to the word behind them"""
    cases = [
        "a   b",
        "a   ",
        "   ",
        " ",
        "\t\tx",
        "a \n b",
        "x \n\n  y",
        "a\n\n\n",
        "  \n",
        "7   7",
    ]
    for kind, pattern in {"GPT2": gpt2(), "CL100K": cl100k(), "O200K": o200k()}.items():
        compare(part, kind, pattern, cases, 3)


def check_cl100k(part: ModuleType) -> None:
    """CL100K: any one character before letters, three digits at the most, line ends apart"""
    cases = ["(hello) $world", "1234567", "a!\n\nb", "WE'RE it'ſ", "\nx \ny", "\tx", "a/b//c"]
    compare(part, "CL100K", cl100k(), cases, 3)
    compare(part, "CL100K", cl100k(), texts(150, 2), 3)


def check_o200k(part: ModuleType) -> None:
    """O200K: words end where capitals begin anew, and take their contraction along"""
    cases = ["camelCaseWord", "HTTPServer", "ABC", "it's WE'RE", "中文Abc", "a/b//\n", "Éa\u0301B"]
    compare(part, "O200K", o200k(), cases, 3)
    compare(part, "O200K", o200k(), texts(200, 3), 3)


def check_digits(part: ModuleType) -> None:
    """digits: how many numbers one word holds, and 0 for any number"""
    cases = ["12345678", "a1b22c333d4444", "½٣Ⅻ0", *texts(30, 4)]
    for digits in (0, 1, 2, 3):
        compare(part, "CL100K", cl100k(digits), cases, digits)
        compare(part, "O200K", o200k(digits), cases, digits)


def check_runs_of_numbers(part: ModuleType) -> None:
    """DIGITS: runs of numbers, and runs of everything else whole"""
    cases = ["", "12ab34", "abcdef 1", "2024-05-17", *texts(60, 5)]
    for digits in (0, 1, 3):
        compare(part, "DIGITS", runs_of_numbers(digits), cases, digits)


def check_bert(part: ModuleType) -> None:
    """BERT: marks and Chinese characters alone, and no spaces"""
    cases = ["Hello, world!", "a.b$c €5", "中文abc日", "  a  ", "   ", "don't", *texts(100, 6)]
    compare(part, "BERT", BERT, cases)


def check_metaspace(part: ModuleType) -> None:
    """METASPACE: a word begins at each ▁"""
    cases = ["▁Hello▁world", "a▁b", "▁▁▁x", "▁", "none at all", "", "x▁", *texts(30, 7)]
    compare(part, "METASPACE", METASPACE, cases)


def check_pieces(part: ModuleType) -> None:
    """Each piece ends like a text, and what lies between pieces is left out"""
    numba.config.DISABLE_JIT = True
    text, spans = "ab  cd's 12345 x\n!", [(0, 3), (3, 3), (4, 7), (8, 12), (13, 18)]
    expected: list[tuple[int, int]] = []
    for start, end in spans:
        for match in regex.finditer(cl100k(), text[start:end]):
            expected.append((start + match.start(), start + match.end()))
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    starts, ends = np.array(spans).T.copy()
    got = part.scan(codes, starts, ends, part.CL100K, 3)
    for name, side, want in zip(("starts", "ends"), got, np.array(expected).T, strict=True):
        assert_close(side, want.copy(), rtol=0, atol=0, what=f"the words' {name}")


def check_nothing(part: ModuleType) -> None:
    """No pieces have no words: two empty arrays of int64"""
    numba.config.DISABLE_JIT = True
    none, no_codes = np.zeros(0, np.int64), np.zeros(0, np.uint32)
    for kind in ("GPT2", "CL100K", "O200K", "DIGITS", "BERT", "METASPACE"):
        for side in part.scan(no_codes, none, none, getattr(part, kind), 0):
            assert_close(side, none, rtol=0, atol=0, what=f"starts or ends for {kind}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` thousand characters by the pattern of cl100k."""
    text = ("The quick brown fox, it's 2024: jumped!\n\n" * 25 * size)[: 1000 * size]
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    starts, ends = np.zeros(1, np.int64), np.array([len(text)])
    return lambda: part.scan(codes, starts, ends, part.CL100K, 3)


SIZE = 100
