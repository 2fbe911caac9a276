"""JSON schemas as automata, against the ``jsonschema`` library, and with planted bad input."""

import datetime
import ipaddress
import json
import random
import re
import uuid
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.engine import json_schema
from groundup.engine.json_schema import compile_json_schema
from groundup.engine.pushdown_automaton import MAX_DEPTH, PushdownAutomaton
from groundup.errors import GroundupError

VALUES = [None, True, False, 0, 1, -3, 2.5, "", "a", 'é\n"', [], [1], ["a", None], {}, {"a": 1}]
NAMES = ["a", "b", "ab", 'q"\n', "é"]
LEAVES: list[Any] = [
    True,
    {},
    {"type": "null"},
    {"type": "boolean"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "string"},
    {"type": ["string", "null"]},
    {"type": ["integer", "number", "array"]},
    {"type": "integer", "minimum": -3, "exclusiveMaximum": 12.5},
    {"type": "integer", "exclusiveMinimum": 98, "maximum": 1003},
    {"minimum": 7, "type": ["integer", "null"]},
    {"type": "number", "exclusiveMinimum": -0.5, "maximum": 1.25},
    {"minimum": 0.001},
    {"type": "string", "minLength": 1, "maxLength": 3},
    {"type": "string", "maxLength": 2},
    {"type": "string", "minLength": 2},
    {"type": "string", "pattern": '^[a-c"é]+$'},
    {"type": "string", "pattern": "b\\d", "maxLength": 4},
    {"type": "string", "format": "ipv4"},
    {"const": "x"},
    {"const": {"a": [1, {"b": None}], "c": 2.5}},
    {"enum": VALUES},
    {"enum": VALUES, "type": ["string", "integer"]},
    {"enum": VALUES, "minLength": 1, "maximum": 0, "minItems": 1},
    {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]},
    {"oneOf": [{"type": "integer"}, {"type": "string"}]},
    {"allOf": [{"type": ["integer", "string"]}, {"type": ["number", "null"]}]},
    {"$ref": "#/$defs/list"},
    {"$ref": "#/$defs/tree", "title": "A tree"},
]
DEFINITIONS = {
    "list": {"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#/$defs/list"}}]},
    "tree": {
        "type": "object",
        "properties": {"left": {"$ref": "#/$defs/tree"}, "v": {"type": "integer"}},
        "additionalProperties": False,
    },
}


@pytest.fixture(autouse=True, scope="module")
def time_enough() -> Iterator[None]:
    """The machine may be busy: only limits of size are met here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_schema, "MAX_SECONDS", 600.0)
        yield


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("object"), "properties": st.dictionaries(st.sampled_from(NAMES), inner)},
        optional={
            "required": st.lists(st.sampled_from(NAMES), unique=True, max_size=2),
            "additionalProperties": st.booleans() | inner,
        },
    )


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": st.booleans() | inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "minItems": st.integers(0, 3),
            "maxItems": st.integers(0, 4),
        },
    )


SCHEMAS = st.recursive(
    st.sampled_from(LEAVES),
    lambda inner: (
        objects(inner)
        | arrays(inner)
        | st.builds(lambda a: {"anyOf": a}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda a, b: {"allOf": [a, b]}, inner, inner)
        | st.builds(lambda a, b: {**a, "anyOf": b}, objects(inner), st.lists(inner, min_size=1))
    ),
    max_leaves=5,
)
FORMATS = jsonschema.FormatChecker(["ipv4"])


def validator(schema: Any) -> Any:
    return jsonschema.Draft202012Validator(schema, format_checker=FORMATS)


def compiled(schema: Any) -> PushdownAutomaton | None:
    """None where it is refused as impossible."""
    try:
        return compile_json_schema(json.dumps(schema))
    except GroundupError as refused:
        if "nothing can be written" in str(refused):
            return None
        raise


def written(automaton: PushdownAutomaton, rng: random.Random, steps: int = 400) -> str | None:
    """A text that a random walk over bytes writes, or None where it comes to no end."""
    state, text = automaton.start(), bytearray()
    representatives: dict[int, list[int]] = {}
    for byte, c in enumerate(automaton.byte_classes.tolist()):
        representatives.setdefault(c, []).append(byte)
    for _ in range(steps):
        row = {c: after for after, classes in automaton.moves(state) for c in classes}
        assert row or automaton.accepts(state), text  # never stuck
        if automaton.accepts(state) and (not row or rng.random() < 0.3):
            return text.decode()
        closing = [c for c in row if set(representatives[c]) & set(b'"]}')]
        c = rng.choice(closing if closing and rng.random() < 0.4 else list(row))
        text.append(rng.choice(representatives[c]))
        state = row[c]
    return None


@settings(max_examples=400, deadline=None)
@given(SCHEMAS, st.integers(0, 2**32))
def test_everything_that_can_be_written_satisfies_the_schema(schema: Any, seed: int) -> None:
    if isinstance(schema, dict):
        schema = {**schema, "$defs": DEFINITIONS}
    automaton = compiled(schema)
    if automaton is None:
        return
    rng = random.Random(seed)
    for _ in range(5):
        text = written(automaton, rng)
        if text is not None:
            value = json.loads(text)
            json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair
            validator(schema).validate(value)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, st.recursive(st.sampled_from(VALUES), lambda v: (
    st.lists(v, max_size=3) | st.dictionaries(st.sampled_from(NAMES), v, max_size=3)), max_leaves=5,
))  # fmt: skip
def test_every_value_that_satisfies_the_schema_can_be_written(schema: Any, value: Any) -> None:
    if isinstance(schema, dict):
        schema = {**schema, "$defs": DEFINITIONS}
    automaton = compiled(schema)
    if automaton is None:
        assert not validator(schema).is_valid(value)
        return
    # In any order of properties; theirs is that of the schema.
    if validator(schema).is_valid(value):
        assert any(automaton.matches(text.encode()) for text in spellings(value)), (schema, value)
    else:
        assert not any(automaton.matches(text.encode()) for text in spellings(value))


def spellings(value: Any) -> list[str]:
    """With every order of the properties of every object, up to a bound."""
    found: list[str] = []
    rng = random.Random(0)
    for _ in range(60):
        found.append(json.dumps(shuffled(value, rng), ensure_ascii=False, separators=(",", ": ")))
    return list(dict.fromkeys(found))


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, list):
        return [shuffled(each, rng) for each in value]
    if isinstance(value, dict):
        items = [(name, shuffled(each, rng)) for name, each in value.items()]
        return dict(rng.sample(items, len(items)))
    return value


def test_the_spelling_is_json_with_optional_spaces_behind_separators() -> None:
    automaton = compile_json_schema()
    for text in (
        '{"a":1,"b":[true,false,null]}',
        '{"a": 1, "b": [true, false,null]}',
        '{"a":-0.5e+10,"":{"\\u00e9\\ud83d\\ude00\\n\\/":"\x7fé😀"}}',
    ):
        assert automaton.matches(text.encode()), text
        json.loads(text)
    for text in (
        "",
        "[]",
        "1",
        ' {"a":1}',
        '{"a" :1}',
        '{"a":  1}',
        '{"a":1} ',
        '{"a":1,}',
        '{"a":01}',
        '{"a":+1}',
        '{"a":1.}',
        '{"a":.5}',
        '{"a":1e}',
        '{"a":"\n"}',
        '{"a":"\\x"}',
        '{"a":"\\ud83d"}',
        '{"a":"\\ude00\\ud83d"}',
        '{"a":"\\u12"}',
        "{'a':1}",
        '{"a":tru}',
        '{"a":[1,]}',
        '{"a":[1}',
    ):
        assert not automaton.matches(text.encode()), text
    assert not automaton.matches(b'{"a":"\xff"}')
    assert not automaton.matches(b'{"a":"\xed\xa0\x80"}')


def test_nesting_is_bounded_and_every_state_can_be_completed_there() -> None:
    first = {"anyOf": [{"$ref": "#"}, {"const": 1}]}
    schema = {"type": "array", "minItems": 1, "items": {"$ref": "#"}, "prefixItems": [first]}
    automaton = compile_json_schema(json.dumps(schema))
    state, depth = automaton.start(), 0
    while (after := automaton.step(state, ord("["))) is not None:
        state, depth = after, depth + 1
    assert MAX_DEPTH - 2 <= depth <= MAX_DEPTH + 1
    for byte in b"1" + b"]" * depth:
        after = automaton.step(state, byte)
        assert after is not None
        state = after
    assert automaton.accepts(state)


def test_the_states_of_an_ambiguous_schema_stay_few() -> None:
    same = [{"type": "array", "items": {"$ref": "#"}, "maxItems": n} for n in range(3, 7)]
    automaton = compile_json_schema(json.dumps({"anyOf": [*same, {"const": 1}]}))
    state = automaton.start()
    for byte in b"[" * 40 + b"1" + b",1" * 2 + b"]" * 40:
        after = automaton.step(state, byte)
        assert after is not None
        assert len(after) < 300
        state = after
    assert automaton.accepts(state)


def doubling(levels: int) -> dict[str, Any]:
    """Two ways to say each level: 2 ** levels ways to say the last."""
    definitions: dict[str, Any] = {
        f"d{i}": {
            "anyOf": [{"$ref": f"#/$defs/d{i + 1}"}, {"$ref": f"#/$defs/d{i + 1}", "title": "t"}]
        }
        for i in range(levels)
    }
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{levels}": {"type": "integer"}}}


def test_ways_that_double_are_joined() -> None:
    automaton = compile_json_schema(json.dumps(doubling(60)))
    assert automaton.matches(b"-12")
    assert len(automaton.start()) < 10


FORMAT_EXAMPLES = {
    "date": (["2024-02-29", "2023-12-31", "0001-01-01"],
             ["2023-02-29", "2023-13-01", "23-01-01", "0000-01-01"]),
    "time": (["23:59:59Z", "00:00:00.125+05:30"], ["24:00:00Z", "12:00:00", "12:60:00Z"]),
    "date-time": (["2024-02-29T12:00:00Z"], ["2024-02-30T12:00:00Z", "2024-02-29 12:00:00Z"]),
    "uuid": (["123e4567-E89b-12d3-a456-426614174000"], ["123e4567e89b12d3a456426614174000", ""]),
    "ipv4": (["0.0.0.0", "255.249.199.99"], ["256.0.0.1", "1.2.3", "01.2.3.4"]),
    "email": (["a.b+c@example.org", "x@y.zz"], ["a@b", "@b.c", "a..b@c.d", "a b@c.d", "a@-b.c"]),
}  # fmt: skip
PARSERS: dict[str, Any] = {
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "date-time": datetime.datetime.fromisoformat,
    "uuid": uuid.UUID,
    "ipv4": ipaddress.IPv4Address,
    "email": lambda text: text.index("@"),
}


@pytest.mark.parametrize("name", FORMAT_EXAMPLES)
def test_formats(name: str) -> None:
    automaton = compile_json_schema(json.dumps({"type": "string", "format": name}))
    good, bad = FORMAT_EXAMPLES[name]
    for text in good:
        assert automaton.matches(json.dumps(text).encode()), text
    for text in bad:
        assert not automaton.matches(json.dumps(text).encode()), text
    rng = random.Random(0)
    found = [each for _ in range(60) if (each := written(automaton, rng)) is not None]
    assert len(found) > 30
    for text in found:
        PARSERS[name](json.loads(text))


BAD = {
    "": "not JSON",
    "{": "not JSON",
    '{"type": "string",}': "not JSON",
    '{"enum": [NaN]}': "NaN is not",
    '{"const": 1e999}': "too large",
    '"\\ud800"': "not JSON",
    "3": "a schema is an object",
    "[]": "a schema is an object",
    "[" * 100_000: "nests 100000 levels",
    '{"items":' * 200 + "{}" + "}" * 200: "nests 201 levels",
    json.dumps({"title": "x" * 300_000}): "characters",
    "false": "nothing can be written",
    '{"type": "strin"}': 'type "strin"',
    '{"type": []}': "type []",
    '{"propertes": {}}': "'propertes'",
    '{"not": {}}': "'not'",
    '{"if": {}, "then": {}}': "'if'",
    '{"patternProperties": {}}': "'patternProperties'",
    '{"propertyNames": {}}': "'propertyNames'",
    '{"uniqueItems": true}': "'uniqueItems'",
    '{"multipleOf": 2}': "'multipleOf'",
    '{"minProperties": 1}': "'minProperties'",
    '{"unevaluatedProperties": false}': "'unevaluatedProperties'",
    '{"dependentRequired": {}}': "'dependentRequired'",
    '{"contains": {}}': "'contains'",
    '{"nullable": true}': "'nullable'",
    '{"properties": {"a": {"$id": "http://a/b"}}}': "'$id'",
    '{"$dynamicRef": "#a"}': "'$dynamicRef'",
    '{"properties": {"a": {"properties": {"b": {"x": 1}}}}}': "#/properties/a/properties/b",
    '{"type": "number", "minimum": 0.1234567890123456}': "more than 15 digits",
    '{"type": "number", "minimum": 1, "exclusiveMaximum": 1}': "no number lies",
    '{"type": "integer", "minimum": "0"}': 'minimum "0"',
    '{"type": "integer", "minimum": true}': "minimum true",
    '{"type": "integer", "exclusiveMinimum": true}': "exclusiveMinimum true",
    '{"type": "integer", "maximum": 1e300}': "maximum",
    '{"type": "integer", "minimum": 5, "maximum": 4}': "at least 5 and at most 4",
    '{"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2}': "no integer",
    '{"type": "string", "minLength": 3, "maxLength": 2}': "minLength 3 is above maxLength 2",
    '{"type": "string", "minLength": -1}': "minLength -1",
    '{"type": "string", "minLength": 0.5}': "minLength 0.5",
    '{"type": "string", "maxLength": 1000000000}': "1,000,000,000",
    '{"type": "array", "maxItems": 1000000000}': "1,000,000,000",
    '{"type": "string", "pattern": "("}': "position 0",
    '{"type": "string", "pattern": 3}': "pattern 3",
    '{"type": "string", "pattern": "(?=a)"}': "look-ahead",
    '{"type": "string", "pattern": "^(a|b)*a(a|b){25}$"}': "more than",
    '{"type": "string", "pattern": "^a+$", "maxLength": 40000}': "more than",
    '{"type": "string", "pattern": "^a{5}$", "maxLength": 4}': "exclude each other",
    '{"type": "string", "format": "hostname"}': "'hostname'",
    '{"enum": []}': "none of the values",
    '{"enum": "a"}': 'enum "a"',
    '{"enum": ["a"], "type": "integer"}': "none of the values",
    '{"enum": ["a"], "const": "b"}': "none of the values",
    '{"enum": ["aaa"], "maxLength": 2}': "none of the values",
    '{"type": "object", "required": ["a"], "additionalProperties": false}': "'a' is required and",
    '{"type": "object", "required": ["a"], "properties": {"a": false}}': "'a' is required and",
    '{"type": "object", "required": "a"}': 'required "a"',
    '{"type": "object", "properties": []}': "properties []",
    '{"type": "object", "properties": {"a": 3}}': "a schema is an object",
    '{"type": "array", "items": [{}]}': "prefixItems",
    '{"type": "array", "items": false, "minItems": 1}': "nothing can be written",
    '{"type": "array", "minItems": 3, "maxItems": 2}': "minItems 3 is above maxItems 2",
    '{"allOf": [{"type": "string"}, {"type": "null"}]}': "types exclude each other",
    '{"anyOf": []}': "anyOf []",
    '{"anyOf": [false, false]}': "nothing can be written",
    '{"oneOf": [{"type": "integer"}, {"type": "number"}]}': "may both hold",
    '{"oneOf": [{"type": "object"}, {"type": "object", "required": ["a"]}]}': "may both hold",
    '{"$ref": "#/$defs/missing"}': "leads to no schema",
    '{"$ref": "http://example.org/schema"}': "references within",
    '{"$ref": "#"}': "leads back to itself",
    '{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}':
        "back to itself",
    '{"anyOf": [{"$ref": "#"}]}': "nothing can be written",
    '{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}': "nothing can be",
    '{"type": "array", "minItems": 1, "items": {"$ref": "#"}}': "nothing can be written",
    '{"enum": [{}, "a"], "properties": {"a": {"$ref": "#"}}}': "lead back to an enum",
    json.dumps({"allOf": [{"title": str(i)} for i in range(300)]}): "more than 200 schemas",
    json.dumps({"allOf": [{"anyOf": [{"required": [f"{i}{j}"]} for j in range(8)]}
                          for i in range(9)]}): "more than",
    json.dumps({"type": "array", "items": {"type": "array", "maxItems": 50_000, "prefixItems": [
        {"maxLength": 40_000, "title": str(i)} for i in range(10)]}}): "more than 200,000 states",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:50])
def test_a_schema_that_cannot_be_enforced_is_refused_plainly(text: str) -> None:
    with pytest.raises(GroundupError, match=re.escape(BAD[text])):
        compile_json_schema(text)


ACCEPTED = [
    ({"$schema": "x", "$id": "y", "title": "t", "default": 1, "examples": [1]}, "[1, 2]"),
    ({"oneOf": [{"const": 1}, {"const": "a"}]}, '"a"'),
    ({"oneOf": [{"properties": {"k": {"const": c}}, "required": ["k"], "type": "object"}
                for c in "ab"], "discriminator": {"propertyName": "k"}}, '{"k": "b"}'),
    ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "null"),
    ({"type": "object", "properties": {"a": {"type": "integer", "minimum": 2, "maximum": 1}}},
     "{}"),
    ({"type": "integer", "minimum": -0.5, "maximum": 10**20}, "99999999999999999999"),
    ({"$ref": "#/$defs/a~1b%20c/items", "$defs": {"a/b c": {"items": {"const": 7}}}}, "7"),
    ({"properties": {"a": True}, "required": ["z", "a"]}, '{"a":1,"z":2,"x":3}'),
    ({"$defs": {"a": {"minLength": 1}}, "$ref": "#/$defs/a", "type": "string"}, '"x"'),
    ({"enum": [1, 1.0, True]}, "true"),
    ({"properties": {str(i): {"maxLength": 1} for i in range(400)}}, '{"7":"x","300":"y"}'),
    ({"maxLength": 50_000, "type": "string"}, '"a"'),
    ({"enum": [*range(10_000), *map(str, range(10_000))]}, '"77"'),
    ({"oneOf": [{"const": i} for i in range(60)]}, "59"),
    ({"$ref": "#/$defs/c", "$defs": {
        "a": {"properties": {"n": {"$ref": "#/$defs/c"}, "x": {"const": 1}}},
        "b": {"properties": {"n": {"$ref": "#/$defs/a"}}, "required": ["x"], "type": "object"},
        "c": {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}]}}},
     '{"n":{"n":{"n":{"x":1},"x":1},"x":1},"x":1}'),
    ({"enum": [0.5, 2, 7], "exclusiveMaximum": 7, "minimum": 1}, "2"),
]  # fmt: skip


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_schema, "MAX_SECONDS", -1.0)
    with pytest.raises(GroundupError, match="takes too long"):
        compile_json_schema("{}")


@pytest.mark.parametrize(("schema", "text"), ACCEPTED, ids=str)
def test_a_schema_that_can_be_enforced_is(schema: dict[str, Any], text: str) -> None:
    assert compile_json_schema(json.dumps(schema)).matches(text.encode())
    if "minLength" not in str(schema):
        return
    assert not compile_json_schema(json.dumps(schema)).matches(b'""')
