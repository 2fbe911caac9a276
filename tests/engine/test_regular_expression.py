"""Patterns as automata over bytes, against Python's ``re``, and with planted bad input."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.engine.decimal_range import decimal_range
from groundup.engine.dfa_product import difference, intersection
from groundup.engine.integer_range import integer_range
from groundup.engine.regular_expression import Dfa, compile_regex
from groundup.engine.word_automaton import word_automaton
from groundup.errors import GroundupError

CHARACTERS = "ab01_ -]^.\\\n\t\x00é߿ࠀ日\uffff😀\U0010ffff"
TEXTS = st.text(st.sampled_from(CHARACTERS), max_size=7)


LITERALS = st.sampled_from(CHARACTERS).map(re.escape)
MEMBERS = LITERALS | st.sampled_from(["a-f", "0-5", "é-日", "\\d", "\\w", "\\s", "\\D", "\\S"])
CLASSES = st.builds(
    lambda negated, members: f"[{'^' if negated else ''}{''.join(members)}]",
    st.booleans(),
    st.lists(MEMBERS, min_size=1, max_size=3),
)
ATOMS = LITERALS | CLASSES | st.sampled_from([".", "\\d", "\\w", "\\s", "\\W", "\\u65e5", "\\x61"])
COUNTS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{0}", "{1,}", "{0,2}", "{1,3}?"])
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=3).map("".join)
        | st.lists(inner, min_size=1, max_size=3).map(lambda b: f"({'|'.join(b)})")
        | st.builds(lambda p, count: f"(?:{p}){count}", inner, COUNTS)
    ),
    max_leaves=8,
)


def compiled(pattern: str, search: bool = False) -> Dfa | None:
    """None where it matches no text; any other refusal is an error."""
    try:
        return compile_regex(pattern, search=search)
    except GroundupError as refused:
        if "no text at all" not in str(refused):
            raise
        return None


def assert_trimmed(dfa: Dfa) -> None:
    """Every state is reached, and reaches one that accepts; moves rise and do not overlap."""
    onward = [{target for _, _, target in moves} for moves in dfa.transitions]
    found, size = set(dfa.accepting), 0
    while len(found) > size:
        size = len(found)
        found |= {state for state, targets in enumerate(onward) if targets & found}
    assert len(found) == len(onward)
    assert {0, *set().union(*onward)} == set(range(len(onward)))
    for moves in dfa.transitions:
        ends = [edge for first, last, _ in moves for edge in (first, last)]
        assert ends == sorted(ends)
        assert all(moves[i][1] < moves[i + 1][0] for i in range(len(moves) - 1))


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.lists(TEXTS, min_size=5, max_size=12))
def test_what_matches_is_what_re_fullmatches(pattern: str, texts: list[str]) -> None:
    dfa = compiled(pattern)
    if dfa is None:
        assert not any(re.fullmatch(pattern, text, re.ASCII) for text in texts)
        return
    assert_trimmed(dfa)
    for text in texts:
        matches = re.fullmatch(pattern, text, re.ASCII) is not None
        assert dfa.matches(text.encode()) == matches, (pattern, text)


@settings(max_examples=200, deadline=None)
@given(PATTERNS, st.integers(0, 2**32))
def test_what_a_walk_over_the_moves_writes_matches(pattern: str, seed: int) -> None:
    dfa = compiled(pattern)
    if dfa is None:
        return
    state, written = 0, bytearray()
    while state not in dfa.accepting or seed % 3:
        moves = dfa.transitions[state]
        if not moves or len(written) > 40:
            break
        first, last, state = moves[seed % len(moves)]
        written.append(first + seed % (last - first + 1))
        seed = seed * 6364136223846793005 % 2**61 + 1
    if state in dfa.accepting:
        assert re.fullmatch(pattern, written.decode(), re.ASCII), (pattern, written)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["", "^"]),
    st.lists(PATTERNS, min_size=1, max_size=2),
    st.sampled_from(["", "$"]),
    st.lists(TEXTS, min_size=5, max_size=10),
)
def test_a_search_finds_what_re_finds(
    begin: str, branches: list[str], end: str, texts: list[str]
) -> None:
    pattern = "|".join(f"{begin}{branch}{end}" for branch in branches)
    oracle = "|".join(f"{begin}(?:{branch}){end and chr(92) + 'Z'}" for branch in branches)
    dfa = compiled(pattern, search=True)
    if dfa is None:
        return
    for text in texts:
        found = re.search(oracle, text, re.ASCII) is not None
        assert dfa.matches(text.encode()) == found, (pattern, text)


BAD = {
    "(?=a)b": ("look-ahead", 0),
    "a(?<!b)": ("look-behind", 1),
    "(a)\\1": ("back reference", 3),
    "(?P<n>a)": ("named group", 0),
    "(?i)a": ("a flag", 0),
    "(?>a)": ("atomic group", 0),
    "\\bword": ("escape", 0),
    "\\p{L}": ("escape", 0),
    "ab\\": ("escape", 2),
    "\\x4": ("escape", 0),
    "\\U00110000": ("escape", 0),
    "\\ud800": ("surrogate", 0),
    "(ab": ("without its )", 0),
    "ab)": ("without its (", 2),
    "x[ab": ("without its ]", 1),
    "[]": ("empty class", 0),
    "[^]": ("empty class", 0),
    "[b-a]": ("range", 0),
    "[a-\\d]": ("range", 0),
    "*a": ("follows nothing", 0),
    "a|+": ("follows nothing", 2),
    "a**": ("repetition of a repetition", 2),
    "a{2,1}": ("repetition {2,1}", 1),
    "a{,2}": ("begins no", 1),
    "a{x}": ("begins no", 1),
    "a{1,1000000}": ("too many times", 1),
    "a{99999999999999999999}": ("too many times", 1),
    "a^b": ("anchor ^", 1),
    "a(b$)": ("anchor $", 3),
    "(" * 60 + ")" * 60: ("in one another", 50),
}


@pytest.mark.parametrize("pattern", BAD)
def test_what_is_not_supported_is_refused_with_its_position(pattern: str) -> None:
    name, position = BAD[pattern]
    with pytest.raises(GroundupError, match=re.escape(name)) as refused:
        compile_regex(pattern)
    assert f"at position {position}," in str(refused.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a|b)*a(a|b){20}",
        "(((a{100}){100}){100}){100}",
        "((()){1000}){1000}",
        "((a?){60}){60}",
        "(.{1,40}){1,40}x{1,40}y(.{0,400}|z)*",
        "[^\\s\\S]",
    ],
)
def test_what_would_be_too_large_or_empty_is_refused(pattern: str) -> None:
    with pytest.raises(GroundupError, match=r"more than|no text"):
        compile_regex(pattern)


@pytest.mark.parametrize("pattern", ["(a|a)*b", "(a*)*b", "(a+)+b", "((a|aa)*)*b", "(.*)*b"])
def test_patterns_that_make_re_hang_are_small(pattern: str) -> None:
    dfa = compile_regex(pattern)
    assert len(dfa.transitions) < 12
    assert dfa.matches(b"a" * 10_000 + b"b")
    assert not dfa.matches(b"a" * 10_000 + b"c")


@settings(max_examples=100, deadline=None)
@given(PATTERNS, PATTERNS, st.lists(TEXTS, max_size=20))
def test_intersection_and_difference_are_both_and_only_the_first(
    left: str, right: str, texts: list[str]
) -> None:
    a, b = compiled(left), compiled(right)
    if a is None or b is None:
        return
    both, only = intersection(a, b), difference(a, b)
    for dfa in (both, only):
        if dfa is not None:
            assert_trimmed(dfa)
    for text in map(str.encode, texts):
        assert (both is not None and both.matches(text)) == (a.matches(text) and b.matches(text))
        assert (only is not None and only.matches(text)) == (
            a.matches(text) and not b.matches(text)
        )


@given(st.lists(st.binary(max_size=4), min_size=1), st.binary(max_size=4))
def test_a_word_automaton_matches_its_words(words: list[bytes], other: bytes) -> None:
    dfa = word_automaton(words)
    assert all(dfa.matches(word) for word in words)
    assert dfa.matches(other) == (other in words)


BOUNDS = (
    st.none() | st.integers(-20, 20) | st.integers(-1200, 1200) | st.integers(-(10**29), 10**29)
)


@settings(deadline=None)
@given(BOUNDS, BOUNDS, st.lists(st.integers(-2000, 2000)))
def test_a_range_of_integers_matches_exactly_these(
    low: int | None, high: int | None, numbers: list[int]
) -> None:
    pattern = integer_range(low, high)
    edges = [n + d for n in (low, high) if n is not None for d in (-1, 0, 1)]
    within = [
        n for n in {*numbers, *edges} if (low is None or low <= n) and (high is None or n <= high)
    ]
    if pattern is None:
        assert not within
        return
    dfa = compile_regex(pattern)
    for n in {*numbers, *edges}:
        assert dfa.matches(str(n).encode()) == (n in within), (low, high, n)
    for text in (b"", b"-", b"-0", b"00", b"01", b"+1", b"1.0"):
        assert not dfa.matches(text)


DECIMALS = st.decimals(-1000, 1000, places=3) | st.decimals(-2, 2, places=2) | st.integers(-20, 20)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.none() | DECIMALS, min_size=4, max_size=4), st.lists(DECIMALS))
def test_a_range_of_decimals_matches_exactly_these(given: list[Any], others: list[Any]) -> None:
    low, high, above, below = bounds = [None if x is None else Decimal(x) for x in given]
    if not any(bound is not None for bound in bounds):
        return
    pattern = decimal_range(low, high, above, below)
    dfa = None if pattern is None else compile_regex(pattern)
    near = [bound + Decimal(d) for bound in bounds if bound is not None
            for d in ("0", "0.001", "-0.001", "1e-11", "-1e-11", "1", "-1")]  # fmt: skip
    for number in [*near, *map(Decimal, others)]:
        within = (
            (low is None or number >= low)
            and (high is None or number <= high)
            and (above is None or number > above)
            and (below is None or number < below)
        )
        plain = f"{number:f}"
        short = plain.rstrip("0").rstrip(".") if "." in plain else plain
        for text in {plain, short, f"{short}.0" if "." not in short else short}:
            if not text.startswith("-") or number:
                matches = dfa is not None and dfa.matches(text.encode())
                assert matches == within, (bounds, text, pattern)
