"""The tools that a request offers, and which of them the model may or must call."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from groundup.engine.request import Constraint
from groundup.serving.api_error import ApiError

__all__ = [
    "ChosenTool",
    "FunctionName",
    "Tool",
    "ToolChoice",
    "ToolChoiceMode",
    "ToolFunction",
    "check_tools",
    "tool_constraint",
]

Name = Annotated[str, Meta(pattern="^[a-zA-Z0-9_-]{1,64}$")]
ToolChoiceMode = Literal["none", "auto", "required"]


class ToolFunction(Struct, forbid_unknown_fields=True):
    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = None  # a JSON schema
    strict: bool | None = None


class Tool(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: ToolFunction


class FunctionName(Struct, forbid_unknown_fields=True):
    name: Name


class ChosenTool(Struct, forbid_unknown_fields=True):
    type: Literal["function"]
    function: FunctionName


class ToolChoice(Struct):
    """What a request allows: a mode, or one tool by its name."""

    mode: ToolChoiceMode
    name: str | None = None


def check_tools(tools: list[ToolFunction], choice: ToolChoice, given: bool) -> None:
    """Raises: ApiError (400) for a name that stands twice, or a choice that cannot be made.

    ``given``: whether the request made a choice itself.
    """
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise ApiError(400, f"two tools are named {name!r}: name each once", param="tools")
    if given and not tools and choice.mode != "none":
        raise ApiError(
            400, "tool_choice without tools: give tools, or leave it out", param="tool_choice"
        )
    if choice.name is not None and choice.name not in names:
        raise ApiError(
            400,
            f"tool_choice names {choice.name!r}, expected one of {names}",
            param="tool_choice",
        )


def tool_constraint(tools: list[ToolFunction], choice: ToolChoice, parallel: bool) -> Constraint:
    """The form of an answer that must be a call.

    For a named tool it is the arguments alone; for any tool, an array of calls, each an object of
    a name and its arguments.
    """
    if choice.name is not None:
        [parameters] = [tool.parameters for tool in tools if tool.name == choice.name]
        schema = parameters or {"type": "object"}
    else:
        definitions: dict[str, Any] = {}
        calls = []
        for i, tool in enumerate(tools):
            arguments = _hoisted(tool.parameters or {"type": "object"}, f"tool{i}_", definitions)
            calls.append(
                {
                    "type": "object",
                    "properties": {"name": {"const": tool.name}, "arguments": arguments},
                    "required": ["name", "arguments"],
                    "additionalProperties": False,
                }
            )
        schema = {
            "type": "array",
            "minItems": 1,
            "items": calls[0] if len(calls) == 1 else {"anyOf": calls},
        }
        if not parallel:
            schema["maxItems"] = 1
        if definitions:
            schema["$defs"] = definitions
    return Constraint("json_schema", msgspec.json.encode(schema).decode())


def _hoisted(schema: dict[str, Any], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """A schema as a part of a larger one: its definitions move there, and its references follow."""

    def renamed(value: Any) -> Any:
        if isinstance(value, list):
            return [renamed(item) for item in value]
        if not isinstance(value, dict):
            return value
        result = {key: renamed(item) for key, item in value.items()}
        reference = value.get("$ref")
        for place in ("#/$defs/", "#/definitions/"):
            if isinstance(reference, str) and reference.startswith(place):
                result["$ref"] = f"#/$defs/{prefix}{reference.removeprefix(place)}"
        return result

    rest = dict(schema)
    for place in ("$defs", "definitions"):
        found = rest.get(place)
        if isinstance(found, dict):
            del rest[place]
            definitions |= {f"{prefix}{name}": renamed(part) for name, part in found.items()}
    hoisted: dict[str, Any] = renamed(rest)
    return hoisted
