"""The schema of a structured answer: what a caller passes becomes a JSON schema, and a reply is compared with it."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, time
from textwrap import shorten
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import PlainValidator, TypeAdapter, WithJsonSchema
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import from_json

from llamaberry.graph.markdown import lines
from llamaberry.graph.thoughts import without_thoughts

if TYPE_CHECKING:
    from jsonschema_rs import Validator

JsonSchema = dict[str, Any]

MAX_SCHEMA_CHARS = 20_000
"""The longest JSON schema."""
MAX_EXPANDED_PARTS = 20_000
"""The most parts of a schema of a server's caller, each reference counted as what it refers to: comparing a value with
more could stop all requests."""

_MAX_MISFITS, _MAX_MISFIT_CHARS = 5, 300
_MAX_BACKTRACKS = 100_000
_WANTED = "give a JSON schema (an object), or in code a pydantic class or a TypedDict"


class StructuredReply(NamedTuple):
    """The value in a reply, and why it does not fit the schema; None if it fits."""

    value: Any
    misfit: str | None


def to_json_schema(value: Any) -> JsonSchema | None:
    """Return the JSON schema of a structured answer: a schema as it is, or that of a type; None for none.

    Raises:
        ValueError: it is no JSON schema and no type, too long, or refers to something outside of itself.
    """
    if value is None or value == {}:  # Studio's form sends {} for an empty field
        return None
    if isinstance(value, str | int | float | list):
        raise ValueError(f"it is no JSON schema: {_WANTED}")
    if not isinstance(value, dict):
        try:
            value = TypeAdapter(value).json_schema()
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            cause = shorten(str(error).splitlines()[0], 200)
            raise ValueError(f"no JSON schema can be made of it ({cause}): {_WANTED}") from error
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the schema is not JSON ({error}): {_WANTED}") from None
    if len(text) > MAX_SCHEMA_CHARS:
        raise ValueError(f"the schema has {len(text):,} characters: the limit is {MAX_SCHEMA_CHARS:,}")
    schema: JsonSchema = json.loads(text)
    _validator(schema)
    return schema


SchemaOrType = JsonSchema | type[Any] | UnionType
"""What a caller may pass as a schema."""

AnswerSchema = Annotated[
    SchemaOrType | None,
    PlainValidator(to_json_schema),
    WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "null"}]}),
]
"""A field that takes a JSON schema or a type, and always holds a JSON schema."""


def read_structured(reply: str, schema: JsonSchema) -> StructuredReply:
    """Return the JSON value in a reply, alone or in a block of code, and why it does not fit the schema."""
    text = without_thoughts(reply)
    cause = "the reply has no JSON"
    for candidate in _candidates(text):
        try:
            value = from_json(candidate, allow_inf_nan=False)
        except ValueError as error:
            cause = f"the reply is not JSON ({error})" if text[:1] in "{[" else cause
        else:
            return StructuredReply(value, _misfit(value, schema))
    return StructuredReply(None, cause)


def _candidates(text: str) -> Iterator[str]:
    """Yield what may be the JSON in a reply: all of it, a block of code, and what stands in brackets."""
    yield text
    block = [line for line, fenced in lines(text) if fenced]
    yield "\n".join(block[1:-1])
    start = min((place for bracket in "{[" if (place := text.find(bracket)) >= 0), default=0)
    yield text[start : max(text.rfind("}"), text.rfind("]")) + 1]


def _misfit(value: Any, schema: JsonSchema) -> str | None:
    misfits = []
    for error in _validator(schema).iter_errors(value):
        place = ".".join(map(str, error.instance_path))
        misfits.append(shorten(f"{place}: {error.message}" if place else error.message, _MAX_MISFIT_CHARS))
        if len(misfits) == _MAX_MISFITS:
            break
    return "; ".join(misfits) or None


def _validator(schema: JsonSchema) -> "Validator":
    """Return the schema's validator. Raises ValueError if it is no valid schema."""
    # Imported here: a run without a schema does not need it.
    from jsonschema_rs import FancyRegexOptions, ValidationError, validator_for

    # Patterns of a caller must not take forever, and a schema must not make this machine load addresses.
    patterns = FancyRegexOptions(backtrack_limit=_MAX_BACKTRACKS)
    # Pydantic reads times without a zone, which the standard's formats have to have.
    formats = {"date-time": _is_datetime, "time": _is_time}
    try:
        return validator_for(
            schema, pattern_options=patterns, retriever=_refuse, validate_formats=True, formats=formats
        )
    except (ValidationError, ValueError) as error:
        message = getattr(error, "message", str(error))
        place = ".".join(map(str, getattr(error, "instance_path", ())))
        raise ValueError(
            f"it is no valid JSON schema: {f'{place}: ' if place else ''}{shorten(message, 300)}"
        ) from None


def _is_datetime(text: str) -> bool:
    with suppress(ValueError):
        return datetime.fromisoformat(text) is not None
    return False


def _is_time(text: str) -> bool:
    with suppress(ValueError):
        return time.fromisoformat(text) is not None
    return False


def _refuse(uri: str) -> Any:
    raise ValueError(f"the schema refers to {uri}: write its parts into $defs")


def expanded_parts(schema: JsonSchema) -> float:
    """Return how many parts a schema has if each reference counts as what it refers to; infinity for a recursion."""
    sizes: dict[str, float] = {}

    def size(part: Any) -> float:
        if isinstance(part, list):
            return 1 + sum(map(size, part))
        if not isinstance(part, dict):
            return 1
        references = [part[key] for key in ("$ref", "$dynamicRef", "$recursiveRef") if isinstance(part.get(key), str)]
        return 1 + sum(map(size, part.values())) + sum(map(size_of_reference, references))

    def size_of_reference(reference: str) -> float:
        if reference not in sizes:
            sizes[reference] = float("inf")  # until it is known: a reference that leads to itself stays so
            sizes[reference] = size(_target(reference, schema))
        return sizes[reference]

    return size({key: part for key, part in schema.items() if key not in ("$defs", "definitions")})


def _target(reference: str, schema: JsonSchema) -> Any:
    """Return the part of a schema that a reference such as "#/$defs/City" names; a recursion if it names no such."""
    part: Any = schema
    for name in reference.removeprefix("#").split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if not isinstance(part, dict) or name not in part:
            return {"$ref": reference}
        part = part[name]
    return part if reference.startswith("#") else {"$ref": reference}
