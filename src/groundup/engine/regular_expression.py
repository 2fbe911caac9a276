"""Regular expressions, compiled to automata that read bytes.

A language model writes tokens, and a token is a few bytes that may end within a character. So a
pattern that steers a model is compiled to a deterministic finite automaton (DFA) over bytes: parse
the pattern, translate it to a nondeterministic automaton whose characters are spelled as sequences
of byte ranges, and make that deterministic by the subset construction.

Sources: Thompson 1968, "Regular expression search algorithm"; Hopcroft, Motwani and Ullman 2006,
"Introduction to automata theory", sections 2.3.5 (subsets), 2.5 (empty moves) and 3.2.3; RFC 3629,
section 4 (UTF-8).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from groundup.errors import GroundupError

__all__ = ["Dfa", "compile_regex", "utf8_sequences"]

# One (first, last) for each byte: every byte may be any of its range, both ends included.
ByteSequence = tuple[tuple[int, int], ...]

Ranges = tuple[tuple[int, int], ...]  # of code points, both ends included

EVERY_CHARACTER: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))  # without the surrogates
CONTROL_ESCAPES = {"t": 9, "n": 10, "v": 11, "f": 12, "r": 13}
HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}
CLASS_ESCAPES: dict[str, Ranges] = {
    "d": ((0x30, 0x39),),
    "w": ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)),
    "s": ((9, 13), (0x20, 0x20)),
}

# What may go in, so that no pattern takes unbounded time or memory.
MAX_NFA_STATES = 50_000
MAX_DFA_STATES = 10_000
MAX_SUBSET_WORK = 3_000_000  # states of the nondeterministic automaton looked at in all
MAX_NESTING = 50  # groups within groups


@dataclass(frozen=True)
class Dfa:
    """A deterministic automaton over bytes. State 0 is where it starts.

    ``transitions[state]`` are the moves of a state: ``(first, last, next state)`` for a range of
    bytes, both ends included. They do not overlap, rise, and every state can still reach one that
    accepts: a byte without a move could never have become a match.
    """

    transitions: tuple[tuple[tuple[int, int, int], ...], ...]
    accepting: frozenset[int]

    def step(self, state: int, byte: int) -> int | None:
        """The state after one byte, 0 to 255, or None where no match can begin like this."""
        for first, last, target in self.transitions[state]:
            if first <= byte <= last:
                return target
        return None

    def matches(self, data: bytes) -> bool:
        """Whether the whole of ``data`` matches."""
        state: int | None = 0
        for byte in data:
            if state is None:
                return False
            state = self.step(state, byte)
        return state in self.accepting


def utf8_sequences(first: int, last: int) -> list[ByteSequence]:
    """The UTF-8 encodings of a range of code points, as sequences of byte ranges.

    Arguments:
        first, last: code points, ``0 <= first <= last <= 0x10FFFF``. Surrogates (0xD800 to 0xDFFF),
            which UTF-8 does not encode, are left out.

    Returns: sequences in the order of the code points. A character of the range is encoded as
    exactly one of them says, and everything that they say is a character of the range.
    Example: ``utf8_sequences(0x41, 0x7FF) == [((0x41, 0x7F),), ((0xC2, 0xDF), (0x80, 0xBF))]``.
    """
    found: list[ByteSequence] = []
    # Within these the encodings have one length, and none has a surrogate.
    for low, high in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xD7FF), (0xE000, 0xFFFF),
                      (0x10000, 0x10FFFF)):  # fmt: skip
        if first <= high and low <= last:
            found += _same_length(max(first, low), min(last, high))
    return found


def compile_regex(
    pattern: str,
    spell: Callable[[int, int], Iterable[ByteSequence]] | None = None,
    *,
    search: bool = False,
) -> Dfa:
    r"""Compile a pattern.

    The language is that of Python's ``re`` with ``re.ASCII``, as far as it is regular:

    - a character stands for itself, except ``\ . ^ $ * + ? { } [ ] ( ) |``, which need a ``\``;
      ``.`` is any character but ``\n``
    - classes ``[a-z_]`` and ``[^a-z_]``; ``\d \w \s`` (ASCII) and ``\D \W \S`` (every other
      character), which may stand in classes too
    - escapes ``\t \n \r \f \v``, ``\xhh``, ``\uhhhh``, ``\Uhhhhhhhh``, and of any punctuation
    - groups ``(...)`` and ``(?:...)``, alternatives ``a|b``, of which one may be empty
    - ``*``, ``+``, ``?``, ``{m}``, ``{m,}`` and ``{m,n}``, each also with a ``?`` behind it (lazy),
      which changes what a search finds first, but not what matches
    - ``^`` and ``$`` at the ends of the pattern or of one of its outermost alternatives

    Arguments:
        pattern: the whole text must match, so anchors at both ends change nothing.
        spell: how a range of code points is written as bytes, by default `utf8_sequences`. The
            ranges it is asked for hold no surrogates; it may leave out characters that cannot be
            written.
        search: the match may stand anywhere in the text, as in JSON Schema; ``^`` and ``$`` then
            bind the alternative that they stand in to the text's beginning and end.

    Returns: an automaton in which every state can still reach one that accepts.
    Raises: GroundupError, naming the position (counted from 0): the syntax is wrong or not
    supported (back references, look-around, flags, ...), the pattern matches no text at all, or its
    automaton would have more than MAX_NFA_STATES or MAX_DFA_STATES states.
    Example: ``compile_regex("a|é").matches("é".encode())``.
    """
    nfa = _Nfa(pattern, spell or utf8_sequences)
    start = nfa.state()
    accept = nfa.translate(_Parser(pattern, search).parse(), start)
    return _determinise(nfa, start, accept)


def _same_length(first: int, last: int) -> Iterator[ByteSequence]:
    """The sequences of code points whose encodings have the same length."""
    # The last bits bytes hold 6 bits each. Cut off what is not whole blocks of 64, 4096 or 262144.
    for bits in (6, 12, 18):
        low = (1 << bits) - 1
        if first >> bits != last >> bits and last > 0x7F:
            if first & low:
                yield from _same_length(first, first | low)
                yield from _same_length((first | low) + 1, last)
                return
            if last & low != low:
                yield from _same_length(first, (last & ~low) - 1)
                yield from _same_length(last & ~low, last)
                return
    yield tuple(zip(chr(first).encode(), chr(last).encode(), strict=True))


class _Node:
    """A piece of a pattern."""


@dataclass(frozen=True)
class _Characters(_Node):
    ranges: Ranges


@dataclass(frozen=True)
class _Sequence(_Node):
    parts: tuple[_Node, ...]


@dataclass(frozen=True)
class _Alternatives(_Node):
    branches: tuple[_Node, ...]


@dataclass(frozen=True)
class _Repeat(_Node):
    part: _Node
    least: int
    most: int | None  # None: without a limit


def _normal(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same characters in rising ranges that do not touch, without surrogates."""
    joined: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(last, joined[-1][1]))
        else:
            joined.append((first, last))
    return tuple(
        (max(first, low), min(last, high))
        for first, last in joined
        for low, high in EVERY_CHARACTER
        if first <= high and low <= last
    )


def _others(ranges: Ranges) -> Ranges:
    """All characters that are not in the ranges."""
    gaps, after = [], 0
    for first, last in _normal(ranges):
        gaps.append((after, first - 1))
        after = last + 1
    return _normal((low, high) for low, high in [*gaps, (after, 0x10FFFF)] if low <= high)


class _Parser:
    """Recursive descent, one method for each level of the grammar."""

    def __init__(self, pattern: str, search: bool) -> None:
        self.pattern = pattern
        self.search = search
        self.at = 0

    def parse(self) -> _Node:
        node = self.alternatives(0)
        if self.at < len(self.pattern):
            raise self.error("a ) without its (", "write \\) for the character")
        return node

    def error(self, got: str, advice: str, at: int | None = None) -> GroundupError:
        place = self.at if at is None else at
        shown = self.pattern if len(self.pattern) <= 100 else f"{self.pattern[:97]}..."
        return GroundupError(
            f"the pattern {shown!r} has {got} at position {place}, which is not supported; {advice}"
        )

    def next_is(self, text: str) -> bool:
        return self.pattern.startswith(text, self.at)

    def take(self, text: str) -> bool:
        if found := self.next_is(text):
            self.at += len(text)
        return found

    def alternatives(self, nesting: int) -> _Node:
        branches = [self.branch(nesting)]
        while self.take("|"):
            branches.append(self.branch(nesting))
        return branches[0] if len(branches) == 1 else _Alternatives(tuple(branches))

    def branch(self, nesting: int) -> _Node:
        outermost = nesting == 0
        from_start = outermost and self.take("^")
        to_end = False
        parts: list[_Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            if outermost and self.next_is("$") and self.pattern[self.at + 1 : self.at + 2] in "|":
                to_end = self.take("$")
            else:
                parts.append(self.repeated(nesting))
        if self.search and not nesting:
            anything = _Repeat(_Characters(EVERY_CHARACTER), 0, None)
            parts = [*([] if from_start else [anything]), *parts, *([] if to_end else [anything])]
        return _Sequence(tuple(parts))

    def repeated(self, nesting: int) -> _Node:
        node = self.atom(nesting)
        if self.at == len(self.pattern) or self.pattern[self.at] not in "*+?{":
            return node
        at = self.at
        least, most = self.counts()
        self.take("?")
        if self.at < len(self.pattern) and self.pattern[self.at] in "*+?{":
            raise self.error("a repetition of a repetition", "put the first one into (?:...)")
        if most is not None and most < least:
            raise self.error(f"the repetition {{{least},{most}}}", "swap its numbers", at)
        return _Repeat(node, least, most)

    def counts(self) -> tuple[int, int | None]:
        for sign, least, most in (("*", 0, None), ("+", 1, None), ("?", 0, 1)):
            if self.take(sign):
                return least, most
        at = self.at
        inside, closed, _ = self.pattern[at + 1 : at + 50].partition("}")
        low, comma, high = inside.partition(",")
        numbers = [low, high] if comma and high else [low]
        if not closed or not all(n.isascii() and n.isdigit() for n in numbers):
            raise self.error(
                "a { that begins no {m}, {m,} or {m,n}", "write \\{ for the character", at
            )
        if any(len(n) > 9 or int(n) > MAX_NFA_STATES for n in numbers):
            raise self.error(
                "a repetition of too many times", f"repeat at most {MAX_NFA_STATES} times", at
            )
        self.at += len(inside) + 2
        return int(low), int(low) if not comma else int(high) if high else None

    def atom(self, nesting: int) -> _Node:
        at, character = self.at, self.pattern[self.at]
        self.at += 1
        if character == "(":
            return self.group(nesting, at)
        if character == "[":
            return _Characters(self.character_class(at))
        if character == "\\":
            found = self.escape(at)
            return _Characters(((found, found),) if isinstance(found, int) else found)
        if character == ".":
            return _Characters(_others(((10, 10),)))
        if character in "^$":
            raise self.error(
                f"the anchor {character}", "use anchors only at the ends of the pattern or of its "
                "outermost alternatives", at,
            )  # fmt: skip
        if character in "*+?{}]":
            raise self.error(f"a {character} that follows nothing or closes nothing",
                             f"write \\{character} for the character", at)  # fmt: skip
        return _Characters((self.code_point(character, at),))

    def code_point(self, character: str, at: int) -> tuple[int, int]:
        if 0xD800 <= ord(character) <= 0xDFFF:
            raise self.error("half a surrogate pair", "write the whole character", at)
        return ord(character), ord(character)

    def group(self, nesting: int, at: int) -> _Node:
        if self.take("?") and not self.take(":"):
            kinds = {"=": "look-ahead", "!": "look-ahead", "<=": "look-behind", "<!": "look-behind",
                     "P=": "a back reference", "P<": "a named group", "<": "a named group",
                     ">": "an atomic group", "#": "a comment", "(": "a condition"}  # fmt: skip
            kind = next((kinds[k] for k in kinds if self.next_is(k)), "a flag")
            raise self.error(kind, "use (...) or (?:...), and what a finite automaton can match",
                             at)  # fmt: skip
        if nesting == MAX_NESTING:
            raise self.error(f"more than {MAX_NESTING} groups in one another", "unfold some", at)
        node = self.alternatives(nesting + 1)
        if not self.take(")"):
            raise self.error("a ( without its )", "close it, or write \\( for the character", at)
        return node

    def escape(self, at: int) -> int | Ranges:
        """A code point, or the ranges of a class such as ``\\d``."""
        letter = self.pattern[self.at : self.at + 1]
        self.at += 1
        if letter in CONTROL_ESCAPES:
            return CONTROL_ESCAPES[letter]
        if letter.lower() in CLASS_ESCAPES:
            ranges = CLASS_ESCAPES[letter.lower()]
            return ranges if letter.islower() else _others(ranges)
        if letter in HEX_ESCAPES:
            digits = self.pattern[self.at : self.at + HEX_ESCAPES[letter]]
            self.at += len(digits)
            hexadecimal = all(digit in "0123456789abcdefABCDEF" for digit in digits)
            if not hexadecimal or len(digits) < HEX_ESCAPES[letter] or int(digits, 16) > 0x10FFFF:
                raise self.error(f"the escape \\{letter}{digits}",
                                 f"give \\{letter} {HEX_ESCAPES[letter]} hexadecimal digits",
                                 at)  # fmt: skip
            return self.code_point(chr(int(digits, 16)), at)[0]
        if letter.isalnum() or not letter.isascii() or not letter:
            what = "the back reference" if letter.isdigit() else "the escape"
            raise self.error(f"{what} \\{letter}", "leave it out, or write \\\\ for a \\", at)
        return ord(letter)

    def character_class(self, at: int) -> Ranges:
        negated = self.take("^")
        ranges: list[tuple[int, int]] = []
        while not self.take("]"):
            low = self.class_member(at)
            # A - before the ] is the character.
            if not self.next_is("-") or self.next_is("-]"):
                ranges += [(low, low)] if isinstance(low, int) else low
                continue
            self.at += 1
            high = self.class_member(at)
            if not isinstance(low, int) or not isinstance(high, int) or high < low:
                raise self.error("a range without two ends that rise",
                                 "write \\- for the character -", at)  # fmt: skip
            ranges.append((low, high))
        if not ranges:
            raise self.error("an empty class", "write \\] for the character ]", at)
        return _others(_normal(ranges)) if negated else _normal(ranges)

    def class_member(self, opened: int) -> int | Ranges:
        if self.at == len(self.pattern):
            raise self.error("a [ without its ]", "close it, or write \\[ for the character",
                             opened)  # fmt: skip
        at, character = self.at, self.pattern[self.at]
        self.at += 1
        return self.escape(at) if character == "\\" else self.code_point(character, at)[0]


class _Nfa:
    """Thompson's construction: each node of the pattern is a piece between two states."""

    def __init__(self, pattern: str, spell: Callable[[int, int], Iterable[ByteSequence]]) -> None:
        self.pattern = pattern
        self.spell = spell
        self.moves: list[list[tuple[int, int, int]]] = []
        self.empty_moves: list[list[int]] = []

    def state(self) -> int:
        if len(self.moves) == MAX_NFA_STATES:
            raise _too_large(self.pattern, f"{MAX_NFA_STATES:,} nondeterministic states")
        self.moves.append([])
        self.empty_moves.append([])
        return len(self.moves) - 1

    def translate(self, node: _Node, source: int) -> int:
        """Add moves that read the node from a state on; returns the state after it."""
        if isinstance(node, _Characters):
            return self.characters(node.ranges, source)
        if isinstance(node, _Sequence):
            for part in node.parts:
                source = self.translate(part, source)
            return source
        target = self.state()
        if isinstance(node, _Alternatives):
            for branch in node.branches:
                # A state of its own: a repetition at its beginning leads back there.
                begin = self.state()
                self.empty_moves[source].append(begin)
                self.empty_moves[self.translate(branch, begin)].append(target)
            return target
        assert isinstance(node, _Repeat)
        for _ in range(node.least):
            source = self.translate(node.part, self.after(source))
        if node.most is None:
            loop = self.after(source)
            self.empty_moves[self.translate(node.part, self.after(loop))].append(loop)
            self.empty_moves[loop].append(target)
            return target
        for _ in range(node.most - node.least):
            self.empty_moves[source].append(target)
            source = self.translate(node.part, self.after(source))
        self.empty_moves[source].append(target)
        return target

    def after(self, source: int) -> int:
        """A new state, so that also repeating nothing counts against the limit."""
        target = self.state()
        self.empty_moves[source].append(target)
        return target

    def characters(self, ranges: Ranges, source: int) -> int:
        target = self.state()
        ends: dict[ByteSequence, int] = {(): target}  # sequences with the same end share it
        for first, last in ranges:
            for sequence in self.spell(first, last):
                for i in range(len(sequence) - 1, 0, -1):
                    if sequence[i:] not in ends:
                        ends[sequence[i:]] = self.state()
                        self.moves[ends[sequence[i:]]].append(
                            (*sequence[i], ends[sequence[i + 1 :]])
                        )
                self.moves[source].append((*sequence[0], ends[sequence[1:]]))
        return target


def _too_large(pattern: str, limit: str) -> GroundupError:
    shown = pattern if len(pattern) <= 100 else f"{pattern[:97]}..."
    return GroundupError(
        f"the pattern {shown!r} needs an automaton of more than {limit}; "
        "use shorter repetitions or fewer alternatives"
    )


def _reachable(starts: Iterable[int], onward: Callable[[int], Iterable[int]]) -> set[int]:
    found = set(starts)
    waiting = list(found)
    while waiting:
        for state in onward(waiting.pop()):
            if state not in found:
                found.add(state)
                waiting.append(state)
    return found


def _determinise(nfa: _Nfa, start: int, accept: int) -> Dfa:
    """The subset construction: a state is the set of states in which the NFA may be."""
    back: list[list[int]] = [[] for _ in nfa.moves]
    for state, moves in enumerate(nfa.moves):
        for target in [*(move[2] for move in moves), *nfa.empty_moves[state]]:
            back[target].append(state)
    # From the others no match can come (empty classes), so no subset may hold them.
    alive = _reachable([accept], back.__getitem__)
    if start not in alive:
        raise GroundupError(f"the pattern {nfa.pattern!r} matches no text at all; "
                            "give its character classes a member")  # fmt: skip

    work = 0

    def closed(states: Iterable[int]) -> frozenset[int]:
        nonlocal work
        found = _reachable(states, nfa.empty_moves.__getitem__) & alive
        work += len(found)
        return frozenset(state for state in found if nfa.moves[state] or state == accept)

    numbers: dict[frozenset[int], int] = {closed([start]): 0}
    closures: dict[frozenset[int], int] = {}  # the number of a set before its empty moves
    waiting = list(numbers)
    transitions: list[tuple[tuple[int, int, int], ...]] = []
    for subset in waiting:
        moves = [m for state in subset for m in nfa.moves[state] if m[2] in alive]
        merged: list[tuple[int, int, int]] = []
        for first, last, targets in _intervals(moves):
            work += len(targets)
            if targets not in closures:
                reached = closed(targets)
                if reached not in numbers:
                    numbers[reached] = len(numbers)
                    waiting.append(reached)
                closures[targets] = numbers[reached]
            target = closures[targets]
            if merged and merged[-1][1:] == (first - 1, target):
                merged[-1] = (merged[-1][0], last, target)
            else:
                merged.append((first, last, target))
        transitions.append(tuple(merged))
        if len(numbers) > MAX_DFA_STATES or work > MAX_SUBSET_WORK:
            raise _too_large(nfa.pattern, f"{MAX_DFA_STATES:,} states, or too much work")
    accepting = frozenset(number for subset, number in numbers.items() if accept in subset)
    return Dfa(tuple(transitions), accepting)


def _intervals(moves: list[tuple[int, int, int]]) -> Iterator[tuple[int, int, frozenset[int]]]:
    """Overlapping moves, cut where one begins or ends: (first, last, all targets)."""
    cuts = sorted({edge for first, last, _ in moves for edge in (first, last + 1)})
    place = {cut: i for i, cut in enumerate(cuts)}
    targets: list[set[int]] = [set() for _ in cuts]
    for first, last, target in moves:
        for i in range(place[first], place[last + 1]):
            targets[i].add(target)
    for i, found in enumerate(targets):
        if found:
            yield cuts[i], cuts[i + 1] - 1, frozenset(found)
