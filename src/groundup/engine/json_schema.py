"""JSON schemas, compiled to pushdown automata whose texts are the JSON values that satisfy them.

What is written is compact JSON (RFC 8259) with at most one space behind ``:`` and ``,`` and none
elsewhere. Everything that can be written satisfies the schema; of the values that satisfy it, one
spelling at least can be written, with these exceptions, which keep the automata small:

- properties come in the order of their declaration, required ones that are not declared after them,
  and others last
- an integer (by its type) has no fraction and no exponent; a number with bounds has no exponent,
  and the digits that `decimal_range` says
- a text with a pattern or a format, and the name of a property that is not declared, has each
  character in its shortest spelling (`json_string`), and a format as `string_format` says
- values nest at most `MAX_DEPTH` of `pushdown_automaton` levels
- ``\\d``, ``\\w`` and ``\\s`` in patterns are ASCII, as `regular_expression` says

``oneOf`` is taken where no value can satisfy two of its schemas: their types differ, or the values
of a property that both require, or of themselves. Any other keyword is refused rather than left
unenforced.

Source: JSON Schema 2020-12, core and validation.
"""

import json
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from time import monotonic
from typing import Any

from groundup.engine.decimal_range import decimal_range
from groundup.engine.dfa_product import difference, intersection
from groundup.engine.integer_range import integer_range
from groundup.engine.json_string import (
    any_character,
    any_text,
    characters,
    shortest_spelling,
    spelled,
    spelled_text,
)
from groundup.engine.pushdown_automaton import Grammar, PushdownAutomaton
from groundup.engine.regular_expression import Dfa, compile_regex
from groundup.engine.schema_conditions import (
    Conditions,
    Schema,
    SchemaReader,
    error,
    has_type,
    joined_types,
    shown,
    type_of,
)
from groundup.engine.string_format import STRING_FORMATS
from groundup.engine.word_automaton import word_automaton
from groundup.errors import GroundupError

__all__ = ["compile_json_schema"]

MAX_TEXT = 256_000  # characters of a schema
MAX_NESTING = 100  # of a schema's text
MAX_RULES = 5_000
MAX_LENGTH = 50_000  # a text's or list's limits
MAX_ENUM_NESTING = 8
MAX_SECONDS = 5.0  # each single step is bounded by its size, and this bounds their number

ANY_OBJECT = '{"type": "object"}'
INTEGER = r"-?(?:0|[1-9]\d*)"
NUMBER = INTEGER + r"(?:\.\d+)?(?:[eE][+\-]?\d+)?"


def compile_json_schema(text: str = ANY_OBJECT) -> PushdownAutomaton:
    """The automaton of a schema.

    Arguments:
        text: the schema as JSON; by default, that of any object.

    Raises: GroundupError, naming the place: the text is not JSON or not a schema, a keyword is not
    supported, nothing can satisfy the schema, or it is too large.
    """
    root = _parsed(text)
    return _Compiler(root, monotonic() + MAX_SECONDS).compile(root)


class _Compiler:
    """One rule of the grammar for each schema. A schema that occurs twice is compiled once."""

    def __init__(self, root: Schema, deadline: float, nesting: int = 0) -> None:
        self.root = root
        self.deadline = deadline
        self.nesting = nesting  # of schemas compiled to choose values of an enum
        self.reader = SchemaReader(root)
        self.grammar = Grammar()
        self.rules: dict[str, int] = {}  # by the schema's text
        self.waiting: list[tuple[int, Schema, str]] = []
        self.impossible: list[str] = []  # why a schema cannot be satisfied

    def compile(self, schema: Schema, path: str = "#") -> PushdownAutomaton:
        rule = self.rule(schema, path)
        while self.waiting:
            self.check_time(path)
            self.build(*self.waiting.pop())
        try:
            return PushdownAutomaton(self.grammar, rule)
        except GroundupError as reason:
            because = f" ({self.impossible[0]})" if self.impossible else ""
            raise GroundupError(f"{reason}{because}") from None

    def rule(self, schema: Schema, path: str) -> int:
        """The rule of a schema, which is built later: schemas may need themselves."""
        key = json.dumps(schema)
        if key not in self.rules:
            if len(self.rules) == MAX_RULES:
                raise error(path, f"more than {MAX_RULES:,} different parts",
                            "use fewer combinations of anyOf and allOf")  # fmt: skip
            self.rules[key] = self.grammar.state()
            self.waiting.append((self.rules[key], schema, path))
        return self.rules[key]

    def check_time(self, path: str) -> None:
        if monotonic() > self.deadline:
            raise error(path, "so much to compile that it takes too long",
                        "use fewer patterns and combinations")  # fmt: skip

    def nothing(self, path: str, reason: str) -> None:
        self.impossible.append(f"{reason}, at {path}")

    def returns(self, state: int) -> None:
        self.grammar.returns.add(state)

    def build(self, rule: int, schema: Schema, path: str) -> None:
        found = self.reader.conditions(schema, path)
        if found is None:
            self.nothing(path, "the schema false allows nothing")
        elif found.choices:
            self.choice(rule, found, path)
        elif found.values is not None:
            self.values(rule, found, path)
        else:
            if not found.types:
                self.nothing(path, "the types exclude each other")
            for name in sorted(found.types):
                # A state of its own: nothing may lead back to the rule's beginning.
                start = self.grammar.state()
                self.grammar.empty_moves[rule].append(start)
                getattr(self, name)(start, found, path)

    # ---- choices

    def choice(self, rule: int, found: Conditions, path: str) -> None:
        """anyOf and oneOf: the first is divided into its cases, of which each has the others."""
        kind, cases = found.choices[0]
        if kind == "oneOf":
            for (i, left), (j, right) in combinations(enumerate(cases), 2):
                if not self.exclude(left, right, path, 3):
                    raise error(path, f"oneOf whose schemas {i} and {j} may both hold",
                                "use anyOf, or a required property with another const in each",
                                )  # fmt: skip
        found.choices = found.choices[1:]
        rest = found.schema()
        for i, case in enumerate(cases):
            joined: Schema = case if rest is True else {"allOf": [rest, case]}
            self.returns(self.grammar.call(rule, self.rule(joined, f"{path}/{kind}/{i}")))

    def exclude(self, left: Schema, right: Schema, path: str, levels: int) -> bool:
        """Whether it is plain that no value satisfies both schemas."""
        self.check_time(path)
        a, b = self.reader.conditions(left, path), self.reader.conditions(right, path)
        if a is None or b is None:
            return True
        types = [
            c.types if c.values is None else joined_types(c.types, {*map(type_of, c.values)})
            for c in (a, b)
        ]
        if not joined_types(types[0], types[1]):
            return True
        if a.values is not None and b.values is not None:
            a.join(b)
            return not a.values
        if joined_types(types[0], types[1]) != {"object"} or not levels:
            return False
        return any(
            self.exclude(a.properties[name], b.properties[name], path, levels - 1)
            for name in a.required
            if name in b.required and name in a.properties and name in b.properties
        )

    def values(self, rule: int, found: Conditions, path: str) -> None:
        """enum and const: those of the values that satisfy the other conditions."""
        values, found.values = found.values or [], None
        kept = [v for v in values if has_type(v, found.types)]
        numbers = [v for v in kept if has_type(v, {"number"}) and found.within_bounds(v)]
        kept = [v for v in kept if not has_type(v, {"number"})]
        if kept and found.schema() != Conditions(types=found.types).schema():
            kept = self.satisfying(kept, found, path)
        kept += numbers
        if not kept:
            self.nothing(path, "none of the values of enum or const satisfies the rest")
            return
        flat = [_compact(v).encode() for v in kept if not isinstance(v, list | dict) or not v]
        if flat:
            start = self.grammar.automaton(rule, word_automaton(flat))
            self.returns(start)
        for value in kept:
            if isinstance(value, list | dict) and value:
                start = self.grammar.state()
                self.grammar.empty_moves[rule].append(start)
                self.returns(self.value(start, value))

    def satisfying(self, values: list[Any], found: Conditions, path: str) -> list[Any]:
        """Those of the values that the conditions, compiled on their own, can write."""
        if self.nesting == MAX_ENUM_NESTING:
            raise error(path, "an enum beside conditions that lead back to an enum, too often",
                        "leave out the conditions that its values satisfy anyway")  # fmt: skip
        others = _Compiler(self.root, self.deadline, self.nesting + 1)
        try:
            automaton = others.compile(found.schema(), path)
        except GroundupError:
            if not others.impossible:
                raise
            return []
        return [v for v in values if automaton.matches(_compact(v).encode())]

    def value(self, state: int, value: Any) -> int:
        """This value, with the optional spaces."""
        grammar = self.grammar
        if isinstance(value, list) and value:
            for i, each in enumerate(value):
                state = self.comma(state) if i else grammar.text(state, b"[")
                state = self.value(state, each)
            return grammar.text(state, b"]")
        if isinstance(value, dict) and value:
            for i, (name, each) in enumerate(value.items()):
                state = self.comma(state) if i else grammar.text(state, b"{")
                state = self.colon(grammar.text(state, b'"%s"' % spelled(name)))
                state = self.value(state, each)
            return grammar.text(state, b"}")
        return grammar.text(state, _compact(value).encode())

    def comma(self, state: int) -> int:
        return self.with_space(state, b",")

    def colon(self, state: int) -> int:
        return self.with_space(state, b":")

    def with_space(self, state: int, text: bytes) -> int:
        before = self.grammar.text(state, text)
        after = self.grammar.text(before, b" ")
        self.grammar.empty_moves[before].append(after)
        return after

    # ---- one method for each type, by its name

    def null(self, state: int, found: Conditions, path: str) -> None:
        self.returns(self.grammar.text(state, b"null"))

    def boolean(self, state: int, found: Conditions, path: str) -> None:
        self.returns(self.grammar.automaton(state, word_automaton([b"true", b"false"])))

    def number(self, state: int, found: Conditions, path: str) -> None:
        if not found.has_bounds():
            self.returns(self.grammar.automaton(state, _any_number()))
            return
        try:
            pattern = decimal_range(*found.bounds())
        except ValueError as reason:
            raise error(path, f"bounds of a number that are too exact ({reason})",
                        "or give it the type integer") from None  # fmt: skip
        if pattern is None:
            self.nothing(path, "no number lies within all bounds")
        else:
            self.returns(self.grammar.automaton(state, compile_regex(pattern)))

    def integer(self, state: int, found: Conditions, path: str) -> None:
        low, high = found.integers()
        pattern = INTEGER if low is None and high is None else integer_range(low, high)
        if pattern is None:
            self.nothing(path, f"no integer is at least {low} and at most {high}")
        else:
            self.returns(self.grammar.automaton(state, compile_regex(pattern)))

    def string(self, state: int, found: Conditions, path: str) -> None:
        grammar = self.grammar
        low, high = found.least_length, found.most_length
        _check_limit(max(low, high or 0), "a text", path)
        if high is not None and low > high:
            self.nothing(path, f"minLength {low} is above maxLength {high}")
            return
        state = grammar.text(state, b'"')
        if found.patterns or found.formats:
            text = self.patterned(found, path)
            if text is None:
                self.nothing(path, "the conditions on the text exclude each other")
                return
            state = grammar.automaton(state, text)
        elif low or high is not None:
            state = self.counted(state, self.character(), low, high)
        else:
            state = grammar.automaton(state, any_text())
        self.returns(grammar.text(state, b'"'))

    def patterned(self, found: Conditions, path: str) -> Dfa | None:
        """The texts that satisfy patterns, formats and limits of length at once."""
        parts = []
        for name in found.formats:
            if name not in STRING_FORMATS:
                raise error(path, f"the format {name!r}, which is not supported",
                            f"choose from {', '.join(STRING_FORMATS)}")  # fmt: skip
            parts.append(_format(name))
        for pattern in found.patterns:
            try:
                parts.append(compile_regex(pattern, shortest_spelling, search=True))
            except GroundupError as reason:
                raise GroundupError(f"{reason} (at {path})") from None
        if found.least_length or found.most_length is not None:
            parts.append(characters(found.least_length, found.most_length))
        joined: Dfa | None = parts[0]
        for part in parts[1:]:
            joined = joined and intersection(joined, part)
        return joined

    def character(self) -> int:
        """The rule of one character in any spelling."""
        if "character" not in self.rules:  # no schema's text
            self.rules["character"] = self.grammar.state()
            self.returns(self.grammar.automaton(self.rules["character"], any_character()))
        return self.rules["character"]

    def counted(self, state: int, rule: int, low: int, high: int | None) -> int:
        """From low to high times a rule."""
        end = self.grammar.state()
        for count in range(low if high is None else high):
            if count >= low:
                self.grammar.empty_moves[state].append(end)
            state = self.grammar.call(state, rule)
        self.grammar.empty_moves[state].append(end)
        if high is None:
            self.grammar.empty_moves[self.grammar.call(state, rule)].append(state)
        return end

    def array(self, state: int, found: Conditions, path: str) -> None:
        grammar = self.grammar
        low, high = found.least_items, found.most_items
        _check_limit(max(low, high or 0), "a list", path)
        if high is not None and low > high:
            self.nothing(path, f"minItems {low} is above maxItems {high}")
            return
        state = grammar.text(state, b"[")
        end = grammar.state()
        # The elements that differ from those after them by their schema or by their number.
        several = max(low, len(found.prefix), 1) if high is None else high
        for count in range(several):
            if count >= low:
                grammar.empty_moves[state].append(end)
            state = self.element(state, found, count, path)
        grammar.empty_moves[state].append(end)
        if high is None:
            grammar.empty_moves[self.element(state, found, several, path)].append(state)
        self.returns(grammar.text(end, b"]"))

    def element(self, state: int, found: Conditions, index: int, path: str) -> int:
        place = "items" if index >= len(found.prefix) else f"prefixItems/{index}"
        before = self.comma(state) if index else state
        return self.grammar.call(before, self.rule(found.item(index), f"{path}/{place}"))

    def object(self, state: int, found: Conditions, path: str) -> None:
        grammar = self.grammar
        required = set(found.required)
        properties = {
            **found.properties,
            **{n: found.additional for n in found.required if n not in found.properties},
        }
        for name in found.required:
            if properties[name] is False:
                self.nothing(path, f"the property {name!r} is required and forbidden")
        # Behind "{" or a comma stands a pair, behind a pair a comma or the end. An optional
        # property may be passed over in both places.
        end = grammar.state()
        first = grammar.text(state, b"{")  # no pair is written yet
        next_key = grammar.state()  # a comma is written
        last_required = max((i for i, n in enumerate(properties) if n in required), default=-1)
        for i, (name, schema) in enumerate(properties.items()):
            pair = grammar.state()
            grammar.empty_moves[first].append(pair)
            grammar.empty_moves[next_key].append(pair)
            named = self.colon(grammar.text(pair, b'"%s"' % spelled(name)))
            written = grammar.call(named, self.rule(schema, f"{path}/properties/{name}"))
            passed, next_key_passed = grammar.state(), grammar.state()
            if name not in required:
                grammar.empty_moves[first].append(passed)
                grammar.empty_moves[next_key].append(next_key_passed)
            first, next_key = passed, next_key_passed
            grammar.empty_moves[self.comma(written)].append(next_key)
            if i >= last_required:
                grammar.empty_moves[written].append(end)
        grammar.empty_moves[first].append(end)
        if found.additional is not False:
            self.other_pairs(first, next_key, end, found.additional, properties, path)
        self.returns(grammar.text(end, b"}"))

    def other_pairs(
        self, first: int, next_key: int, end: int, schema: Schema, names: Iterable[str], path: str
    ) -> None:
        """Any number of pairs whose names are not among the names."""
        grammar = self.grammar
        declared = [spelled(name) for name in names]
        other = difference(spelled_text(), word_automaton(declared)) if declared else any_text()
        pair = grammar.state()
        grammar.empty_moves[first].append(pair)
        grammar.empty_moves[next_key].append(pair)
        assert other is not None  # there are more texts than names
        named = grammar.text(grammar.automaton(grammar.text(pair, b'"'), other), b'"')
        rule = self.rule(schema, f"{path}/additionalProperties")
        written = grammar.call(self.colon(named), rule)
        grammar.empty_moves[written].append(end)
        grammar.empty_moves[self.comma(written)].append(pair)


@cache
def _any_number() -> Dfa:
    return compile_regex(NUMBER)


@cache
def _format(name: str) -> Dfa:
    return compile_regex(STRING_FORMATS[name], shortest_spelling)


def _parsed(text: str) -> Schema:
    if len(text) > MAX_TEXT:
        raise GroundupError(
            f"the schema has {len(text):,} characters, expected at most {MAX_TEXT:,}; shorten it"
        )
    # Counted in the text, and so also in its strings: parsing may already go too deep.
    nesting = deepest = 0
    for character in text:
        nesting += (character in "[{") - (character in "]}")
        deepest = max(deepest, nesting)
    if deepest > MAX_NESTING:
        raise GroundupError(
            f"the schema nests {deepest} levels, expected at most {MAX_NESTING}; "
            "name inner parts in $defs, and refer to them"
        )
    try:
        root = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        json.dumps(root, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as reason:
        raise GroundupError(
            f"the schema is not JSON: {reason}; give its text as json.dumps writes it"
        ) from None
    if not isinstance(root, dict | bool):
        raise error("#", shown(root), "a schema is an object, true or false")
    return root


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:40]} is too large")
    return number


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _check_limit(count: int, what: str, path: str) -> None:
    if count > MAX_LENGTH:
        raise error(path, f"a limit of {count:,} on {what}",
                    f"keep limits to {MAX_LENGTH:,}, or leave them out")  # fmt: skip
