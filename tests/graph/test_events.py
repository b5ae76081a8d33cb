"""The events of a run, in the stream mode "custom"."""

from typing import Any, get_args, get_type_hints

import pytest

from llamaberry import Context, build_graph, graph
from llamaberry.graph.events import Event
from testing.scripted_groq import Reply, Scripted, first, good_model, refine, synthesis


def stream_events(**settings: Any) -> list[dict[str, Any]]:
    return list(graph.stream({"query": "Q"}, context=Context(**settings), stream_mode="custom"))


def now() -> str:
    """Tell the time."""
    return "noon"


def test_a_run_emits_its_turns_and_why_it_ended(scripted: Scripted) -> None:
    usage = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
    scripted([Reply(first("41"), usage=usage), Reply(refine("42", "revise"), no_usage=True), synthesis()])
    events = stream_events(max_turns=2)
    for event in events:
        assert event.pop("seconds", 0) >= 0
    assert events == [
        {"type": "turn_started", "turn": 1, "kind": "first", "attempt": 1},
        {"type": "turn_finished", "turn": 1, "kind": "first", "verdict": None, "answer": "41", "tokens": 100},
        {"type": "check_started", "turn": 1, "attempt": 1},
        {"type": "check_finished", "turn": 1, "verdict": "none"}
        | dict.fromkeys(("program", "output", "error", "answer")),
        {"type": "turn_started", "turn": 2, "kind": "refine", "attempt": 1},
        {"type": "turn_finished", "turn": 2, "kind": "refine", "verdict": "revise", "answer": "42", "tokens": None},
        {"type": "refining_ended", "reason": "max_turns", "turns": 2},
    ]


def test_a_retry_starts_its_turn_again(scripted: Scripted) -> None:
    scripted([first(), Reply(status=503), refine(), synthesis()])
    starts = [event for event in stream_events(max_turns=2) if event["type"] == "turn_started"]
    assert [(event["turn"], event["attempt"]) for event in starts] == [(1, 1), (2, 1), (2, 2)]


def test_a_failed_turn_ends_refining(scripted: Scripted) -> None:
    scripted([first(), Reply(status=400)])
    assert stream_events()[4:] == [
        {"type": "turn_started", "turn": 2, "kind": "refine", "attempt": 1},
        {"type": "refining_ended", "reason": "error", "turns": 1},
    ]


@pytest.mark.parametrize(("settings", "reason"), [({"early_stop": True}, "agreement"), ({"token_budget": 1}, "budget")])
def test_the_last_event_has_the_stop_reason(scripted: Scripted, settings: dict[str, Any], reason: str) -> None:
    scripted()
    assert stream_events(**settings)[-1]["reason"] == reason


def test_every_event_has_its_documented_type(scripted: Scripted) -> None:
    scripted(
        lambda request: (
            Reply(calls=[("now", {})])
            if "tools" in request.body and request.messages[-1]["role"] == "user"
            else good_model(request)
        )
    )
    shapes = {get_args(get_type_hints(shape)["type"])[0]: shape for shape in get_args(Event)}
    events = list(build_graph(tools=[now]).stream({"query": "Q"}, stream_mode="custom"))
    assert {event["type"] for event in events} == set(shapes)
    for event in events:
        assert set(event) == shapes[event["type"]].__required_keys__


def test_a_hint_of_a_verify_node_is_in_the_next_prompt(scripted: Scripted) -> None:
    groq = scripted([first("41"), refine("42", "revise"), synthesis()])
    mine = build_graph(nodes={"verify": lambda state: {"turns": [{"index": len(state["turns"]), "hint": "Checked."}]}})
    result = mine.invoke({"query": "Q"}, context=Context(max_turns=2))
    assert [turn["hint"] for turn in result["turns"]] == ["Checked."] * 2
    assert "Checked." in groq.requests[1].messages[-1]["content"]
    assert "Checked." in groq.requests[2].messages[-1]["content"]


def test_a_plain_function_can_replace_the_synthesis(scripted: Scripted) -> None:
    scripted([first("41")])
    plain = {"synthesize": lambda state: {"answer": "Mine.", "concise_answer": "Mine."}}
    assert build_graph(nodes=plain).invoke({"query": "Q"}, context=Context(max_turns=1))["answer"] == "Mine."


def test_an_unknown_node_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such node: refine"):
        build_graph(nodes={"refine": lambda state: state})
