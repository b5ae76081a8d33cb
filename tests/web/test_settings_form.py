"""The settings panel: a control for each field of Context, and the way back."""

from typing import Any

import pytest

from llamaberry import Context, SetupError
from llamaberry.web.settings_form import Control, controls, read_settings, shown_value

PANEL = controls()
BY_NAME = {(control.field, control.key): control for control in PANEL}


def read(*, key: str | None = None, **setting: Any) -> Context:
    """The settings of a panel in which one control has another value."""
    ((field, value),) = setting.items()
    return read_settings(
        [value if (control.field, control.key) == (field, key) else shown_value(control) for control in PANEL]
    )


def test_every_setting_has_a_control() -> None:
    assert {control.field for control in PANEL} == set(Context.model_fields)
    for control in PANEL:
        assert control.title
        assert control.info


def test_the_panel_as_it_is_shown_has_the_defaults() -> None:
    assert read_settings([shown_value(control) for control in PANEL]) == Context()


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (BY_NAME["max_turns", None], ("slider", 1, 10, True)),
        (BY_NAME["max_tokens", None], ("number", 64, 65_536, True)),
        (BY_NAME["deadline_s", None], ("number", 0, None, False)),
        (BY_NAME["early_stop", None], ("switch", None, None, False)),
        (BY_NAME["system_prompt", None], ("lines", None, None, False)),
        (BY_NAME["instructions", "verify"], ("lines", None, None, False)),
        (BY_NAME["answer_schema", None], ("json", None, None, False)),
    ],
    ids=lambda value: value.field if isinstance(value, Control) else "",
)
def test_a_control_fits_its_field(control: Control, expected: tuple[Any, ...]) -> None:
    assert (control.kind, control.minimum, control.maximum, control.integer) == expected


def test_the_choices_are_those_of_the_field() -> None:
    assert BY_NAME["review", None].choices == ["none", "each_turn", "before_synthesis"]


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"max_turns": 5.0}, Context(max_turns=5)),
        ({"refine_model": " "}, Context()),
        ({"temperature": None}, Context()),
        ({"token_budget": ""}, Context()),
        ({"token_budget": " 5 "}, Context(token_budget=5)),
        ({"token_budget": "1e9"}, Context(token_budget=1_000_000_000)),
        ({"max_cost_usd": "0.25"}, Context(max_cost_usd=0.25)),
        ({"max_tokens": ""}, Context()),
        ({"instructions": "Be brief.", "key": "verify"}, Context(instructions={"verify": "Be brief."})),
        ({"answer_schema": '{"type": "integer"}'}, Context(answer_schema={"type": "integer"})),
    ],
)
def test_a_value_becomes_its_setting(setting: dict[str, Any], expected: Context) -> None:
    assert read(**setting) == expected


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": 3}, "Temperature 3: it should be less than or equal to 2"),
        ({"answer_schema": "{"}, "Schema of the answer: it is not JSON"),
        ({"max_turns": 2.5}, "Turns 2.5"),
        ({"token_budget": "abc"}, "Token budget abc: it is not a number"),
        ({"token_budget": "-1"}, "Token budget -1: it should be greater than or equal to 1"),
        ({"token_budget": "2.5"}, "Token budget 2.5"),
        ({"deadline_s": "nan"}, "Deadline nan: it is not a number"),
    ],
)
def test_a_wrong_value_is_named_by_its_title(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(SetupError, match=f"^{message}"):
        read(**setting)


def test_the_settings_of_the_command_are_shown_at_first() -> None:
    panel = controls(
        {
            "max_turns": 5,
            "deadline_s": 2.5,
            "instructions": {"verify": "Be brief."},
            "answer_schema": {"type": "integer"},
        }
    )
    context = read_settings([shown_value(control) for control in panel])
    assert (context.max_turns, context.deadline_s) == (5, 2.5)
    assert context.instructions == {"verify": "Be brief."}
    assert context.answer_schema == {"type": "integer"}
