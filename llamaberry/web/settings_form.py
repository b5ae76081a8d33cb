"""The settings panel: one control for each field of Context, generated from its schema, and the way back."""

import json
import math
from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError
from pydantic_core import from_json

from llamaberry.graph.context import Context
from llamaberry.graph.errors import SetupError, describe_validation_error

Kind = Literal["choice", "switch", "slider", "number", "text", "lines", "json"]
_FIRST = ("model", "max_turns", "verify", "review")
"""The settings that are always visible, in this order."""
_MAX_SLIDER = 10
_TITLES = {name: str(field.title) for name, field in Context.model_fields.items()}


class Control(NamedTuple):
    """A control of the panel. `field` is the setting's name, `key` the key in it if the setting is a dict."""

    field: str
    key: str | None
    kind: Kind
    title: str
    info: str
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    integer: bool = False
    choices: Sequence[str] = ()
    is_first: bool = False


def controls(settings: Mapping[str, Any] | None = None) -> list[Control]:
    """Return the controls, those that are always visible first; `settings` replace the fields' defaults."""
    fields = Context.model_json_schema()["properties"]
    names = [*_FIRST, *(name for name in fields if name not in _FIRST)]
    panel: list[Control] = []
    for name in names:
        schema, value = fields[name], (settings or {}).get(name, fields[name]["default"])
        if "properties" in schema:
            for key, part in schema["properties"].items():
                info = f"In place of the built-in one, for the step {key}."
                panel.append(Control(name, key, "lines", part["title"], info, (value or {}).get(key)))
        else:
            panel.append(_control(name, schema, value))
    return panel


def _control(name: str, schema: Mapping[str, Any], value: Any) -> Control:
    types = [part for part in schema.get("anyOf", [schema]) if part["type"] != "null"]
    part = {**schema, **types[0]}
    minimum = part.get("minimum", part.get("exclusiveMinimum"))
    control = Control(
        name,
        None,
        "text",
        schema["title"],
        _info(schema["description"], part, is_bounded="exclusiveMinimum" in part or minimum is not None),
        value,
        minimum,
        part.get("maximum"),
        integer=part["type"] == "integer",
        choices=part.get("enum", ()),
        is_first=name in _FIRST,
    )
    return control._replace(kind=_kind(control, part))


def _kind(control: Control, part: Mapping[str, Any]) -> Kind:
    if control.choices:
        return "choice"
    if part["type"] == "boolean":
        return "switch"
    if part["type"] in ("integer", "number"):
        return "slider" if control.maximum is not None and control.maximum <= _MAX_SLIDER else "number"
    if part["type"] == "object":
        return "json"
    return "lines" if part.get("langgraph_type") == "prompt" else "text"


def _info(description: str, part: Mapping[str, Any], *, is_bounded: bool) -> str:
    if not is_bounded:
        return description
    low = f"more than {part['exclusiveMinimum']}" if "exclusiveMinimum" in part else f"at least {part['minimum']:,}"
    high = f", at most {part['maximum']:,}" if "maximum" in part else ""
    return f"{description} [{low}{high}]"


def read_settings(values: Sequence[Any]) -> Context:
    """Return the settings that the controls, in the order of `controls()`, have these values for.

    Raises:
        SetupError: one is out of its bounds, or is not JSON; the message starts with its title.
    """
    settings: dict[str, Any] = {}
    for control, value in zip(controls(), values, strict=True):
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        if control.kind == "json" and isinstance(value, str):
            value = _read_json(control, value)
        elif control.kind == "number" and isinstance(value, str):
            value = _read_number(control, value)
        if control.integer and isinstance(value, float) and value.is_integer():
            value = int(value)  # a page has only one kind of number
        if control.key:
            settings.setdefault(control.field, {})[control.key] = value
        elif value != control.default:
            settings[control.field] = value
    try:
        return Context.model_validate(settings)
    except ValidationError as error:
        raise SetupError(describe_validation_error(error, _TITLES)) from None


def _read_json(control: Control, text: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise SetupError(f"{control.title}: it is not JSON ({error})") from None


def _read_number(control: Control, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SetupError(f"{control.title} {shorten(text.strip(), 80)}: it is not a number such as 5 or 0.5")
    return number


def shown_value(control: Control) -> Any:
    """Return the value that a control shows at first: a number as text, which is empty if there is none."""
    if control.kind == "number":
        return "" if control.default is None else f"{control.default:.15g}"
    if control.kind == "json" and control.default is not None:
        return json.dumps(control.default, ensure_ascii=False, indent=2)
    return control.default
