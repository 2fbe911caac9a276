"""JSON schemas reduced to conditions: what must hold of a value, with ``$ref`` and ``allOf`` gone.

Every keyword is either brought into a `Conditions` or refused by name. Two conditions are joined to
the one that says both, keyword by keyword; where that is not possible, both stay in a list.

Source: JSON Schema 2020-12, core, sections 7 and 10, and validation, section 6.
"""

import json
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from decimal import Decimal
from math import ceil, floor
from typing import Any
from urllib.parse import unquote

from groundup.errors import GroundupError

__all__ = ["Conditions", "Schema", "SchemaReader", "has_type", "type_of"]

Schema = dict[str, Any] | bool

TYPES = ("null", "boolean", "number", "integer", "string", "array", "object")

MAX_JOINED = 200  # schemas that hold at once

# They say something about a schema, and nothing about values.
ANNOTATIONS = {"$schema", "$comment", "$defs", "definitions", "title", "description", "default"}
ANNOTATIONS |= {"example", "examples", "deprecated", "readOnly", "writeOnly", "discriminator"}

COUNTS = {"minLength", "maxLength", "minItems", "maxItems"}
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
APPLICATORS = {"$ref", "allOf", "anyOf", "oneOf"}
KEYWORDS = {"type", "enum", "const", "properties", "required", "additionalProperties", "items"}
KEYWORDS |= {"prefixItems", "pattern", "format"} | COUNTS | BOUNDS | APPLICATORS

# Keywords that have a field of their own in Conditions.
FIELDS = {
    "enum": "values",
    "properties": "properties",
    "required": "required",
    "additionalProperties": "additional",
    "prefixItems": "prefix",
    "items": "items",
    "minItems": "least_items",
    "maxItems": "most_items",
    "minLength": "least_length",
    "maxLength": "most_length",
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}


@dataclass
class Conditions:
    """What must hold of a value; everything that is not said, holds."""

    types: frozenset[str] = frozenset(TYPES) - {"integer"}
    values: list[Any] | None = None  # of enum and const
    properties: dict[str, Schema] = field(default_factory=dict)  # in the order of declaration
    required: list[str] = field(default_factory=list)
    additional: Schema = True  # of the properties that are not named
    prefix: list[Schema] = field(default_factory=list)  # of the first elements
    items: Schema = True  # of the other elements
    least_items: int = 0
    most_items: int | None = None
    least_length: int = 0
    most_length: int | None = None
    patterns: list[str] = field(default_factory=list)
    formats: list[str] = field(default_factory=list)
    # Of numbers. Bounds that an integer has are whole; of others they keep the exactness.
    minimum: int | float | None = None
    maximum: int | float | None = None
    above: int | float | None = None  # exclusiveMinimum
    below: int | float | None = None
    choices: list[tuple[str, list[Schema]]] = field(default_factory=list)  # of anyOf and oneOf

    def join(self, other: "Conditions") -> None:
        """Add the conditions of another, so that both hold."""
        self.types = joined_types(self.types, other.types)
        if other.values is not None:
            mine = other.values if self.values is None else self.values
            theirs = set(map(json_key, other.values))
            self.values = [v for v in mine if json_key(v) in theirs]
        self._join_properties(other)
        self._join_items(other)
        self.least_length = max(self.least_length, other.least_length)
        self.most_length = least(self.most_length, other.most_length)
        self.patterns += [p for p in other.patterns if p not in self.patterns]
        self.formats += [f for f in other.formats if f not in self.formats]
        self.minimum = greatest(self.minimum, other.minimum)
        self.above = greatest(self.above, other.above)
        self.maximum = least(self.maximum, other.maximum)
        self.below = least(self.below, other.below)
        self.choices += other.choices

    def _join_properties(self, other: "Conditions") -> None:
        names = dict.fromkeys([*self.properties, *other.properties])
        self.properties = {
            name: both(
                self.properties.get(name, self.additional),
                other.properties.get(name, other.additional),
            )
            for name in names
        }
        self.additional = both(self.additional, other.additional)
        self.required = list(dict.fromkeys([*self.required, *other.required]))

    def _join_items(self, other: "Conditions") -> None:
        length = max(len(self.prefix), len(other.prefix))
        self.prefix = [both(self.item(i), other.item(i)) for i in range(length)]
        self.items = both(self.items, other.items)
        self.least_items = max(self.least_items, other.least_items)
        self.most_items = least(self.most_items, other.most_items)

    def item(self, index: int) -> Schema:
        """The schema of an element, counted from 0."""
        return self.prefix[index] if index < len(self.prefix) else self.items

    def schema(self) -> Schema:
        """A schema that says the same; ``True`` where nothing is said."""
        if not self.types:
            return False
        nothing = Conditions()
        said: dict[str, Any] = {
            key: getattr(self, name)
            for key, name in FIELDS.items()
            if getattr(self, name) != getattr(nothing, name)
        }
        if self.types != nothing.types:
            said["type"] = sorted(self.types)
        several: list[Schema] = [{"pattern": pattern} for pattern in self.patterns]
        several += [{"format": name} for name in self.formats]
        several += [{kind: cases} for kind, cases in self.choices]
        if several:
            said["allOf"] = several
        return said or True

    def integers(self) -> tuple[int | None, int | None]:
        """The first and last integer within the bounds; None is without a limit."""
        lows = [] if self.minimum is None else [ceil(self.minimum)]
        lows += [] if self.above is None else [floor(self.above) + 1]
        highs = [] if self.maximum is None else [floor(self.maximum)]
        highs += [] if self.below is None else [ceil(self.below) - 1]
        return max(lows, default=None), min(highs, default=None)

    def bounds(self) -> tuple[Decimal | None, ...]:
        """minimum, maximum, above and below as they are written."""
        values = (self.minimum, self.maximum, self.above, self.below)
        return tuple(None if value is None else Decimal(repr(value)) for value in values)

    def within_bounds(self, number: int | float) -> bool:
        """Whether a number satisfies the bounds."""
        return (
            (self.minimum is None or number >= self.minimum)
            and (self.maximum is None or number <= self.maximum)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def has_bounds(self) -> bool:
        """Whether numbers are bounded."""
        return any(x is not None for x in (self.minimum, self.maximum, self.above, self.below))


class SchemaReader:
    """Reads the schemas of one document."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def conditions(self, schema: Schema, path: str) -> Conditions | None:
        """What a schema says, or None where no value satisfies it (``false``).

        Arguments:
            schema: a part of the document, or one made of its parts.
            path: where it stands, for messages.

        Raises:
            GroundupError: a keyword is unknown, not supported or malformed, or a reference leads
                nowhere, out of the document, or back to itself.
        """
        found = Conditions()
        for part in self._parts(schema, path):
            if part is None:
                return None
            found.join(part)
        return found

    def _parts(self, schema: Schema, path: str) -> Iterator[Conditions | None]:
        """The conditions of a schema, and those of all that $ref and allOf add to it."""
        waiting: list[tuple[Any, str, tuple[str, ...]]] = [(schema, path, ())]
        for count, (part, place, followed) in enumerate(waiting):
            if count > MAX_JOINED:
                raise error(
                    place, f"more than {MAX_JOINED} schemas that hold at once", "join some of them"
                )
            if isinstance(part, bool):
                if not part:
                    yield None
                continue
            yield from self._own(part, place)
            if "$ref" in part:
                name = part["$ref"]
                if name in followed:
                    raise error(place, f"the reference {shown(name)}, which leads back to itself",
                                "put something between, such as a property")  # fmt: skip
                waiting.append((self._referred(name, place), place, (*followed, name)))
            for i, each in enumerate(part.get("allOf", [])):
                waiting.append((each, f"{place}/allOf/{i}", followed))

    def _referred(self, name: Any, path: str) -> Schema:
        if not isinstance(name, str) or not (name == "#" or name.startswith("#/")):
            raise error(path, f"the reference {shown(name)}",
                        "use references within the schema, such as '#/$defs/name'")  # fmt: skip
        found: Any = self._root
        for part in name.split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isascii() and key.isdigit():
                found = found[int(key)] if len(key) < 9 and int(key) < len(found) else None
            else:
                found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict | bool):
            raise error(path, f"the reference {shown(name)}, which leads to no schema",
                        "define what it names")  # fmt: skip
        return found

    def _own(self, schema: Any, path: str) -> Iterator[Conditions]:
        """What the keywords of one schema say, without the schemas that it refers to."""
        if not isinstance(schema, dict):
            raise error(path, f"{shown(schema)}", "a schema is an object, true or false")
        unknown = [key for key in schema if key not in KEYWORDS | ANNOTATIONS]
        if unknown and not (unknown == ["$id"] and schema is self._root):
            raise error(path, f"the keyword {unknown[0]!r}, which is not supported and would not "
                        "hold", f"leave it out; supported are {', '.join(sorted(KEYWORDS))}",
                        )  # fmt: skip
        found = Conditions()
        if "type" in schema:
            found.types = _types(schema["type"], path)
        if "enum" in schema:
            if not isinstance(schema["enum"], list):
                raise error(path, f"enum {shown(schema['enum'])}", "give a list of values")
            found.values = schema["enum"]
        if "const" in schema:
            found.join(Conditions(values=[schema["const"]]))
        self._read_object(schema, found, path)
        self._read_array(schema, found, path)
        found.least_length = _count(schema, "minLength", path) or 0
        found.most_length = _count(schema, "maxLength", path)
        found.patterns = [_text(schema, "pattern", path)] if "pattern" in schema else []
        found.formats = [_text(schema, "format", path)] if "format" in schema else []
        found.minimum = _number(schema, "minimum", path)
        found.maximum = _number(schema, "maximum", path)
        found.above = _number(schema, "exclusiveMinimum", path)
        found.below = _number(schema, "exclusiveMaximum", path)
        for key in ("anyOf", "oneOf", "allOf"):
            if key in schema and (not isinstance(schema[key], list) or not schema[key]):
                raise error(path, f"{key} {shown(schema[key])}", "give a list of schemas")
            if key in schema and key != "allOf":
                found.choices.append((key, schema[key]))
        yield found

    def _read_object(self, schema: dict[str, Any], found: Conditions, path: str) -> None:
        found.properties = schema.get("properties", {})
        if not isinstance(found.properties, dict):
            raise error(path, f"properties {shown(found.properties)}", "give an object of schemas")
        required = schema.get("required", [])
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise error(path, f"required {shown(required)}", "give a list of names")
        found.required = list(dict.fromkeys(required))
        found.additional = schema.get("additionalProperties", True)

    def _read_array(self, schema: dict[str, Any], found: Conditions, path: str) -> None:
        if isinstance(schema.get("items"), list):
            raise error(path, "a list as items", "name it prefixItems")
        found.items = schema.get("items", True)
        found.prefix = schema.get("prefixItems", [])
        if not isinstance(found.prefix, list):
            raise error(path, f"prefixItems {shown(found.prefix)}", "give a list of schemas")
        found.least_items = _count(schema, "minItems", path) or 0
        found.most_items = _count(schema, "maxItems", path)


def both(left: Schema, right: Schema) -> Schema:
    """The schema that says both.

    Parts that both say are written once. So schemas that lead back to themselves through allOf have
    a finite number of combinations.
    """
    if left is True or right is True:
        return right if left is True else left
    if left is False or right is False:
        return False
    parts: dict[str, Schema] = {}
    for schema in (left, right):
        several = schema.get("allOf") if schema.keys() == {"allOf"} else None
        for part in several if isinstance(several, list) else [schema]:
            parts.setdefault(json.dumps(part), part)
    return {"allOf": list(parts.values())} if len(parts) > 1 else left


def joined_types(left: Set[str], right: Set[str]) -> frozenset[str]:
    """The types that are allowed by both. Every integer is a number."""
    found = frozenset(left & right)
    for some, others in ((left, right), (right, left)):
        if "integer" in some and "number" in others and "number" not in found:
            found |= {"integer"}
    return found


def has_type(value: Any, types: Set[str]) -> bool:
    """Whether a JSON value has one of the types."""
    name = type_of(value)
    return name in types or (name == "integer" and "number" in types)


def type_of(value: Any) -> str:
    """The narrowest type of a JSON value; 1.0 is an integer."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "integer" if value == floor(value) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def json_key(value: Any) -> str:
    """A text that is the same for equal values in JSON, where ``true`` is not 1, and 1.0 is 1."""
    if isinstance(value, list):
        return f"[{','.join(map(json_key, value))}]"
    if isinstance(value, dict):
        return f"{{{','.join(f'{json.dumps(k)}:{json_key(value[k])}' for k in sorted(value))}}}"
    if isinstance(value, float) and value == floor(value):
        return str(int(value))
    return json.dumps(value)


def least(left: Any, right: Any) -> Any:
    """The smaller of two limits, of which None is no limit."""
    return min((x for x in (left, right) if x is not None), default=None)


def greatest(left: Any, right: Any) -> Any:
    """The greater of two limits, of which None is no limit."""
    return max((x for x in (left, right) if x is not None), default=None)


def error(path: str, got: str, advice: str) -> GroundupError:
    """For a schema that cannot be used: where, what was got, what to do."""
    return GroundupError(f"the schema has {got}, at {path}; {advice}")


def shown(value: Any) -> str:
    """A value in a message, shortened."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _types(given: Any, path: str) -> frozenset[str]:
    names = given if isinstance(given, list) else [given]
    if not names or not all(isinstance(name, str) and name in TYPES for name in names):
        raise error(path, f"the type {shown(given)}", f"choose from {', '.join(TYPES)}")
    found = frozenset(names)
    return found - {"integer"} if "number" in found else found


def _count(schema: dict[str, Any], key: str, path: str) -> int | None:
    if key not in schema:
        return None
    value = schema[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value % 1:
        raise error(path, f"{key} {shown(value)}", "give a whole number from 0")
    return int(value)


def _number(schema: dict[str, Any], key: str, path: str) -> int | float | None:
    if key not in schema:
        return None
    value = schema[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise error(path, f"{key} {shown(value)}", "give a number")
    if abs(value) >= 10**30:
        raise error(path, f"{key} {shown(value)}", "keep bounds below 1e30")
    return value


def _text(schema: dict[str, Any], key: str, path: str) -> str:
    if not isinstance(schema[key], str):
        raise error(path, f"{key} {shown(schema[key])}", "give a text")
    return str(schema[key])
