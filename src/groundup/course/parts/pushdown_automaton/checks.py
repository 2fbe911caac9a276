"""Checks of `groundup.engine.pushdown_automaton`. Oracles: Python's ``json``, and counting."""

import json
import random
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from types import ModuleType
from typing import Any

import numpy as np

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.engine.regular_expression import Dfa, compile_regex
from groundup.errors import GroundupError

DEPTH = 64  # MAX_DEPTH of the assignment


def texts(alphabet: bytes, longest: int) -> list[bytes]:
    """Every text over an alphabet, the shortest first."""
    return [bytes(t) for n in range(longest + 1) for t in product(alphabet, repeat=n)]


def automaton(part: ModuleType, rules: dict[str, list[str]]) -> Any:
    """The automaton of a grammar in Backus-Naur form; the first rule is read.

    A capital letter calls a rule, ``*`` behind a capital letter repeats it, everything else is
    read. Each alternative has a way of its own through its rule.
    """
    grammar = part.Grammar()
    firsts = {name: grammar.state() for name in rules}
    for name, alternatives in rules.items():
        for alternative in alternatives:
            state = grammar.state()
            grammar.empty_moves[firsts[name]].append(state)
            for place, sign in enumerate(alternative):
                if sign == "*":
                    continue
                if alternative[place + 1 : place + 2] == "*":
                    loop = grammar.state()
                    grammar.empty_moves[state].append(loop)
                    grammar.empty_moves[grammar.call(loop, firsts[sign])].append(loop)
                    state = loop
                elif sign in firsts:
                    state = grammar.call(state, firsts[sign])
                else:
                    state = grammar.text(state, sign.encode())
            grammar.returns.add(state)
    return part.PushdownAutomaton(grammar, firsts[next(iter(rules))])


def alive(machine: Any, alphabet: bytes, longest: int) -> dict[bytes, bool]:
    """Every text that the automaton reads without refusal, and whether it accepts it."""
    found: dict[bytes, bool] = {}
    waiting = [(b"", machine.start())]
    for text, state in waiting:
        found[text] = machine.accepts(state)
        if len(text) < longest:
            after = ((text + bytes([b]), machine.step(state, b)) for b in alphabet)
            waiting += [(longer, reached) for longer, reached in after if reached is not None]
    return found


def compare(machine: Any, alphabet: bytes, wanted: set[bytes], longest: int, what: str) -> None:
    """Fail unless exactly these texts are accepted, of those up to a length."""
    for text in texts(alphabet, longest):
        assert_equal(machine.matches(text), text in wanted, f"whether {what} matches {text!r}")


def after(machine: Any, text: bytes) -> Any:
    state = machine.start()
    for byte in text:
        state = machine.step(state, byte)
        if state is None:
            return None
    return state


def check_grammar_builds(part: ModuleType) -> None:
    """Grammar: states are numbered, and each method adds what it says"""
    grammar = part.Grammar()
    assert_equal([grammar.state(), grammar.state()], [0, 1], "the first two states")
    end = grammar.text(0, b"ab")
    between = grammar.moves[0][0][2]
    assert_equal(grammar.moves[0], [(97, 97, between)], "the list of moves of state 0")
    assert_equal(grammar.moves[between], [(98, 98, end)], "the list of moves behind the 'a'")
    assert_equal(grammar.text(1, b""), 1, "the state after no text")
    target = grammar.call(end, 1)
    assert_equal(grammar.calls[end], [(1, target)], "the list of calls")
    dfa = Dfa((((48, 57, 1),), ((46, 46, 0),)), frozenset({1}))
    behind = grammar.automaton(target, dfa)
    assert_equal(grammar.moves[behind], [], "the list of moves of the state after an automaton")
    assert_equal(grammar.returns, set(), "the set of states that return")


def check_finite(part: ModuleType) -> None:
    """Without calls: texts, alternatives that overlap, loops, and copies of automata"""
    rules = {"S": ["ab", "abc", "", "b"]}
    compare(automaton(part, rules), b"abc", {b"ab", b"abc", b"", b"b"}, 4, f"the grammar {rules}")
    grammar = part.Grammar()
    rule = grammar.state()
    pattern = compile_regex("(ab|c)*")
    middle = grammar.automaton(rule, pattern)
    grammar.empty_moves[middle].append(grammar.automaton(middle, compile_regex("a|cc")))
    grammar.returns.add(grammar.automaton(middle, compile_regex("[b-c]?")))
    grammar.empty_moves[rule].append(rule)
    whole = compile_regex("(ab|c)*[b-c]?")
    expected = {text for text in texts(b"abc", 5) if whole.matches(text)}
    machine = part.PushdownAutomaton(grammar, rule)
    compare(machine, b"abc", expected, 5, "(ab|c)*[b-c]? in two automata")


def check_brackets(part: ModuleType) -> None:
    """Calls nest: brackets of two kinds, against counting"""

    def balanced(text: bytes) -> bool:
        stack: list[int] = []
        for byte in text:
            if byte in b"[(":
                stack.append(byte)
            elif not stack or stack.pop() != {ord("]"): ord("["), ord(")"): ord("(")}[byte]:
                return False
        return not stack

    wanted = {text for text in texts(b"[]()", 6) if balanced(text)}
    machine = automaton(part, {"S": ["B*"], "B": ["[S]", "(S)"]})
    compare(machine, b"[]()", wanted, 6, "the grammar of brackets")


def check_palindromes(part: ModuleType) -> None:
    """Ambiguity: all stacks are followed at once, as palindromes need"""
    wanted = {text for text in texts(b"ab", 8) if text == text[::-1]}
    machine = automaton(part, {"S": ["aSa", "bSb", "a", "b", ""]})
    compare(machine, b"ab", wanted, 8, "the grammar of palindromes")
    wanted = {b"a" * n + b"b" * n for n in range(6)} | {b"a" * n + b"b" * 2 * n for n in range(6)}
    machine = automaton(part, {"S": ["X", "Y"], "X": ["aXb", ""], "Y": ["aYbb", ""]})
    compare(machine, b"ab", wanted, 8, "a^n b^n or a^n b^2n")


JSON = {
    "V": ["N", '"C*"', "[]", "[VI*]", "{}", "{MP*}", "true"],
    "N": ["0", "1D*", "-0", "-1D*"],
    "D": ["0", "1"],
    "C": ["0", "1", "t", ",", "[", "]", "{", "}", ":", "-"],
    "I": [",V"],
    "M": ['"C*":V'],
    "P": [",M"],
}


def check_json(part: ModuleType) -> None:
    """A grammar of JSON: every text over its signs, against Python's json"""
    alphabet = b'[]{},:"01-'

    def read(text: bytes) -> bool:
        try:
            json.loads(text)
        except ValueError:
            return False
        return True

    wanted = {text for text in texts(alphabet, 4) if read(text)}
    more = [b'{"0":[]}', b'[1,{"":0}]', b'{"t":"]",",":-0}', b"[[1],[true,[]]]", b"[01]", b"[1,]"]
    more += [b'{"0":}', b"[}", b'{"0":1,}', b'"[', b"tru", b"true,", b"", b'[{"1":[{"0":1}]}]']
    verdicts = {text: read(text) for text in more}
    machine = automaton(part, JSON)
    found = {text for text, accepted in alive(machine, alphabet, 4).items() if accepted}
    assert_equal(sorted(found), sorted(wanted), "the list of JSON texts of up to 4 signs")
    for text, verdict in verdicts.items():
        assert_equal(machine.matches(text), verdict, f"whether the JSON grammar matches {text!r}")


def check_never_stuck(part: ModuleType) -> None:
    """What follows the moves can always be completed: random walks through JSON"""
    rng = random.Random(1)
    machine = automaton(part, JSON)
    classes = machine.byte_classes.tolist()
    bytes_of = {c: [b for b in range(256) if classes[b] == c] for c in set(classes)}
    for _ in range(25):
        state, text = machine.start(), b""
        while not (machine.accepts(state) and (len(text) > 20 or rng.random() < 0.2)):
            moves = machine.moves(state)
            if not moves:
                if machine.accepts(state):
                    break
                raise CheckFailure(f"nothing may follow {text!r}, and it is not complete")
            if len(text) > 60:  # enough: close what is open
                closing = [m for m in moves for c in m[1] if set(bytes_of[c]) & set(b'"]}')]
                state, found = rng.choice(closing or moves)
            else:
                state, found = rng.choice(moves)
            some = [b for c in found for b in bytes_of[c]]
            text += bytes([next((b for b in some if b in b'"]}'), some[0])])
        json.loads(text)  # an error here is a text that the grammar does not read


def check_dead_ends(part: ModuleType) -> None:
    """Moves, calls and empty moves from which no text can end do not exist"""
    rules = {"S": ["ab", "aX", "cS", "Xb", "dY"], "X": ["xX"], "Y": ["yYX", "z"]}
    wanted = {b"ab", b"cab", b"dz", b"cdz", b"ccab", b"ccdz"}
    begun = {text[:n] for text in wanted for n in range(len(text) + 1)} | {b"cc", b"ccc", b"cccc"}
    begun |= {b"ccca", b"cccd"}
    machine = automaton(part, rules)
    found = alive(machine, b"abcdxyz", 4)
    assert_equal(sorted(found), sorted(begun), "the list of texts that may still be completed")
    assert_equal({t for t, accepted in found.items() if accepted}, wanted, "what is accepted")
    state = after(machine, b"ab")
    assert_equal(machine.moves(state), [], "the list of moves after a text that can only end")


def check_impossible(part: ModuleType) -> None:
    """A rule that reads nothing at all, or needs too many levels, raises GroundupError"""
    impossible: list[dict[str, list[str]]] = [{"S": []}, {"S": ["aS"]}, {"S": ["X"], "X": ["SaX"]}]
    for rules in impossible:
        assert_raises(GroundupError, partial(automaton, part, rules), f"the grammar is {rules}")

    def chain(length: int) -> Any:
        """Rules that call one another so many levels deep."""
        grammar = part.Grammar()
        rules = [grammar.state() for _ in range(length + 1)]
        for this, called in pairwise(rules):
            grammar.returns.add(grammar.text(grammar.call(this, called), b"."))
        grammar.returns.add(grammar.text(rules[-1], b"x"))
        return part.PushdownAutomaton(grammar, rules[0])

    deepest = b"x" + b"." * DEPTH
    assert_equal(chain(DEPTH).matches(deepest), True, f"whether {DEPTH} levels can be read")
    assert_raises(GroundupError, lambda: chain(DEPTH + 1), f"{DEPTH + 1} levels are needed")


def check_depth(part: ModuleType) -> None:
    """At most MAX_DEPTH calls in one another, and nothing is begun that would need more"""
    brackets = automaton(part, {"S": ["[S]", "x"]})
    for levels in (1, DEPTH - 1, DEPTH, DEPTH + 1):
        text = b"[" * levels + b"x" + b"]" * levels
        read = levels <= DEPTH
        assert_equal(brackets.matches(text), read, f"whether {levels} brackets in one another")
    # An opened ( needs two levels more than itself.
    rules = {"S": ["(~A)", "[S]", "x"], "A": ["<B>"], "B": ["{C}"], "C": ["S", "y"]}
    machine = automaton(part, rules)
    for levels in (DEPTH - 3, DEPTH - 2, DEPTH - 1, DEPTH):
        state = after(machine, b"[" * levels)
        if state is None:
            raise CheckFailure(f"{levels} opened brackets are refused: {DEPTH} are allowed")
        opened = machine.step(state, ord("(")) is not None
        what = f"whether '(', which needs 3 calls, may follow {levels} brackets"
        assert_equal(opened, levels + 3 <= DEPTH, what)
        assert_equal(machine.step(state, ord("x")) is None, False, "whether 'x' is refused there")
    grammar = part.Grammar()
    rule = grammar.state()
    end = grammar.text(grammar.call(grammar.text(rule, b"["), rule), b"]")
    grammar.moves[rule].append((120, 121, end))
    grammar.returns.add(end)
    state = after(part.PushdownAutomaton(grammar, rule), b"[" * DEPTH)
    following = part.PushdownAutomaton(grammar, rule).moves(state)
    assert_equal(len(following), 1, f"the number of states after {DEPTH} opened brackets")


def check_calls_of_one_place(part: ModuleType) -> None:
    """Several calls from one place: each goes on at its own target, and has its own depth"""
    grammar = part.Grammar()
    rule, short, other, deep, end = (grammar.state() for _ in range(5))
    grammar.returns |= {end, grammar.text(short, b"s"), grammar.text(other, b"tu")}
    deeper = grammar.text(grammar.call(grammar.text(deep, b"("), short), b")")
    grammar.returns.add(deeper)  # deep is one level more than short
    again = grammar.text(rule, b"[")
    grammar.empty_moves[grammar.text(grammar.call(again, rule), b"]")].append(end)
    here = grammar.text(rule, b"-")
    grammar.empty_moves[grammar.text(grammar.call(here, short), b".")].append(end)
    onwards = grammar.call(here, other)  # needs more levels than what it calls first
    grammar.empty_moves[grammar.text(grammar.call(onwards, deep), b"!")].append(end)
    machine = part.PushdownAutomaton(grammar, rule)
    wanted = {b"-s.", b"-tu(s)!", b"[-s.]", b"[[-s.]]"}
    found = {text for text, accepted in alive(machine, b"-stu.(!)[]", 7).items() if accepted}
    assert_equal(found, wanted, "the set of texts of up to 7 bytes")
    for levels in (DEPTH - 2, DEPTH - 1):
        state = after(machine, b"[" * levels + b"-")
        if state is None:
            raise CheckFailure(f"{levels} brackets and then '-' are refused")
        begun = machine.step(state, ord("t")) is not None
        what = f"whether 't', behind which 2 calls are needed, may follow {levels} brackets"
        assert_equal(begun, levels + 2 <= DEPTH, what)
        assert_equal(machine.step(state, ord("s")) is None, False, "whether 's' is refused there")


def check_tail_calls(part: ModuleType) -> None:
    """A call with nothing to do afterwards is no level: lists by right recursion have any length"""
    lists = automaton(part, {"S": ["aS", "b"]})
    assert_equal(lists.matches(b"a" * 5000 + b"b"), True, "whether a...ab, of 5,000, is read")
    mutual = automaton(part, {"S": ["[T]", "x"], "T": ["aU", ""], "U": ["bT", "cV"], "V": ["T"]})
    text = b"[" + b"abac" * 500 + b"]"
    assert_equal(mutual.matches(text), True, "whether [abac...], of 500 times abac, is read")
    assert_equal(mutual.matches(text[:-1]), False, "whether that is read without its end")
    names = [chr(0x100 + n) for n in range(100)]
    chain = dict(zip(names, ([name] for name in names[1:]), strict=False)) | {names[-1]: ["x"]}
    assert_equal(automaton(part, chain).matches(b"x"), True, "whether 99 tail calls are no level")
    row = automaton(part, {"S": ["X" * 100], "X": ["x"]})
    assert_equal(row.matches(b"x" * 100), True, "whether 100 calls in a row are one level")
    grammar = part.Grammar()
    rule = grammar.state()
    loop = grammar.call(grammar.text(rule, b"a"), rule)
    end = grammar.state()
    grammar.empty_moves[loop].append(end)  # nothing left but an empty move to an end
    grammar.returns |= {end, grammar.text(rule, b"b")}
    machine = part.PushdownAutomaton(grammar, rule)
    assert_equal(machine.matches(b"a" * 500 + b"b"), True, "whether an empty move is no level")


def check_recursion_ends(part: ModuleType) -> None:
    """Left recursion, rules that read nothing, and circles of empty moves come to an end"""
    left = automaton(part, {"S": ["Sa", "b"]})
    compare(left, b"ab", {b"b" + b"a" * n for n in range(7)}, 6, "S -> S a | b")
    empty = automaton(part, {"S": ["ESE", "a", ""], "E": ["", "F"], "F": ["E"]})
    compare(empty, b"ab", {b"", b"a"}, 3, "rules that read nothing")
    grammar = part.Grammar()
    states = [grammar.state() for _ in range(3)]
    for here, there in ((0, 1), (1, 2), (2, 0)):
        grammar.empty_moves[states[here]].append(states[there])
    grammar.returns.add(grammar.text(states[2], b"a"))
    circle = part.PushdownAutomaton(grammar, states[1])
    compare(circle, b"ab", {b"a"}, 2, "a circle of empty moves")


def check_ambiguity_is_bounded(part: ModuleType) -> None:
    """An ambiguous grammar keeps at most MAX_CONFIGURATIONS, and can still be completed"""
    machine = automaton(part, {"S": ["aSb", "aSSb", ""]})  # twice as many stacks with each a
    state = machine.start()
    for text in (b"a" * 30, b"b" * 30):
        for byte in text:
            state = machine.step(state, byte)
            if state is None:
                raise CheckFailure("30 times a and then 30 times b should be read, and are refused")
            if len(state) > 256:
                raise CheckFailure(f"a state has {len(state)} configurations: at most 256 are kept")
    assert_equal(machine.accepts(state), True, "whether 30 times a and then b is accepted")
    assert_equal(machine.matches(b"aaab"), False, "whether aaab is accepted")


def check_moves(part: ModuleType) -> None:
    """moves: each state once, classes that do not overlap, the same as step"""
    rules = {"S": ["aXc", "abd", "[S]", "bX", "é"], "X": ["b", "bX", "a"]}
    machine = automaton(part, rules)
    classes = machine.byte_classes.tolist()
    for text in (b"", b"a", b"ab", b"[", b"[[ab", b"b", b"bb", "é".encode()[:1], b"[abc"):
        state = after(machine, text)
        if state is None:
            raise CheckFailure(f"{text!r} is refused, and can be completed")
        moves = machine.moves(state)
        reached = [target for target, _ in moves]
        assert_equal(len(set(reached)), len(reached), f"the number of states after {text!r}")
        all_classes = [c for _, found in moves for c in found]
        assert_equal(len(set(all_classes)), len(all_classes), f"the classes after {text!r}")
        where = {c: target for target, found in moves for c in found}
        for byte in range(256):
            if machine.step(state, byte) != where.get(classes[byte]):
                raise CheckFailure(f"step and moves differ at byte {byte} after {text!r}")


def check_byte_classes(part: ModuleType) -> None:
    """byte_classes: as few as the moves tell apart, rising along the bytes"""
    grammar = part.Grammar()
    rule, end = grammar.state(), grammar.state()
    grammar.returns.add(end)
    grammar.moves[rule] += [(0, 9, end), (48, 57, end), (55, 255, end)]
    grammar.moves[rule].append((97, 122, grammar.state()))  # to a dead end: it does not exist
    machine = part.PushdownAutomaton(grammar, rule)
    found = machine.byte_classes
    expected = [0] * 10 + [1] * 38 + [2] * 7 + [3] * 3 + [4] * 198
    if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.shape != (256,):
        raise CheckFailure("byte_classes should be a NumPy array of shape (256,) and dtype uint8")
    assert_equal(found.tolist(), expected, "the list of byte classes")
    read = [byte for byte in range(256) if machine.matches(bytes([byte]))]
    assert_equal(read, [*range(10), *range(48, 256)], "the list of bytes that are read")


def check_states_are_values(part: ModuleType) -> None:
    """States can be kept, compared and hashed: another way to the same place is the same state"""
    machine = automaton(part, {"S": ["[S]", "(S)", "x", "yx"]})
    one, other = after(machine, b"[x"), after(machine, b"[yx")
    assert_equal(one == other and hash(one) == hash(other), True, "whether equal places are equal")
    assert_equal(one == after(machine, b"(x"), False, "whether [x and (x are the same state")
    assert_equal(one == after(machine, b"[[x"), False, "whether [x and [[x are the same state")
    kept = after(machine, b"[(")
    for text in (b"x)]", b"yx)]", b"[x])]"):
        state = kept
        for byte in text:
            state = machine.step(state, byte)
            if state is None:
                raise CheckFailure(f"{text!r} may follow '[(', also when the state was kept")
        assert_equal(machine.accepts(state), True, f"whether {text!r} ends '[('")
    assert_equal(machine.accepts(kept), False, "whether the kept state accepts")


def check_grammar_is_not_changed(part: ModuleType) -> None:
    """The grammar stays as it is, so that another rule of it can be run"""
    grammar = part.Grammar()
    first, second = grammar.state(), grammar.state()
    grammar.returns.add(grammar.text(grammar.call(grammar.text(first, b"a"), second), b"c"))
    grammar.returns.add(grammar.text(second, b"b"))
    grammar.calls[second].append((grammar.text(second, b"x"), grammar.state()))
    before = repr((grammar.moves, grammar.empty_moves, grammar.calls, grammar.returns))
    both = [part.PushdownAutomaton(grammar, rule) for rule in (first, second)]
    now = repr((grammar.moves, grammar.empty_moves, grammar.calls, grammar.returns))
    assert_equal(now, before, "the grammar afterwards")
    verdicts = [[machine.matches(text) for text in (b"abc", b"b")] for machine in both]
    assert_equal(verdicts, [[True, False], [False, True]], "what the two rules match")


def check_limits(part: ModuleType) -> None:
    """A grammar of too many states raises GroundupError"""
    grammar = part.Grammar()

    for _ in range(200_000):
        grammar.state()
    assert_raises(GroundupError, grammar.state, "there are 200,000 states")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: reading a JSON text of ``size`` lists."""
    text = b"[" + b",".join(b'{"0":[1,"t"]}' for _ in range(size)) + b"]"
    machine = automaton(part, JSON)
    return lambda: machine.matches(text)


SIZE = 50
