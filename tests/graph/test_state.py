"""The state's reducer of turns, the input's validation, and the settings of a run."""

import copy
import dataclasses
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from pydantic import ValidationError

from llamaberry.graph.context import Context, resolve_context
from llamaberry.graph.state import MAX_QUERY_CHARS, Input
from llamaberry.graph.turn import Turn, keep_turns

PROPERTY = settings(deadline=None, derandomize=True, max_examples=300)


def turn(index: int, text: str = "t", answer: str | None = "4") -> Turn:
    text = f"{text}\n\n## Answer\n{answer}" if answer else text
    return Turn(
        index=index, kind="first" if index == 1 else "refine", text=text, steps=[], verdict=None, answer=answer,
        model="groq:m", usage=None, seconds=1, finish_reason="stop",
    )  # fmt: skip


TEXTS = st.text("ab", min_size=1, max_size=3)
TURNS: Any = st.lists(st.builds(turn, st.integers(1, 5), TEXTS, st.none() | st.sampled_from("45")), max_size=6)


@PROPERTY
@given(TURNS, TURNS)
def test_there_is_one_turn_per_index_in_order(turns: list[Turn], update: list[Turn]) -> None:
    result = keep_turns(keep_turns([], turns), update)
    indexes = [one["index"] for one in result]
    assert indexes == sorted(set(indexes))
    texts = {one["index"]: one["text"] for one in result}
    assert all(texts[newest["index"]] == newest["text"] for newest in update[-1:])


@PROPERTY
@given(TURNS, TURNS)
def test_reducing_does_not_modify_its_arguments(turns: list[Turn], update: list[Turn]) -> None:
    before = copy.deepcopy((turns, update))
    keep_turns(turns, update)
    assert (turns, update) == before


def test_an_edit_of_a_missing_turn_is_an_error() -> None:
    edit: Any = {"index": 9, "answer": "4"}
    with pytest.raises(ValueError, match="no turn 9 to edit"):
        keep_turns([turn(1)], [edit])


def test_an_edit_without_an_index_is_an_error() -> None:
    edit: Any = {"answer": "4"}
    with pytest.raises(ValueError, match="needs its index, but has only answer"):
        keep_turns([turn(1)], [edit])


@PROPERTY
@given(TURNS, TEXTS)
def test_a_first_turn_starts_the_turns_over(turns: list[Turn], text: str) -> None:
    new, second = ({**turn(index, text), "seconds": 2} for index in (1, 2))  # unlike those in `turns`
    assert keep_turns(turns, [new]) == [new]
    assert keep_turns(turns, [turn(3), new, second]) == [new, second]


@PROPERTY
@given(st.integers(1, 6), st.data())
def test_an_edit_changes_only_its_fields_of_its_turn(count: int, data: st.DataObject) -> None:
    turns = [turn(index) for index in range(1, count + 1)]
    index = data.draw(st.integers(1, count))
    edit: Any = data.draw(st.dictionaries(st.sampled_from(["hint", "model"]), st.text())) | {"index": index}
    result = keep_turns(turns, [edit])
    assert result[index - 1] == {**turns[index - 1], **edit}
    assert result[: index - 1] + result[index:] == turns[: index - 1] + turns[index:]


EDITED_TEXT = "## Verdict\nrevise\n\n## Reasoning\n1. b\n\n## Answer\n5"


@pytest.mark.parametrize("whole", [True, False], ids=["whole turn", "the text alone"])
def test_an_edited_text_is_parsed_again(whole: bool) -> None:
    edit: Any = ({**turn(2)} if whole else {"index": 2}) | {"text": EDITED_TEXT}
    result = keep_turns([turn(1), turn(2)], [edit])[1]
    assert (result["text"], result["verdict"], result["answer"]) == (EDITED_TEXT, "revise", "5")
    assert [step["statement"] for step in result["steps"]] == ["b"]


@pytest.mark.parametrize("whole", [True, False], ids=["whole turn", "the answer alone"])
def test_an_edited_answer_is_added_to_the_text(whole: bool) -> None:
    edit: Any = ({**turn(2)} if whole else {"index": 2}) | {"answer": "41"}
    result = keep_turns([turn(1), turn(2)], [edit])[1]
    assert (result["text"], result["answer"]) == ("t\n\n## Answer\n4\n\n## Answer\n41", "41")


def test_an_edited_answer_replaces_that_of_an_edited_text() -> None:
    edit: Any = {"index": 2, "text": EDITED_TEXT, "answer": "6"}
    assert keep_turns([turn(1), turn(2)], [edit])[1]["answer"] == "6"


def test_an_edited_text_without_an_answer_removes_it() -> None:
    assert keep_turns([turn(1)], [cast("Turn", {"index": 1, "text": "Prose."})])[0]["answer"] is None


def test_an_answer_edited_by_an_older_version_stays() -> None:
    old = turn(1) | {"answer": "41"}
    assert keep_turns([cast("Turn", old)], [cast("Turn", {"index": 1, "hint": "x"})])[0]["answer"] == "41"


def test_turns_with_one_text_have_steps_of_their_own() -> None:
    text = "## Reasoning\n1. Six times seven.\n\n## Answer\n42"
    (one,), (other,) = (keep_turns([], [turn(1, text, None)]) for _ in range(2))
    one["steps"][0]["statement"] = "changed"
    assert other["steps"][0]["statement"] == "Six times seven."


def test_a_new_turn_is_parsed() -> None:
    raw = turn(1, EDITED_TEXT, None)
    assert [step["statement"] for step in keep_turns([], [raw])[0]["steps"]] == ["b"]


def test_steps_and_verdict_cannot_be_edited() -> None:
    edit: Any = {"index": 1, "steps": [{"statement": "x", "explanation": ""}], "verdict": "keep"}
    assert keep_turns([turn(1)], [edit]) == [turn(1)]


@PROPERTY
@given(TURNS, TURNS)
def test_reducing_again_changes_nothing(turns: list[Turn], update: list[Turn]) -> None:
    result = keep_turns(keep_turns([], turns), update)
    assert keep_turns([], result) == result
    assert keep_turns(result, result) == result


def test_a_refine_turn_replaces_the_one_with_its_index() -> None:
    turns = [turn(1), turn(2), turn(3)]
    assert keep_turns(turns, [turn(2, "edit", None)]) == [turn(1), turn(2, "edit", None), turn(3)]
    assert keep_turns(turns, [turn(1), turn(2, "edit", "5"), turn(3)]) == [turn(1), turn(2, "edit", "5"), turn(3)]
    assert keep_turns(turns, [turn(4)]) == [*turns, turn(4)]
    assert keep_turns([], []) == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "nothing was asked"),
        ({"messages": []}, "nothing was asked"),
        ({"query": None}, "nothing was asked"),
        ({"query": ""}, "question is blank"),
        ({"query": " \n\t"}, "question is blank"),
        ({"messages": [AIMessage("Hello")]}, "no human message"),
        ({"messages": [SystemMessage("Be kind"), AIMessage("Hello")]}, "no human message"),
        ({"messages": [HumanMessage("")]}, "question is blank"),
        ({"messages": [HumanMessage("What?"), AIMessage("That."), HumanMessage(" \n")]}, "question is blank"),
        (
            {"messages": [HumanMessage([{"type": "image_url", "image_url": {"url": "x"}}])]},
            "question is blank",
        ),
        ({"query": "x" * (MAX_QUERY_CHARS + 1)}, "200,001 characters: the limit is 200,000"),
        ({"messages": [HumanMessage("x" * (MAX_QUERY_CHARS + 1))]}, "200,001 characters: the limit is 200,000"),
        ({"query": 42}, "query\n"),
        ({"query": ["What?"]}, "query\n"),
    ],
)
def test_an_invalid_question_is_refused_with_the_reason(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        Input.model_validate(values)
    assert reason in str(error.value)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    "values",
    [
        {"query": "What?"},
        {"query": "问？", "messages": [AIMessage("Hello")]},
        {"query": "x" * MAX_QUERY_CHARS},
        {"messages": [HumanMessage("x" * MAX_QUERY_CHARS)]},
        {"messages": [HumanMessage("What?"), AIMessage("That.")]},
        {"messages": [SystemMessage("Be kind"), HumanMessage([{"type": "text", "text": "What?"}])]},
        {"messages": [{"type": "ai", "content": "Hello"}, {"type": "human", "content": "What?"}]},
        {"messages": [HumanMessage(""), HumanMessage("What?")]},
    ],
)
def test_a_question_is_valid_as_query_or_as_messages(values: dict[str, Any]) -> None:
    question = Input.model_validate(values)
    assert question.query == values.get("query")
    assert [type(message) for message in question.messages if isinstance(message, dict)] == []
    assert len(question.messages) == len(values.get("messages", []))


class Mine(Context):
    """A host's context, which adds a setting."""

    colour: str = "red"


@dataclasses.dataclass
class Parent:
    """A parent graph's context, with fields that have the names of settings."""

    model: str = "theirs"
    max_turns: int = 99
    llamaberry: Any = None


@pytest.mark.parametrize(
    ("context", "turns"),
    [(other, 3) for other in (None, {}, object(), Context(), Parent(), {"max_turns": 5, "a": 1}, {"llamaberry": None})]
    + [(own, 5) for own in (Context(max_turns=5), Mine(max_turns=5), SimpleNamespace(llamaberry=Context(max_turns=5)))]
    + [({"llamaberry": value, "model": 9}, 5) for value in (Context(max_turns=5), Mine(max_turns=5), {"max_turns": 5})]
    + [(Parent(llamaberry=value), 5) for value in (Context(max_turns=5), {"max_turns": 5})],
)  # fmt: skip
def test_a_parent_graphs_own_fields_are_no_settings(context: Any, turns: int) -> None:
    resolved = resolve_context(context)
    assert isinstance(resolved, Context)
    assert (resolved.max_turns, resolved.model) == (turns, "auto")


@pytest.mark.parametrize("value", [{"max_turns": 99}, {"max_turn": 3}, {"model": ""}, "local", 5, [Context()]])
def test_an_invalid_setting_in_a_parents_context_is_an_error(value: Any) -> None:
    for parent in ({"llamaberry": value}, Parent(llamaberry=value)):
        with pytest.raises(ValidationError, match="Context"):
            resolve_context(parent)


BOUNDS: list[tuple[str, list[Any], list[Any]]] = [
    ("model", ["auto", "local", "groq:openai/gpt-oss-120b"], ["", None, 5]),
    ("refine_model", [None, "local", "groq:x"], ["", 5]),
    ("verify_model", [None, "local", "groq:x"], ["", 5]),
    ("synthesis_model", [None, "local", "groq:x"], ["", 5]),
    ("max_turns", [1, 10], [0, 11, -1, 1.5, "many", None]),
    ("verify", ["program", "none"], ["python", "", None, True]),
    ("second_turn", ["review", "independent"], ["vote", "", None, True]),
    ("early_stop", [True, False], ["perhaps", None, 2]),
    ("temperature", [0, 0.7, 2], [-0.1, 2.1, float("nan"), None]),
    ("max_tokens", [64, 65536], [63, 65537, None]),
    ("token_budget", [None, 1, 10**9], [0, -1, 1.5]),
    ("max_cost_usd", [None, 0.001, 100], [0, -1, float("nan"), float("inf")]),
    ("deadline_s", [None, 0.001, 86400], [0, -1, float("nan")]),
    ("turn_timeout_s", [0.001, 3600], [0, -1, 3601, float("inf"), float("nan"), None]),
    ("max_tool_calls", [0, 50], [-1, 51, 1.5, None]),
    ("tool_timeout_s", [0.001, 3600], [0, -1, 3601, float("inf"), float("nan"), None]),
    ("review", ["none", "each_turn", "before_synthesis"], ["always", "", None, True]),
    ("system_prompt", ["Be kind."], ["", None]),
    ("instructions", [{}, {"first_turn": "{x}", "verify": "A"}], [None, "A"]),
    ("answer_schema", [None, {"type": "object"}], ["A", 5]),
]


@pytest.mark.parametrize(("field", "good", "bad"), BOUNDS)
def test_a_setting_out_of_its_bounds_is_an_error(field: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert getattr(Context.model_validate({field: value}), field) == value
    for value in bad:
        with pytest.raises(ValidationError, match=f"(?m)^{field}$"):
            Context.model_validate({field: value})


def test_all_settings_have_bounds_tests() -> None:
    assert [field for field, _, _ in BOUNDS] == list(Context.model_fields)
    assert Context.model_validate(Context().model_dump()) == Context()


@pytest.mark.parametrize("unknown", ["max_turn", "api_key", "base_url", "groq_api_key", "llamaberry"])
def test_an_unknown_setting_is_an_error(unknown: str) -> None:
    with pytest.raises(ValidationError, match=unknown):
        Context.model_validate({unknown: "x"})


@pytest.mark.parametrize("field", list(Context.model_fields))
def test_settings_cannot_change_during_a_run(field: str) -> None:
    context = Context()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(context, field, getattr(context, field))
    assert context == Context()


@pytest.mark.parametrize("model", [Context, Input])
def test_every_field_has_a_title_and_a_description(model: type[Context | Input]) -> None:
    schema = model.model_json_schema()
    assert json.loads(json.dumps(schema)) == schema
    for name in model.model_fields:
        field = schema["properties"][name]
        assert field["title"].strip()
        assert field["title"] != name
        assert len(field["description"]) > len(field["title"])
    assert not model.model_fields.keys() & {"api_key", "key", "base_url", "url", "token"}
