"""Checks of `groundup.engine.regular_expression`. Oracles: Python's ``re`` and ``str.encode``."""

import random
import re
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from types import ModuleType
from typing import Any

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.errors import GroundupError

Sequences = list[tuple[tuple[int, int], ...]]

# First and last code point, at and around the borders where the encodings change.
BORDERS = (0, 1, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF)


def encodings(sequences: Sequences) -> list[bytes]:
    """All that the sequences say, one after the other."""
    return [
        bytes(choice)
        for sequence in sequences
        for choice in product(*(range(first, last + 1) for first, last in sequence))
    ]


def encoded(first: int, last: int) -> list[bytes]:
    return [chr(c).encode() for c in range(first, last + 1) if not 0xD800 <= c <= 0xDFFF]


def texts(alphabet: str, longest: int) -> list[str]:
    """Every text over an alphabet, the shortest first."""
    return ["".join(t) for n in range(longest + 1) for t in product(alphabet, repeat=n)]


def fullmatches(
    part: ModuleType, patterns: Iterable[str], some: Iterable[str], **options: Any
) -> None:
    """Fail unless each pattern matches the texts that ``re`` fully matches, or finds."""
    find = re.search if options.get("search") else re.fullmatch
    expected = {
        (pattern, text): find(pattern, text, re.ASCII) is not None
        for pattern in patterns
        for text in some
    }
    compiled: dict[str, Any] = {}
    for (pattern, text), want in expected.items():
        if pattern not in compiled:
            compiled[pattern] = part.compile_regex(pattern, **options)
        got = compiled[pattern].matches(text.encode())
        assert_equal(got, want, f"whether {pattern!r} matches {text!r}")


def check_utf8_borders(part: ModuleType) -> None:
    """utf8_sequences: single characters, and ranges that cross where the encodings grow longer"""
    ranges = [(c, c) for c in BORDERS]
    ranges += [(c - d, c + d) for c in (0x80, 0x800, 0x1000, 0xFFFF) for d in (1, 70)]
    ranges += [(0xD700, 0xE0FF), (0x41, 0x7FF), (0x20AC, 0x20AD), (0x3FFFF, 0x41001)]
    expected = [encoded(first, last) for first, last in ranges]
    for (first, last), want in zip(ranges, expected, strict=True):
        got = encodings(part.utf8_sequences(first, last))
        assert_equal(got, want, f"the encodings of U+{first:04X} to U+{last:04X}")


def check_utf8_random(part: ModuleType) -> None:
    """utf8_sequences: random ranges, every character once and in order"""
    rng = random.Random(1)
    starts = [rng.randrange(high) for high in (0x90, 0x900, 0x11000, 0x10FF00) for _ in range(12)]
    ranges = [(start, min(start + rng.randrange(5000), 0x10FFFF)) for start in starts]
    expected = [encoded(first, last) for first, last in ranges]
    for (first, last), want in zip(ranges, expected, strict=True):
        got = encodings(part.utf8_sequences(first, last))
        assert_equal(got, want, f"the encodings of U+{first:04X} to U+{last:04X}")


def check_utf8_is_compact(part: ModuleType) -> None:
    """utf8_sequences: all characters need nine sequences, ASCII one, and surrogates none"""
    cases = {(0, 0x10FFFF): 9, (0, 0x7F): 1, (0x80, 0x7FF): 1, (0xD800, 0xDFFF): 0, (65, 65): 1}
    for (first, last), want in cases.items():
        got = len(part.utf8_sequences(first, last))
        assert_equal(got, want, f"the number of sequences for U+{first:04X} to U+{last:04X}")


def check_dfa_runs(part: ModuleType) -> None:
    """Dfa: step finds the move of a byte, both ends of its range included, or None"""
    dfa = part.Dfa((((10, 20, 1), (30, 30, 2)), ((0, 255, 0),), ()), frozenset({0, 2}))
    steps = {(0, 9): None, (0, 10): 1, (0, 15): 1, (0, 20): 1, (0, 21): None, (0, 30): 2}
    steps |= {(1, 0): 0, (1, 255): 0, (2, 30): None}
    for (state, byte), want in steps.items():
        got = dfa.step(state, byte)
        assert_equal(got, want, f"the state after byte {byte} in state {state}")
    runs = {b"": True, b"\x0a": False, b"\x0a\xff": True, b"\x1e": True, b"\x1e\x1e": False}
    runs |= {b"\x0a\x00\x14\x01\x1e": True, b"\x63": False, b"\x63\x0a\x00": False}
    for data, accepted in runs.items():
        assert_equal(dfa.matches(data), accepted, f"whether {data!r} matches")


def check_sequences_and_alternatives(part: ModuleType) -> None:
    """compile_regex: characters, groups and alternatives, of which one may be empty"""
    patterns = ["", "a", "ab", "a|b", "ab|ba|", "a(b|c)a", "(?:ab|a)(c|bc)", "(a|)(|b)c", "(((a)))"]
    fullmatches(part, [*patterns, "()", "a||b", "(?:)|c"], texts("abc", 4))


def check_repetitions(part: ModuleType) -> None:
    """compile_regex: *, +, ? and counts, also lazy, nested, and of what may be empty"""
    patterns = ["a*", "a+", "a?", "a*?b", "a+?b", "a??b", "a{2}", "a{0}b", "a{1,}", "a{0,2}b{1,3}"]
    patterns += ["(ab)*", "(a|b)+c?", "(a*)*", "(a*)+b", "(|a)*", "((a|b)?c){2,3}", "(a{2}){1,2}"]
    patterns += ["a*a", "a*b*|c", "(?:a|b*)c", "(a*|b)c*", "(?:a+|b)*c{0,1}", "a*(b|c*)a"]
    fullmatches(part, patterns, texts("abc", 5))


def check_classes(part: ModuleType) -> None:
    """compile_regex: classes, their negation, ranges, \\d \\w \\s, and the dot"""
    patterns = ["[abc]", "[^abc]", "[a-c]", "[a-]", "[-a]", "[^-a]", "[a^]", "[\\]\\\\]", "[.*]"]
    patterns += ["\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "[\\da-c]", "[^\\d\\s]", "[\\W]", "."]
    patterns += ["[c-ea-db]", "[^\\D]", "[\\s\\S]", "[\\x00-\\x1f]", "[^\\n]", "[é-日]", "[^é-日]"]
    some = [chr(c) for c in range(0x180)] + list("٣२߿ࠀ日本\uffff😀\u2028\U0010ffff")
    fullmatches(part, patterns, ["", "ab", *some])


def check_escapes(part: ModuleType) -> None:
    """compile_regex: escapes of controls, of code points and of punctuation"""
    patterns = [
        "\\t\\n\\r\\f\\v",
        "\\x41",
        "\\u65e5\\u672C",
        "\\U0001f600",
        "a\\.b",
        "\\\\",
        "\\-\\/",
    ]
    patterns += ["\\*\\+\\?\\{\\}\\[\\]\\(\\)\\|\\^\\$", "[\\t-\\r]+", "[\\u0041-\\u0043]+"]
    some = [
        "\t\n\r\f\v",
        "A",
        "日本",
        "😀",
        "a.b",
        "axb",
        "\\",
        "-/",
        "*+?{}[]()|^$",
        "\n\t",
        "ABC",
    ]
    fullmatches(part, patterns, [*some, "", "x41", "ABCD"])


def check_characters_are_bytes(part: ModuleType) -> None:
    """compile_regex: characters of several bytes, and bytes that are no UTF-8"""
    fullmatches(part, ["é+", "日|😀", "[é日]*", ".", "(é|日本)?"], texts("é日本😀", 2))
    broken = [
        b"\xc3",
        b"\xa9",
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe6\x97",
    ]
    dfa = part.compile_regex("[^a]")
    for data in broken:
        assert_equal(dfa.matches(data), False, f"whether '[^a]' matches the bytes {data!r}")
    state = part.compile_regex("é|è").step(0, 0xC3)
    if state is None:
        raise CheckFailure("the first byte of é leads nowhere in 'é|è': expected a state")


def check_search(part: ModuleType) -> None:
    """compile_regex: with search, a match anywhere, and anchors that bind their alternative"""
    # Python's $ also matches before a last \n, which these texts do not have.
    patterns = ["ab", "^ab", "ab$", "^ab$", "^a|b$", "a|^b$|cc", "", "^$", "^a+b*$", "^(a|b)$"]
    fullmatches(part, patterns, texts("abc", 4), search=True)
    fullmatches(part, ["^ab$", "^a|b$", "^", "$", "^ab", "a$|"], texts("abc", 3))


def check_spelling(part: ModuleType) -> None:
    """compile_regex: spell says how characters are written, and which cannot be"""

    def doubled(first: int, last: int) -> Sequences:
        """ASCII letters and digits, each written twice."""
        some = [c for c in range(first, min(last, 0x7F) + 1) if chr(c).isalnum()]
        return [((c, c), (c, c)) for c in some]

    cases = {
        ("a[bc]?", b"aa"): True,
        ("a[bc]?", b"aacc"): True,
        ("a[bc]?", b"a"): False,
        ("a[bc]?", b"aabc"): False,
        ("[^a]*", b"bb99"): True,
        ("[^a]*", b"bb  "): False,
        ("a| ", b"aa"): True,
        ("x*(a|-)", b"xxaa"): True,
    }
    for (pattern, data), want in cases.items():
        got = part.compile_regex(pattern, doubled).matches(data)
        assert_equal(got, want, f"whether {pattern!r}, each character twice, matches {data!r}")


def check_random_patterns(part: ModuleType) -> None:
    """compile_regex: random patterns, against re"""
    rng = random.Random(2)

    def pattern(depth: int) -> str:
        if not depth or rng.random() < 0.2:
            return rng.choice(["a", "b", "é", "[ab]", "[^a]", "."])
        inner = [pattern(depth - 1) for _ in range(rng.randint(1, 3))]
        whole = rng.choice(["".join(inner), f"({'|'.join(inner)})"])
        return (
            whole if rng.random() < 0.5 else f"(?:{whole}){rng.choice(['*', '+?', '?', '{1,2}'])}"
        )

    some = texts("abé", 4)
    patterns = sorted({pattern(3) for _ in range(60)}, key=len)
    fullmatches(part, patterns, some)


def check_every_state_leads_to_a_match(part: ModuleType) -> None:
    """compile_regex: moves rise and do not overlap, and no state is a dead end or unreachable"""
    patterns = ["a|é", "(ab|c[^\\s\\S])*d", "[^\\s\\S]a|b", "x{2,3}", "(a|b)*abb", ".{2}|日"]
    for pattern in patterns:
        dfa = part.compile_regex(pattern)
        targets = [{move[2] for move in moves} for moves in dfa.transitions]
        alive, before = set(dfa.accepting), -1
        while len(alive) != before:
            before = len(alive)
            alive |= {state for state, found in enumerate(targets) if found & alive}
        dead = sorted(set(range(len(targets))) - alive)
        assert_equal(dead, [], f"the list of states of {pattern!r} that reach no accepting one")
        unreached = sorted(set(range(len(targets))) - {0}.union(*targets))
        assert_equal(unreached, [], f"the list of states of {pattern!r} that no move leads to")
        for state, moves in enumerate(dfa.transitions):
            edges = [edge for first, last, _ in moves for edge in (first, last)]
            if edges != sorted(edges) or any(
                b <= a for a, b in zip(edges[1::2], edges[2::2], strict=False)
            ):
                raise CheckFailure(f"the moves of state {state} of {pattern!r} overlap or do not "
                                   f"rise: {moves}")  # fmt: skip


def check_refusals(part: ModuleType) -> None:
    """compile_regex: what is malformed or not regular raises GroundupError with its position"""
    cases = {"(?=a)": 0, "a(?<!b)": 1, "(a)\\1": 3, "(?P<n>a)": 0, "x(?i)": 1, "\\b": 0, "a\\": 1}
    cases |= {"(ab": 0, "ab)": 2, "x[ab": 1, "[]": 0, "[b-a]": 0, "[a-\\d]": 0, "*": 0, "a|+": 2}
    cases |= {
        "a**": 2,
        "a{2,1}": 1,
        "a{,2}": 1,
        "a{x}": 1,
        "a^b": 1,
        "a$b": 1,
        "(^a)": 1,
        "\\x4": 0,
    }
    cases |= {"a{1": 1, "ab}": 2, "b]": 1, "\\ud800": 0, "a\\p{L}": 1, "\\U00110000": 0}
    for pattern, position in cases.items():
        call = partial(part.compile_regex, pattern)
        assert_raises(GroundupError, call, f"the pattern is {pattern!r}", f"position {position}")
    for pattern in ("[^\\s\\S]", "a[^\\d\\D]b"):
        call = partial(part.compile_regex, pattern)
        assert_raises(GroundupError, call, f"the pattern is {pattern!r}, which matches nothing")


def check_limits(part: ModuleType) -> None:
    """compile_regex: what would grow too large raises GroundupError, and soon"""
    patterns = ["a{1,1000000}", "((a{200}){200}){200}", "(a|b)*a(a|b){20}", "((()){3000}){3000}"]
    for pattern in [*patterns, "(" * 2000 + ")" * 2000]:
        call = partial(part.compile_regex, pattern)
        shown = pattern if len(pattern) < 50 else f"{pattern[:20]}..."
        assert_raises(GroundupError, call, f"the pattern is {shown!r}")
    fine = part.compile_regex("[0-9a-f]{1,1000}")
    assert_equal(fine.matches(b"0f" * 500), True, "whether '[0-9a-f]{1,1000}' matches 1000 digits")


def check_no_backtracking(part: ModuleType) -> None:
    """compile_regex: patterns at which backtracking never ends are read in one pass"""
    for pattern in ("(a|a)*b", "(a*)*b", "(a+)+b", "((a|aa)*)*b", "(.*)*b"):
        dfa = part.compile_regex(pattern)
        assert_equal(dfa.matches(b"a" * 20_000 + b"b"), True, f"whether {pattern!r} matches a...ab")
        assert_equal(
            dfa.matches(b"a" * 20_000 + b"c"), False, f"whether {pattern!r} matches a...ac"
        )


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a pattern of ``size`` words, each with a class and a repetition."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefgh", k=6)) for _ in range(size)]
    pattern = "|".join(f"{word[:3]}[^{word[3:]}]{{1,2}}" for word in words)
    return lambda: part.compile_regex(pattern)


SIZE = 100
