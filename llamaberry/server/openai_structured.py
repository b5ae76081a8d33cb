"""Structured answers in requests of OpenAI's APIs: a response format, or a single tool that the model has to call."""

from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationInfo, field_validator

from llamaberry.graph.answer_schema import JsonSchema, to_json_schema

ANY_OBJECT: JsonSchema = {"type": "object"}
"""The schema of `json_object`, and of a tool without parameters."""


class ForcedTool(NamedTuple):
    """A tool that has to be called: its arguments are the structured answer."""

    name: str
    parameters: JsonSchema


def format_schema(value: Any) -> JsonSchema | None:
    """Return the schema of a `response_format`, or of a response's `text.format`; None for a text.

    Raises:
        ValueError: it is another format, or has no valid schema.
    """
    kind = _kind(value)
    if kind in (None, "text"):
        return None
    if kind == "json_object":
        return ANY_OBJECT
    if kind != "json_schema":
        raise ValueError(f"{kind!r} is not supported: use text, json_schema or json_object")
    details = value.get("json_schema", value)  # the Responses API does not nest it
    schema = details.get("schema") if isinstance(details, dict) else None
    if not isinstance(schema, dict):
        raise ValueError("it has no schema: give a JSON schema (an object)")
    return to_json_schema(schema) or ANY_OBJECT


def forced_tool(choice: Any, tools: Any) -> ForcedTool | None:
    """Return the tool that a `tool_choice` demands; None if it demands none.

    Raises:
        ValueError: it demands a call, but not of one tool, or the tool's parameters are no valid schema.
    """
    kind = _kind(choice)
    if kind in (None, "none", "auto"):
        return None
    if kind not in ("required", "function"):
        raise ValueError(f"{kind!r} is not supported: leave it out")
    functions = [_function(tool) for tool in tools or [] if _kind(tool) == "function"]
    if kind == "function":
        name = _function(choice).get("name")
        functions = [function for function in functions if function.get("name") == name]
        if not functions:
            raise ValueError(f"there is no tool {str(name)[:100]!r} in tools: name one that is, or leave it out")
    if len(functions) != 1 or not isinstance(functions[0].get("name"), str):
        raise ValueError(
            f"{kind!r} with {len(functions)} tools to choose from: the server calls no tools, and writes the arguments "
            "of a single one as the answer; name one, or leave it out"
        )
    (function,) = functions
    return ForcedTool(function["name"], to_json_schema(function.get("parameters")) or ANY_OBJECT)


def _kind(value: Any) -> Any:
    return value.get("type") if isinstance(value, dict) else value


def _function(tool: Any) -> dict[str, Any]:
    """Return the definition of a function, which the Responses API does not nest."""
    function = tool.get("function", tool)
    return function if isinstance(function, dict) else {}


class RequestWithTools(BaseModel):
    """The fields of both APIs that may force the answer into the form of a tool's arguments."""

    tools: Any = None  # before tool_choice, whose validation reads it
    tool_choice: Any = None

    @field_validator("tool_choice")
    @classmethod
    def _check_tool_choice(cls, value: Any, info: ValidationInfo) -> Any:
        forced_tool(value, info.data.get("tools"))
        return value

    @property
    def tool(self) -> ForcedTool | None:
        """The tool that has to be called."""
        return forced_tool(self.tool_choice, self.tools)
