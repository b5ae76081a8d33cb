"""The schema of a structured answer: what is one, and which replies fit it."""

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from llamaberry import Context
from llamaberry.graph.answer_schema import MAX_EXPANDED_PARTS, expanded_parts, read_structured

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
RECURSIVE = {"$defs": {"node": {"properties": {"next": {"$ref": "#/$defs/node"}}}}, "$ref": "#/$defs/node"}


class City(BaseModel):
    name: str


class Place(TypedDict):
    name: str


@pytest.mark.parametrize("kind", [SCHEMA, City, Place, list[str], City | Place, Literal["a", "b"], Decimal])
def test_a_schema_or_a_type_becomes_plain_json(kind: Any) -> None:
    context = Context(answer_schema=kind)
    assert isinstance(context.answer_schema, dict)
    assert Context.model_validate_json(context.model_dump_json()) == context
    assert hash(context) != hash(Context())


def test_a_schema_is_copied() -> None:
    schema: dict[str, Any] = {"type": "object"}
    context = Context(answer_schema=schema)
    schema["type"] = "string"
    assert context.answer_schema == {"type": "object"}


def test_an_empty_schema_is_none() -> None:
    assert Context(answer_schema={}).answer_schema is None


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "objekt"}, r"no valid JSON schema: type: .*objekt"),
        ({"$ref": "https://example.org/x"}, r"refers to https://example.org/x: write its parts into \$defs"),
        ({"$ref": "#/$defs/x"}, "Pointer .* does not exist"),
        ({"pattern": "("}, "regex"),
        ({"enum": ["x" * 20_000]}, r"20,0\d\d characters: the limit is 20,000"),
        ({"default": float("nan")}, "not JSON"),
        ({"default": object}, "not JSON"),
        ("string", "pydantic class or a TypedDict"),
        (["x"], "pydantic class or a TypedDict"),
        (print, r"no JSON schema can be made of it \("),
    ],
)
def test_what_is_no_schema_is_refused(schema: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Context(answer_schema=schema)


@pytest.mark.parametrize(
    "reply",
    [
        '{"name": "Rome"}',
        ' \n{"name": "Rome"}\n',
        '```json\n{"name": "Rome"}\n```',
        'Here it is:\n\n```json\n{\n  "name": "Rome"\n}\n```\nDone {really}.',
        'It is {"name": "Rome"}.',
        '<think>{"name": "?"}</think>{"name": "Rome"}',
    ],
)
def test_json_is_read_alone_in_code_and_in_prose(reply: str) -> None:
    assert read_structured(reply, SCHEMA) == ({"name": "Rome"}, None)


def test_a_scalar_may_be_in_a_block_of_code() -> None:
    assert read_structured('```json\n"red"\n```', {"enum": ["red"]}) == ("red", None)


@pytest.mark.parametrize(
    ("reply", "misfit"),
    [
        ("{}", '"name" is a required property'),
        ('{"name": 1}', 'name: 1 is not of type "string"'),
        ("Rome", "the reply has no JSON"),
        ('{"name": ', "the reply is not JSON"),
        ('{"name": NaN}', "the reply is not JSON"),
        ("[" * 100_000, "the reply is not JSON"),
    ],
)
def test_what_does_not_fit_says_why(reply: str, misfit: str) -> None:
    assert str(read_structured(reply, SCHEMA).misfit).startswith(misfit)


@pytest.mark.parametrize(
    ("kind", "fits", "misfit"),
    [
        (date, "2026-11-30", "30 November"),
        (datetime, "2026-11-30T12:00:00", "noon"),
        (datetime, "2026-11-30T12:00:00Z", "12:00"),
        (time, "12:30", "noon"),
        (UUID, "00000000-0000-0000-0000-000000000000", "0"),
        (AnyUrl, "https://example.org/x", "example"),
    ],
)
def test_json_that_fits_can_be_read_by_the_type(kind: Any, fits: str, misfit: str) -> None:
    schema = Context(answer_schema=kind).answer_schema
    assert read_structured(f'"{fits}"', schema).misfit is None
    TypeAdapter(kind).validate_python(fits)
    assert "is not a" in str(read_structured(f'"{misfit}"', schema).misfit)


def test_a_pattern_takes_no_exponential_time() -> None:
    schema = {"type": "string", "pattern": "^(?!x)(a+)+$"}
    assert read_structured('"' + "a" * 5_000 + '!"', schema).misfit


def test_references_count_as_what_they_refer_to() -> None:
    doubled: dict[str, Any] = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    assert expanded_parts(SCHEMA) < 10
    assert expanded_parts({"$defs": doubled | {"d40": {}}, "$ref": "#/$defs/d0"}) > MAX_EXPANDED_PARTS
    assert expanded_parts(RECURSIVE) == expanded_parts({"$ref": "#"}) == float("inf")
