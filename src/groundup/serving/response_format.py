"""The form that an answer's text must have, as requests ask for it."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from groundup.engine.request import Constraint

__all__ = [
    "JsonObjectFormat",
    "JsonSchema",
    "JsonSchemaFormat",
    "ResponseFormat",
    "TextFormat",
    "constraint_of",
]


class TextFormat(Struct, tag_field="type", tag="text", forbid_unknown_fields=True):
    """Any text."""


class JsonObjectFormat(Struct, tag_field="type", tag="json_object", forbid_unknown_fields=True):
    """Any JSON object."""


class JsonSchema(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None  # answers keep to the schema in any case


class JsonSchemaFormat(Struct, tag_field="type", tag="json_schema", forbid_unknown_fields=True):
    """JSON that a schema allows."""

    json_schema: JsonSchema


ResponseFormat = TextFormat | JsonObjectFormat | JsonSchemaFormat


def constraint_of(form: ResponseFormat | None) -> Constraint | None:
    """What the engine is to keep to; None for any text."""
    if isinstance(form, JsonSchemaFormat):
        schema = msgspec.json.encode(form.json_schema.schema).decode()
        return Constraint("json_schema", schema)
    if isinstance(form, JsonObjectFormat):
        return Constraint("json_object")
    return None
